/* The maildrop of a session: INBOX, listed at login. */
#include "pop3/engine.h"

void pop3_before_vault(struct pop3_session *s)
{
    if (s->options.before_vault != NULL)
        s->options.before_vault(s->options.owner, s->now_ms);
}

static enum err list(struct pop3_session *s, struct task *task)
{
    struct pop3_maildrop *maildrop = &s->maildrop;
    struct vault_folder inbox;

    pop3_before_vault(s);
    TRY(vault_folder_find(s->vault, task, STR("INBOX"), &inbox));
    maildrop->folder_id = inbox.id;
    maildrop->uidvalidity = inbox.uidvalidity;
    TRY(vault_maildrop_list(s->vault, task, inbox.id, &maildrop->messages, &maildrop->count));
    maildrop->is_deleted = ARENA_ARRAY(&task->arena, bool, maildrop->count + 1);
    return ERR_OK;
}

/* Reads the message that stands at `measured`, as far as the turn goes. */
static enum err measure(struct pop3_session *s, struct task *task, bool *out_is_done)
{
    struct pop3_maildrop *maildrop = &s->maildrop;
    struct vault_maildrop_message *message = &maildrop->messages[maildrop->measured];

    if (s->content == NULL) {
        TRY(vault_content_open(s->vault, task, message->content_id, &s->content));
        maildrop->line_ends = (struct vault_line_ends){0};
        s->offset = 0;
    }
    while (s->offset < vault_content_size(s->content)) {
        if (pop3_must_give_way(s))
            return ERR_OK;
        buf_reset(&s->piece);
        TRY(vault_content_read(s->content, task, s->offset, POP3_PIECE_BYTES, &s->piece));
        vault_line_ends_add(&maildrop->line_ends, buf_str(&s->piece));
        s->offset += s->piece.len;
        pop3_spend(s, POP3_PIECE_UNITS);
    }
    message->octets = message->size_bytes + vault_line_ends_octets(&maildrop->line_ends);
    maildrop->has_measured = true;
    vault_content_close(&s->content);
    *out_is_done = true;
    return ERR_OK;
}

/*
 * Messages that were stored before octets were counted at arrival: counted now, once. One that
 * cannot be read (purged while we counted, or damaged) does not keep its owner from the others.
 */
static void measure_all(struct pop3_session *s, struct task *task)
{
    struct pop3_maildrop *maildrop = &s->maildrop;

    while (maildrop->measured < maildrop->count) {
        bool is_done = maildrop->messages[maildrop->measured].octets != VAULT_OCTETS_UNKNOWN;
        enum err err = is_done ? ERR_OK : measure(s, task, &is_done);

        if (err == ERR_OK && !is_done) {
            pop3_give_way(s);
            return;
        }
        if (err != ERR_OK && err != ERR_NOT_FOUND)
            log_failure(s->options.log, "counting a message's octets", task);
        task_forgive(task);
        vault_content_close(&s->content);
        maildrop->measured++;
    }
    buf_free(&s->piece);
}

enum err pop3_maildrop_open(struct pop3_session *s, struct task *task)
{
    struct pop3_maildrop *maildrop = &s->maildrop;

    if (maildrop->messages == NULL)
        TRY(list(s, task));
    measure_all(s, task);
    if (s->pause != POP3_PAUSE_NONE)
        return ERR_OK;
    if (maildrop->has_measured) {
        pop3_before_vault(s);
        TRY(vault_maildrop_note_octets(s->vault, task, maildrop->folder_id, maildrop->messages,
                                       maildrop->count));
    }
    for (size_t i = 0; i < maildrop->count; i++) {
        if (maildrop->messages[i].octets == VAULT_OCTETS_UNKNOWN)
            maildrop->messages[i].octets = maildrop->messages[i].size_bytes;
        maildrop->octets += maildrop->messages[i].octets;
    }
    return ERR_OK;
}

enum err pop3_maildrop_find(struct pop3_session *s, struct task *task, uint32_t number,
                            size_t *out_index)
{
    if (number == 0 || number > s->maildrop.count)
        return pop3_refuse(s, task, POP3_REFUSAL_NO_MESSAGE);
    if (s->maildrop.is_deleted[number - 1])
        return pop3_refuse(s, task, POP3_REFUSAL_MESSAGE_DELETED);
    *out_index = number - 1;
    return ERR_OK;
}
