/*
 * `sealpost alias password`, `app-password` and `recovery-key`: key slots. Whoever wants a new slot
 * brings a password or recovery key that opens an old one; the service itself cannot.
 */
#include "account/admin/handlers.h"
#include "account/admin/request.h"
#include "base/buf.h"
#include "base/random.h"
#include "secret/crypt.h"
#include "secret/pass.h"
#include "wire/messages.h"

static const struct {
    struct str name;
    enum wire_service service;
} services[] = {
    {STR_INIT("imap"), WIRE_SERVICE_IMAP},
    {STR_INIT("pop3"), WIRE_SERVICE_POP3},
    {STR_INIT("smtp"), WIRE_SERVICE_SUBMISSION},
};

static enum err read_scope(struct admin_request *request, uint64_t *out_services)
{
    struct str rest = admin_argument_text(request, "scope"), word;

    *out_services = rest.len == 0 ? ACCOUNT_ALL_SERVICES : 0;
    while (rest.len > 0 && str_split(&rest, ',', &word)) {
        bool is_known = false;

        for (size_t i = 0; i < ARRAY_LEN(services); i++) {
            if (str_equal_nocase(str_trim(word), services[i].name)) {
                *out_services |= BIT(services[i].service);
                is_known = true;
            }
        }
        if (!is_known) {
            admin_hint(request, "The scope is any of imap, pop3 and smtp, with commas between.");
            return admin_refuse(request, ERR_INVALID, "There is no service \"%.*s\".",
                                STR_ARG(word));
        }
    }
    return ERR_OK;
}

static void put_scope(json_t *object, uint64_t bits)
{
    CLEANUP(buf_free) struct buf words;

    buf_init(&words, SIZE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        if ((bits & BIT(services[i].service)) != 0)
            buf_putf(&words, "%s%.*s", words.len == 0 ? "" : ",", STR_ARG(services[i].name));
    }
    admin_put_text(object, "scope", buf_str(&words));
}

/* The old password opens nothing any more, its sessions end, and the file is re-encrypted. */
static enum err confirm(struct admin_request *request, const struct account_alias *alias,
                        const struct secret *keys)
{
    struct admin *admin = request->admin;

    TRY(account_begin(admin->database, &request->task));
    TRY(account_slot_confirm(admin->database, &request->task, alias->mailbox));
    TRY(account_commit(admin->database, &request->task));
    admin->services->expel(admin->owner, &alias->mailbox_id);
    admin->services->rekey(admin->owner, &alias->mailbox_id, keys);
    return ERR_OK;
}

/* The mailbox's keys, opened with the password that the request brings. */
static enum err unlock(struct admin_request *request, const char *argument,
                       const struct account_alias *alias, struct secret **out_keys)
{
    struct account_slot slot;
    enum err err = account_slot_unlock(request->admin->database, &request->task, alias->mailbox,
                                       &alias->mailbox_id, admin_argument_text(request, argument),
                                       out_keys, &slot);

    if (err == ERR_DENIED) {
        admin_say(request, "That is not the mailbox's password or recovery key.");
        admin_hint(request, "Nobody, the operator included, can open a mailbox without one of "
                            "them: if both are lost, the mail is, and only removing the alias and "
                            "adding it again helps.");
    }
    if (err == ERR_OK && account_slot_is_unconfirmed(&slot))
        err = confirm(request, alias, *out_keys);
    return err;
}

/* In a transaction: who brings the old password where a new one was made that nobody confirmed has
 * no use for the new one. */
static enum err drop_unconfirmed(struct admin_request *request, const struct account_alias *alias,
                                 const struct secret *keys)
{
    CLEANUP(secret_free) struct secret *next_key = account_keys_next(keys);

    return next_key != NULL
               ? ERR_OK
               : account_slot_drop_next(request->admin->database, &request->task, alias->mailbox);
}

/* The one slot of a kind that has no name. Inside a transaction. */
static enum err replace_slot(struct admin_request *request, const struct account_alias *alias,
                             const struct account_slot *slot)
{
    struct account_database *database = request->admin->database;
    struct account_slot *slots =
        ARENA_ARRAY(&request->task.arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    size_t count;

    TRY(account_slot_list(database, &request->task, alias->mailbox, slots, &count));
    for (size_t i = 0; i < count; i++) {
        if (slots[i].kind == slot->kind && str_equal(slots[i].name, slot->name))
            TRY(account_slot_remove(database, &request->task, slots[i].row));
    }
    return account_slot_add(database, &request->task, alias->mailbox, slot);
}

/* Makes a secret, seals the mailbox key under it in a slot that takes its place, and shows it. */
static enum err renew(struct admin_request *request, const struct account_alias *alias,
                      const char *argument, enum account_slot_kind kind, const char *member)
{
    struct account_database *database = request->admin->database;
    CLEANUP(secret_free) struct secret *fresh = secret_password();
    CLEANUP(secret_free) struct secret *key = NULL;
    struct account_slot slot;

    TRY(unlock(request, argument, alias, &key));
    TRY(account_slot_make(&request->task, &alias->mailbox_id, kind, STR(""), 0, secret_str(fresh),
                          key, &slot));
    TRY(account_begin(database, &request->task));
    TRY(drop_unconfirmed(request, alias, key));
    TRY(replace_slot(request, alias, &slot));
    TRY(account_commit(database, &request->task));
    admin_put_text(request->reply, "address",
                   account_address_text(&request->task, alias->local, alias->domain_name));
    admin_put_text(request->reply, member, secret_str(fresh));
    return ERR_OK;
}

/* The next key into all other slots; where one of them cannot take it, the file keeps its key. */
static enum err prepare_slots(struct admin_request *request, const struct account_alias *alias,
                              const struct secret *keys)
{
    struct account_database *database = request->admin->database;
    CLEANUP(secret_free) struct secret *key = account_keys_first(keys);
    CLEANUP(secret_free) struct secret *next_key = account_keys_next(keys);
    struct account_slot *slots =
        ARENA_ARRAY(&request->task.arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    unsigned char check[PASS_CHECK_BYTES];
    size_t count;

    TRY(account_slot_list(database, &request->task, alias->mailbox, slots, &count));
    for (size_t i = 0; i < count; i++) {
        if (slots[i].kind == ACCOUNT_SLOT_PASSWORD)
            continue;
        TRY(account_slot_prepare(&request->task, &alias->mailbox_id, key, next_key, &slots[i]));
        TRY(account_slot_set_next(database, &request->task, &slots[i]));
    }
    pass_key_check(next_key, check);
    return account_mailbox_set_next_key(database, &request->task, alias->mailbox,
                                        str_make(check, sizeof(check)));
}

/*
 * The new password, in one transaction: its slot has the key that the file is under and the one
 * that it gives itself, under which the file is to be; so have all the others. The old one opens
 * until this one is confirmed: nobody may have seen it. From then on each of the others opens the
 * file at any moment of its re-encryption.
 */
static enum err change_password(struct admin_request *request, const struct account_alias *alias,
                                const struct secret *key, struct secret **out_password,
                                struct secret **out_keys)
{
    struct account_database *database = request->admin->database;
    CLEANUP(secret_free) struct secret *fresh = secret_password();
    CLEANUP(secret_free) struct secret *keys = NULL;
    CLEANUP(secret_free) struct secret *next_key = NULL;
    unsigned char salt[MAILBOX_SALT_BYTES];
    struct account_slot slot;

    random_bytes(salt, sizeof(salt));
    next_key = crypt_mailbox_key(secret_str(fresh), salt);
    keys = account_keys_join(key, next_key);
    TRY(account_slot_make(&request->task, &alias->mailbox_id, ACCOUNT_SLOT_PASSWORD,
                          STR(ACCOUNT_SLOT_UNCONFIRMED), ACCOUNT_ALL_SERVICES, secret_str(fresh),
                          keys, &slot));
    TRY(account_begin(database, &request->task));
    TRY(account_slot_drop_next(database, &request->task, alias->mailbox));
    TRY(account_slot_add(database, &request->task, alias->mailbox, &slot));
    TRY(prepare_slots(request, alias, keys));
    TRY(account_commit(database, &request->task));
    *out_password = fresh;
    *out_keys = keys;
    fresh = keys = NULL;
    return ERR_OK;
}

/* Is a new password there that nobody is known to have seen? Then the file is under its old key,
 * and stays so: what was prepared for the next one can be given up. */
static enum err find_unconfirmed(struct admin_request *request, const struct account_alias *alias,
                                 bool *out_is_there)
{
    struct account_slot *slots =
        ARENA_ARRAY(&request->task.arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    size_t count;

    *out_is_there = false;
    TRY(account_slot_list(request->admin->database, &request->task, alias->mailbox, slots, &count));
    for (size_t i = 0; i < count; i++)
        *out_is_there = *out_is_there || account_slot_is_unconfirmed(&slots[i]);
    return ERR_OK;
}

enum err admin_alias_password(struct admin_request *request)
{
    struct admin *admin = request->admin;
    CLEANUP(secret_free) struct secret *old_keys = NULL;
    CLEANUP(secret_free) struct secret *pending = NULL;
    CLEANUP(secret_free) struct secret *key = NULL;
    CLEANUP(secret_free) struct secret *keys = NULL;
    CLEANUP(secret_free) struct secret *password = NULL;
    struct account_alias alias;
    bool is_unconfirmed;
    enum err err;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(unlock(request, "old-password", &alias, &old_keys));
    TRY(find_unconfirmed(request, &alias, &is_unconfirmed));
    pending = account_keys_next(old_keys);
    if (pending != NULL && !is_unconfirmed) {
        admin->services->rekey(admin->owner, &alias.mailbox_id, old_keys);
        admin_hint(request, "Try again in a while. If it stays so, the log says why.");
        return admin_refuse(request, ERR_BUSY,
                            "The mailbox is still being re-encrypted for its last new password.");
    }
    key = account_keys_first(old_keys);
    err = change_password(request, &alias, key, &password, &keys);
    if (err == ERR_NOT_FOUND) {
        admin_hint(request, "Make a new recovery key (sealpost alias recovery-key), and remove the "
                            "app passwords that were made before this version.");
        return admin_refuse(request, ERR_EXISTS,
                            "An app password or the recovery key is of an old form, which cannot "
                            "go along to a new key.");
    }
    TRY(err);
    admin_put_text(request->reply, "address",
                   account_address_text(&request->task, alias.local, alias.domain_name));
    admin_put_text(request->reply, "password", secret_str(password));
    json_object_set_new(request->reply, "confirm", json_string("alias password confirm"));
    admin_say(request, "The mailbox has a new password; the old one opens nothing any more.");
    admin_hint(request,
               "Write it down: it is shown this once and kept nowhere. The mailbox's file is "
               "re-encrypted under it in the background.");
    return ERR_OK;
}

enum err admin_alias_password_confirm(struct admin_request *request)
{
    CLEANUP(secret_free) struct secret *keys = NULL;
    struct account_alias alias;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(unlock(request, "password", &alias, &keys));
    admin_say(request, "The new password is the mailbox's only one.");
    return ERR_OK;
}

enum err admin_alias_recovery_key(struct admin_request *request)
{
    struct account_alias alias;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(renew(request, &alias, "password", ACCOUNT_SLOT_RECOVERY, "recovery_key"));
    admin_say(request, "The mailbox has a new recovery key.");
    admin_hint(request, "Write it down: it is shown this once and kept nowhere.");
    return ERR_OK;
}

enum err admin_app_password_add(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    CLEANUP(secret_free) struct secret *fresh = secret_password();
    CLEANUP(secret_free) struct secret *key = NULL;
    struct str name = admin_argument_text(request, "name");
    struct account_alias alias;
    struct account_slot slot;
    uint64_t scope;
    enum err err;

    TRY(read_scope(request, &scope));
    TRY(admin_find_alias(request, "address", &alias));
    TRY(unlock(request, "password", &alias, &key));
    TRY(account_slot_make(&request->task, &alias.mailbox_id, ACCOUNT_SLOT_APP, name, scope,
                          secret_str(fresh), key, &slot));
    TRY(account_begin(database, &request->task));
    TRY(drop_unconfirmed(request, &alias, key));
    err = account_slot_add(database, &request->task, alias.mailbox, &slot);
    if (err == ERR_EXISTS)
        return admin_refuse(request, err, "There is an app password \"%.*s\" already.",
                            STR_ARG(name));
    TRY(err);
    TRY(account_commit(database, &request->task));
    admin_say(request, "The app password \"%.*s\" was made.", STR_ARG(name));
    admin_put_text(request->reply, "name", name);
    put_scope(request->reply, scope);
    admin_put_text(request->reply, "password", secret_str(fresh));
    admin_hint(request, "It is shown this once and kept nowhere.");
    return ERR_OK;
}

enum err admin_app_password_list(struct admin_request *request)
{
    struct account_slot *slots =
        ARENA_ARRAY(&request->task.arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    json_t *items = admin_put_items(request);
    struct account_alias alias;
    size_t count;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_slot_list(request->admin->database, &request->task, alias.mailbox, slots, &count));
    for (size_t i = 0; i < count; i++) {
        json_t *item;

        if (slots[i].kind != ACCOUNT_SLOT_APP)
            continue;
        item = json_object();
        admin_put_text(item, "name", slots[i].name);
        put_scope(item, slots[i].services);
        admin_put_text(item, "created", slots[i].created);
        if (slots[i].last_used.len == 0)
            json_object_set_new(item, "last_used", json_null());
        else
            admin_put_text(item, "last_used", slots[i].last_used);
        json_array_append_new(items, item);
    }
    return ERR_OK;
}

enum err admin_app_password_remove(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_slot *slots =
        ARENA_ARRAY(&request->task.arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    struct str name = admin_argument_text(request, "name");
    struct account_alias alias;
    size_t count;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_slot_list(database, &request->task, alias.mailbox, slots, &count));
    for (size_t i = 0; i < count; i++) {
        if (slots[i].kind != ACCOUNT_SLOT_APP || !str_equal(slots[i].name, name))
            continue;
        TRY(account_begin(database, &request->task));
        TRY(account_slot_remove(database, &request->task, slots[i].row));
        TRY(account_commit(database, &request->task));
        request->admin->services->expel(request->admin->owner, &alias.mailbox_id);
        admin_say(request, "The app password \"%.*s\" was removed.", STR_ARG(name));
        return ERR_OK;
    }
    admin_hint(request, "Those there are: sealpost alias app-password list ADDRESS");
    return admin_refuse(request, ERR_NOT_FOUND, "There is no app password \"%.*s\".",
                        STR_ARG(name));
}
