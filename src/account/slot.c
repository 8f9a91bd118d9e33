/* Making and opening key slots. */
#include "account/slot.h"

#include "base/buf.h"
#include "secret/crypt.h"

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

enum err account_slot_make(struct task *task, const struct id *mailbox,
                           enum account_slot_kind kind, struct str name, uint64_t services,
                           struct str password, const struct secret *mailbox_key,
                           struct account_slot *out_slot)
{
    struct account_slot slot = {
        .id = id_random(), .kind = kind, .name = name, .services = services};
    CLEANUP(buf_free) struct buf context, sealed;

    buf_init(&sealed, SIZE_MAX);
    put_context(&context, mailbox, kind, &slot.id);
    TRY(crypt_slot_seal(&sealed, password, buf_str(&context), mailbox_key));
    slot.sealed = arena_copy(&task->arena, buf_str(&sealed));
    *out_slot = slot;
    return ERR_OK;
}

enum err account_slot_open(const struct id *mailbox, const struct account_slot *slot,
                           struct str password, struct secret **out_mailbox_key)
{
    CLEANUP(buf_free) struct buf context;

    put_context(&context, mailbox, slot->kind, &slot->id);
    return crypt_slot_open(slot->sealed, password, buf_str(&context), out_mailbox_key);
}

enum err account_slot_unlock(struct account_database *database, struct task *task,
                             int64_t mailbox_row, const struct id *mailbox, struct str password,
                             struct secret **out_mailbox_key)
{
    struct account_slot *slots = ARENA_ARRAY(&task->arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    size_t count;

    TRY(account_slot_list(database, task, mailbox_row, slots, &count));
    for (size_t i = 0; i < count; i++) {
        if (slots[i].kind == ACCOUNT_SLOT_APP)
            continue;
        if (account_slot_open(mailbox, &slots[i], password, out_mailbox_key) == ERR_OK)
            return ERR_OK;
    }
    return fail(task, ERR_DENIED, "that is not the mailbox's password or recovery key");
}
