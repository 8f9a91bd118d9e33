/* QUIT; after login it is what deletes: the UPDATE state of RFC 1939 §6. */
#include "pop3/engine.h"

static enum err update(struct pop3_session *s, struct task *task)
{
    const struct pop3_maildrop *maildrop = &s->maildrop;
    uint32_t *uids = ARENA_ARRAY(&task->arena, uint32_t, maildrop->deleted_count + 1);
    size_t count = 0;
    enum err err;

    for (size_t i = 0; i < maildrop->count; i++) {
        if (maildrop->is_deleted[i])
            uids[count++] = maildrop->messages[i].uid;
    }
    if (count == 0)
        return ERR_OK;
    pop3_before_vault(s);
    err = vault_message_remove(s->vault, task, maildrop->folder_id, uids, count);
    if (err == ERR_OK)
        return ERR_OK;
    log_failure(s->options.log, "deleting what POP3 marked", task);
    s->refusal = POP3_REFUSAL_NOT_DELETED;
    return err;
}

POP3_COMMAND(quit)
{
    enum err err = s->state == POP3_STATE_TRANSACTION ? update(s, task) : ERR_OK;

    (void)args;
    if (err == ERR_OK)
        pop3_write_ok(s, "Bye.");
    pop3_session_end(s);
    return err;
}
