/* Making and opening key slots. */
#include "account/slot.h"

#include "base/buf.h"
#include "secret/crypt.h"

#include <string.h>

enum { CONTEXT_MAX = 2 * ID_TEXT_LEN + 32 };

static const char *kind_name(enum account_slot_kind kind)
{
    switch (kind) {
    case ACCOUNT_SLOT_PASSWORD:
        return "password";
    case ACCOUNT_SLOT_APP:
        return "app";
    case ACCOUNT_SLOT_RECOVERY:
        return "recovery";
    }
    return "";
}

/* "mailbox kind slot" */
static void put_context(struct buf *out, const struct id *mailbox, enum account_slot_kind kind,
                        const struct id *slot)
{
    buf_init(out, CONTEXT_MAX);
    buf_putf(out, "%s %s %s", mailbox->text, kind_name(kind), slot->text);
}

struct secret *account_keys_first(const struct secret *keys)
{
    return secret_copy(str_upto(secret_str(keys), MAILBOX_KEY_BYTES));
}

struct secret *account_keys_next(const struct secret *keys)
{
    struct str next = str_from(secret_str(keys), MAILBOX_KEY_BYTES);

    return next.len == 0 ? NULL : secret_copy(next);
}

struct secret *account_keys_join(const struct secret *key, const struct secret *next_key)
{
    struct secret *keys = secret_new(2 * MAILBOX_KEY_BYTES);

    memcpy(secret_bytes(keys), secret_str(key).ptr, MAILBOX_KEY_BYTES);
    memcpy(secret_bytes(keys) + MAILBOX_KEY_BYTES, secret_str(next_key).ptr, MAILBOX_KEY_BYTES);
    return keys;
}

static enum err seal_directly(struct task *task, struct str password, struct str context,
                              const struct secret *key, struct str *out)
{
    CLEANUP(buf_free) struct buf sealed;

    buf_init(&sealed, SIZE_MAX);
    TRY(crypt_slot_seal(&sealed, password, context, key));
    *out = arena_copy(&task->arena, buf_str(&sealed));
    return ERR_OK;
}

/* The slot's wrapping key under the mailbox's. */
static enum err seal_wrapping(struct task *task, const struct secret *key, struct str context,
                              const struct secret *wrapping, struct str *out)
{
    CLEANUP(secret_free) struct secret *outer = crypt_derive(key, STR("slot-wrapping"), STR(""));
    CLEANUP(buf_free) struct buf sealed;

    buf_init(&sealed, SIZE_MAX);
    TRY(crypt_seal(&sealed, secret_str(outer), context, secret_str(wrapping)));
    *out = arena_copy(&task->arena, buf_str(&sealed));
    return ERR_OK;
}

static enum err open_wrapping(const struct secret *key, struct str context, struct str sealed,
                              struct secret **out_wrapping)
{
    CLEANUP(secret_free) struct secret *outer = crypt_derive(key, STR("slot-wrapping"), STR(""));
    CLEANUP(buf_free) struct buf opened;

    buf_init(&opened, SIZE_MAX);
    TRY(crypt_open(&opened, secret_str(outer), context, sealed));
    *out_wrapping = secret_copy(buf_str(&opened));
    return ERR_OK;
}

/* What makes it possible to seal another key to it later. */
static enum err add_means(struct task *task, struct str password, struct str context,
                          const struct secret *key, const struct secret *next_key,
                          struct account_slot *slot)
{
    CLEANUP(secret_free) struct secret *secret = crypt_slot_x25519(password, context);
    CLEANUP(secret_free) struct secret *wrapping = crypt_slot_wrapping(password, context);
    unsigned char public_key[CRYPT_X25519_BYTES];

    crypt_x25519_public(secret_str(secret), public_key);
    slot->public_key = arena_copy(&task->arena, str_make(public_key, sizeof(public_key)));
    TRY(seal_wrapping(task, key, context, wrapping, &slot->wrapping));
    return next_key == NULL
               ? ERR_OK
               : seal_wrapping(task, next_key, context, wrapping, &slot->next_wrapping);
}

enum err account_slot_make(struct task *task, const struct id *mailbox,
                           enum account_slot_kind kind, struct str name, uint64_t services,
                           struct str password, const struct secret *keys,
                           struct account_slot *out_slot)
{
    struct account_slot slot = {
        .id = id_random(), .kind = kind, .name = name, .services = services};
    CLEANUP(secret_free) struct secret *key = account_keys_first(keys);
    CLEANUP(secret_free) struct secret *next_key = account_keys_next(keys);
    CLEANUP(buf_free) struct buf context;

    put_context(&context, mailbox, kind, &slot.id);
    TRY(seal_directly(task, password, buf_str(&context), key, &slot.sealed));
    if (next_key != NULL)
        TRY(seal_directly(task, password, buf_str(&context), next_key, &slot.next_sealed));
    /* The password's own slot is always made anew with its password. */
    if (kind != ACCOUNT_SLOT_PASSWORD)
        TRY(add_means(task, password, buf_str(&context), key, next_key, &slot));
    *out_slot = slot;
    return ERR_OK;
}

enum err account_slot_prepare(struct task *task, const struct id *mailbox,
                              const struct secret *key, const struct secret *next_key,
                              struct account_slot *slot)
{
    CLEANUP(secret_free) struct secret *wrapping = NULL;
    CLEANUP(buf_free) struct buf context, sealed;

    buf_init(&sealed, SIZE_MAX);
    put_context(&context, mailbox, slot->kind, &slot->id);
    if (slot->public_key.len == 0)
        return fail(task, ERR_NOT_FOUND, "a key slot is from before there were public keys");
    if (open_wrapping(key, buf_str(&context), slot->wrapping, &wrapping) != ERR_OK ||
        crypt_slot_seal_to(&sealed, slot->public_key, wrapping, buf_str(&context), next_key) !=
            ERR_OK)
        return fail(task, ERR_CORRUPT, "a key slot is damaged");
    slot->next_sealed = arena_copy(&task->arena, buf_str(&sealed));
    return seal_wrapping(task, next_key, buf_str(&context), wrapping, &slot->next_wrapping);
}

/* Sealed directly, or to the slot's public key: the length tells. */
static enum err open_either(struct str sealed, struct str password, struct str context,
                            struct secret **out_key)
{
    if (sealed.len == MAILBOX_KEY_BYTES + CRYPT_SEAL_OVERHEAD + CRYPT_X25519_BYTES)
        return crypt_slot_open_to(sealed, password, context, out_key);
    return crypt_slot_open(sealed, password, context, out_key);
}

enum err account_slot_open(const struct id *mailbox, const struct account_slot *slot,
                           struct str password, struct secret **out_keys)
{
    CLEANUP(secret_free) struct secret *key = NULL;
    CLEANUP(secret_free) struct secret *next_key = NULL;
    CLEANUP(buf_free) struct buf context;

    put_context(&context, mailbox, slot->kind, &slot->id);
    TRY(open_either(slot->sealed, password, buf_str(&context), &key));
    if (slot->next_sealed.len > 0)
        TRY(open_either(slot->next_sealed, password, buf_str(&context), &next_key));
    *out_keys = next_key != NULL ? account_keys_join(key, next_key) : account_keys_first(key);
    return ERR_OK;
}

bool account_slot_is_unconfirmed(const struct account_slot *slot)
{
    return slot->kind == ACCOUNT_SLOT_PASSWORD &&
           str_equal(slot->name, STR(ACCOUNT_SLOT_UNCONFIRMED));
}

enum err account_slot_unlock(struct account_database *database, struct task *task,
                             int64_t mailbox_row, const struct id *mailbox, struct str password,
                             struct secret **out_keys, struct account_slot *out_slot)
{
    struct account_slot *slots = ARENA_ARRAY(&task->arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    size_t count;

    TRY(account_slot_list(database, task, mailbox_row, slots, &count));
    for (size_t i = 0; i < count; i++) {
        if (slots[i].kind == ACCOUNT_SLOT_APP ||
            account_slot_open(mailbox, &slots[i], password, out_keys) != ERR_OK)
            continue;
        if (out_slot != NULL)
            *out_slot = slots[i];
        return ERR_OK;
    }
    return fail(task, ERR_DENIED, "that is not the mailbox's password or recovery key");
}
