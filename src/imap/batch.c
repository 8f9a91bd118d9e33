/*
 * APPENDs that came together share one commit: each is done at once, its answer waits until
 * vault_batch_end made all of them durable. Any other command, or an end of the input, commits.
 */
#include "imap/engine.h"

#include "base/memory.h"

enum err imap_batch_open(struct imap_session *s, struct task *task)
{
    if (s->batch.is_open)
        return ERR_OK;
    TRY(vault_batch_begin(s->vault, task));
    s->batch.is_open = true;
    return ERR_OK;
}

void imap_batch_hold(struct imap_session *s, struct str tag, struct str reply, bool is_ok)
{
    struct imap_append_batch *batch = &s->batch;
    struct imap_held_reply *held = ARENA_NEW(&batch->arena, struct imap_held_reply);

    held->tag = arena_copy(&batch->arena, tag);
    held->reply = arena_copy(&batch->arena, reply);
    held->is_ok = is_ok;
    if (batch->last != NULL)
        batch->last->next = held;
    else
        batch->first = held;
    batch->last = held;
    batch->count++;
}

void imap_batch_flush(struct imap_session *s)
{
    struct imap_append_batch batch = s->batch;
    struct task task;
    enum err err;

    if (!batch.is_open)
        return;
    s->batch = (struct imap_append_batch){0};
    task_init(&task, s->now_ms);
    err = vault_batch_end(s->vault, &task);
    if (err != ERR_OK)
        log_failure(s->options.log, "APPEND commit", &task);
    task_forgive(&task);
    if (s->state == IMAP_STATE_SELECTED)
        imap_sync_or_end(s, &task, true);
    for (struct imap_held_reply *held = batch.first; held != NULL; held = held->next) {
        if (err == ERR_OK || !held->is_ok)
            buf_put(&s->out, held->reply);
        else
            imap_write_reply(&s->out, held->tag,
                             imap_reply_for_error(err, STR("APPEND"), IMAP_TO_FOLDER));
    }
    if (err != ERR_OK && vault_is_broken(s->vault))
        imap_session_bye(s, "[UNAVAILABLE] The mailbox is not available now.");
    arena_free(&batch.arena);
    task_done(&task);
}
