/* Sends a message, whole or its top (RFC 1939 §5 RETR, §7 TOP). */
#include "pop3/engine.h"

/* The next piece of the message, into `piece`. */
static enum err read_piece(struct pop3_session *s, struct task *task)
{
    buf_reset(&s->piece);
    TRY(vault_content_read(s->content, task, s->offset, POP3_PIECE_BYTES, &s->piece));
    s->offset += s->piece.len;
    pop3_spend(s, POP3_PIECE_UNITS);
    return ERR_OK;
}

/* Answers only when the first piece is there: a message that is gone or damaged is told of. */
static enum err begin(struct pop3_session *s, struct task *task, uint32_t number,
                      uint64_t body_lines)
{
    const struct vault_maildrop_message *message;
    size_t index;

    TRY(pop3_maildrop_find(s, task, number, &index));
    message = &s->maildrop.messages[index];
    TRY(vault_content_open(s->vault, task, message->content_id, &s->content));
    s->offset = 0;
    TRY(read_piece(s, task));
    if (body_lines == POP3_LINES_ALL)
        buf_putf(&s->out, "+OK %llu octets\r\n", (unsigned long long)message->octets);
    else
        pop3_write_ok(s, "Top of the message follows.");
    s->is_answered = true;
    pop3_lines_init(&s->lines, body_lines);
    pop3_lines_add(&s->lines, buf_str(&s->piece), &s->out);
    return ERR_OK;
}

enum err pop3_retrieve(struct pop3_session *s, struct task *task, union pop3_args *args,
                       uint64_t body_lines)
{
    if (!args->message.has_begun)
        TRY(begin(s, task, args->message.number, body_lines));
    args->message.has_begun = true;
    while (!s->lines.is_done && s->offset < vault_content_size(s->content)) {
        if (pop3_must_give_way(s)) {
            pop3_give_way(s);
            return ERR_OK;
        }
        TRY(read_piece(s, task));
        pop3_lines_add(&s->lines, buf_str(&s->piece), &s->out);
    }
    pop3_lines_end(&s->lines, &s->out);
    return ERR_OK;
}
