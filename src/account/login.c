/* The password check. */
#include "account/login.h"

#include "account/address.h"
#include "account/resolve.h"
#include "account/slot.h"
#include "base/clock.h"
#include "base/ip.h"
#include "base/memory.h"
#include "secret/crypt.h"

#include <string.h>

enum { ADDRESS_HASH_BYTES = 16, USERNAME_MAX = 512 };

/* A slot's last use is written down once an hour, not with every poll. */
static const int64_t USE_NOTED_EVERY_MS = 3600 * 1000;

struct account_login {
    struct account_throttle *throttle; /* own */
    struct secret *address_key;        /* own; hashes known addresses */
    struct secret *dummy_key;          /* own; what the dummy slot holds */
    struct account_slot dummy;         /* a slot that no password opens */
    struct id dummy_mailbox;
    struct task task; /* owns the dummy's memory */
};

struct account_login *account_login_new(const struct secret *host_key,
                                        const struct account_throttle_limits *limits)
{
    struct account_login *login = NEW(struct account_login);
    CLEANUP(secret_free) struct secret *password = secret_password();
    enum err err;

    task_init(&login->task, 0);
    login->throttle = account_throttle_new(limits);
    login->address_key = crypt_derive(host_key, STR("known-address"), STR(""));
    login->dummy_key = secret_new(MAILBOX_KEY_BYTES);
    login->dummy_mailbox = id_random();
    err = account_slot_make(&login->task, &login->dummy_mailbox, ACCOUNT_SLOT_PASSWORD, STR(""),
                            ACCOUNT_ALL_SERVICES, secret_str(password), login->dummy_key,
                            &login->dummy);
    if (err != ERR_OK)
        account_login_free(&login);
    return login;
}

void account_login_free(struct account_login **login)
{
    if (*login == NULL)
        return;
    account_throttle_free(&(*login)->throttle);
    secret_free(&(*login)->address_key);
    secret_free(&(*login)->dummy_key);
    task_done(&(*login)->task);
    mem_free(login);
}

void account_login_set_limits(struct account_login *login,
                              const struct account_throttle_limits *limits)
{
    account_throttle_set(login->throttle, limits);
}

static void hash_address(const struct account_login *login, const struct id *mailbox,
                         struct str address, unsigned char out[ADDRESS_HASH_BYTES])
{
    unsigned char text[ID_TEXT_LEN + IP_CLIENT_KEY_MAX], hash[CRYPT_HASH_BYTES];
    size_t len;

    memcpy(text, mailbox->text, ID_TEXT_LEN);
    len = ip_client_key(address, text + ID_TEXT_LEN);
    crypt_hash(secret_str(login->address_key), STR("address"),
               str_make(text, ID_TEXT_LEN + len), hash);
    memcpy(out, hash, ADDRESS_HASH_BYTES);
}

/* Whose login it would be. Without an alias: mailbox_row 0 and the dummy's id. */
struct claim {
    int64_t mailbox_row;
    struct id mailbox;
    struct str account; /* what failures are counted under */
};

static enum err find_claim(struct account_login *login, struct account_database *database,
                           struct task *task, struct str username, struct claim *out_claim)
{
    static const struct account_address nowhere = {
        STR_INIT("-"), STR_INIT("-"), STR_INIT(""), STR_INIT("invalid")};
    struct account_address address = nowhere;
    struct account_alias alias = {0};
    enum account_match match;

    username = str_upto(username, USERNAME_MAX);
    *out_claim = (struct claim){.mailbox = login->dummy_mailbox, .account = username};
    if (account_address_parse(task, username, &address) != ERR_OK) {
        task_forgive(task);
        address = nowhere;
    } else {
        out_claim->account = account_address_text(task, address.base, address.domain);
    }
    TRY(account_resolve_login(database, task, &address, &match, &alias));
    if ((match == ACCOUNT_MATCH_ALIAS || match == ACCOUNT_MATCH_DETAIL) && alias.mailbox != 0) {
        out_claim->mailbox_row = alias.mailbox;
        out_claim->mailbox = alias.mailbox_id;
        out_claim->account = arena_copy(&task->arena, id_str(&alias.mailbox_id));
    }
    return ERR_OK;
}

static bool is_usable(const struct account_slot *slot, enum wire_service service)
{
    return slot->kind != ACCOUNT_SLOT_RECOVERY && (slot->services & BIT(service)) != 0;
}

/*
 * Tries the slots; *out_slot is the one that opened, NULL for none. What does not serve (another
 * service's slots, those that are not there) is replaced by the dummy, so that a refusal always
 * takes ACCOUNT_SLOTS_MAX trials.
 */
static void try_slots(const struct account_login *login, const struct claim *claim,
                      const struct account_slot *slots, size_t count,
                      const struct account_attempt *attempt, bool is_blocked,
                      struct account_login_result *result, const struct account_slot **out_slot)
{
    struct str password = attempt->password;

    *out_slot = NULL;
    if (password.len == 0 || password.len > ACCOUNT_PASSWORD_MAX) {
        password = STR("-");
        is_blocked = true;
    }
    for (size_t i = 0; i < ACCOUNT_SLOTS_MAX; i++) {
        bool is_real = !is_blocked && i < count && is_usable(&slots[i], attempt->service);
        const struct account_slot *slot = is_real ? &slots[i] : &login->dummy;

        result->slots_tried++;
        if (account_slot_open(is_real ? &claim->mailbox : &login->dummy_mailbox, slot, password,
                              &result->key) != ERR_OK)
            continue;
        *out_slot = slot;
        return;
    }
}

static enum err note_success(struct account_database *database, struct task *task,
                             const struct claim *claim, const struct account_slot *slot,
                             const struct account_attempt *attempt, struct str address_hash)
{
    int64_t used_ms = INT64_MIN;

    if (slot->kind == ACCOUNT_SLOT_APP &&
        (!clock_parse_iso(slot->last_used, &used_ms) || task->now_ms < used_ms ||
         task->now_ms - used_ms >= USE_NOTED_EVERY_MS))
        TRY(account_slot_used(database, task, slot->row));
    if (attempt->is_local)
        return ERR_OK;
    return account_known_note(database, task, claim->mailbox_row, address_hash);
}

/* Who uses a new password has it: the old one's time is over. */
static enum err confirm(struct account_database *database, struct task *task, int64_t mailbox)
{
    enum err err;

    TRY(account_begin(database, task));
    err = account_slot_confirm(database, task, mailbox);
    if (err == ERR_OK)
        err = account_commit(database, task);
    account_rollback(database);
    return err;
}

/* A new password that nobody is known to have seen: the next keys of all slots depend on it. */
static bool has_unconfirmed(const struct account_slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (account_slot_is_unconfirmed(&slots[i]))
            return true;
    }
    return false;
}

enum err account_login_check(struct account_login *login, struct account_database *database,
                             struct task *task, const struct account_attempt *attempt,
                             int64_t monotonic_ms, struct account_login_result *out_result)
{
    struct account_slot *slots = ARENA_ARRAY(&task->arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    struct account_login_result result = {.verdict = ACCOUNT_LOGIN_DENIED};
    unsigned char hash[ADDRESS_HASH_BYTES];
    const struct account_slot *opened;
    struct claim claim;
    bool is_known = false, is_blocked;
    size_t count = 0;

    TRY(find_claim(login, database, task, attempt->username, &claim));
    TRY(account_slot_list(database, task, claim.mailbox_row, slots, &count));
    hash_address(login, &claim.mailbox, attempt->address, hash);
    TRY(account_known_has(database, task, claim.mailbox_row, str_make(hash, sizeof(hash)),
                          &is_known));
    is_blocked = account_throttle_is_blocked(login->throttle, attempt->address, claim.account,
                                             is_known, monotonic_ms) &&
                 !attempt->is_local;
    try_slots(login, &claim, slots, count, attempt, is_blocked, &result, &opened);
    if (opened != NULL) {
        enum err err = note_success(database, task, &claim, opened, attempt,
                                    str_make(hash, sizeof(hash)));

        /* A full disk must not keep the owner from his mail: the notes can wait. */
        if (err != ERR_OK)
            task_forgive(task);
        if (account_slot_is_unconfirmed(opened)) {
            result.has_replaced_password = confirm(database, task, claim.mailbox_row) == ERR_OK;
            task_forgive(task);
        }
        result.is_unconfirmed = !result.has_replaced_password && has_unconfirmed(slots, count);
        result.verdict = ACCOUNT_LOGIN_OK;
        result.mailbox = claim.mailbox;
        result.slot = opened->id;
    } else if (is_blocked) {
        result.verdict = ACCOUNT_LOGIN_THROTTLED;
    } else if (!attempt->is_local) {
        account_throttle_failed(login->throttle, attempt->address, claim.account, monotonic_ms);
    }
    *out_result = result;
    return ERR_OK;
}

enum err account_login_check_owner(struct account_login *login, struct account_database *database,
                                   struct task *task, int64_t mailbox_row,
                                   const struct id *mailbox, struct str password,
                                   int64_t monotonic_ms, struct secret **out_key)
{
    const struct str here = STR("administrator");
    enum err err;

    if (account_throttle_is_blocked(login->throttle, here, id_str(mailbox), false, monotonic_ms))
        return fail(task, ERR_LIMIT, "too many wrong passwords");
    if (password.len == 0 || password.len > ACCOUNT_PASSWORD_MAX)
        password = STR("-");
    err = account_slot_unlock(database, task, mailbox_row, mailbox, password, out_key, NULL);
    if (err == ERR_DENIED)
        account_throttle_failed(login->throttle, here, id_str(mailbox), monotonic_ms);
    return err;
}
