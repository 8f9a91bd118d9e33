/* Sends a message, whole or its top (RFC 1939 §5 RETR, §7 TOP). */
#include "pop3/engine.h"
#include "pop3/surrogate.h"

/* The next piece of the message, behind what `piece` holds. */
static enum err read_on(struct pop3_session *s, struct task *task)
{
    size_t before = s->piece.len;

    TRY(vault_content_read(s->content, task, s->offset, POP3_PIECE_BYTES, &s->piece));
    s->offset += s->piece.len - before;
    pop3_spend(s, POP3_PIECE_UNITS);
    return ERR_OK;
}

/* The next piece of the message, into `piece`. */
static enum err read_piece(struct pop3_session *s, struct task *task)
{
    buf_reset(&s->piece);
    return read_on(s, task);
}

/* Puts the surrogate of a header that a client without UTF8 must not see before the rest of it
 * (surrogate.h), in `piece`. */
static enum err replace_header(struct pop3_session *s, struct task *task, bool *out_is_surrogate)
{
    CLEANUP(buf_free) struct buf whole = {0};
    size_t len;

    if (s->options.is_utf8 || !pop3_surrogate_is_likely(buf_str(&s->piece)))
        return ERR_OK;
    len = pop3_surrogate_header_len(buf_str(&s->piece));
    while (len == s->piece.len && len <= POP3_SURROGATE_HEADER_MAX &&
           s->offset < vault_content_size(s->content)) {
        TRY(read_on(s, task));
        len = pop3_surrogate_header_len(buf_str(&s->piece));
    }
    if (!pop3_surrogate_is_needed(str_upto(buf_str(&s->piece), len)))
        return ERR_OK;
    buf_init(&whole, SIZE_MAX);
    buf_put(&whole, buf_str(&s->piece));
    buf_reset(&s->piece);
    pop3_surrogate_write(&task->arena, str_upto(buf_str(&whole), len), &s->piece);
    buf_put(&s->piece, str_from(buf_str(&whole), len));
    *out_is_surrogate = true;
    return ERR_OK;
}

/* Answers only when the first piece is there: a message that is gone or damaged is told of. */
static enum err begin(struct pop3_session *s, struct task *task, uint32_t number,
                      uint64_t body_lines)
{
    const struct vault_maildrop_message *message;
    bool is_surrogate = false;
    size_t index;

    TRY(pop3_maildrop_find(s, task, number, &index));
    message = &s->maildrop.messages[index];
    TRY(vault_content_open(s->vault, task, message->content_id, &s->content));
    s->offset = 0;
    TRY(read_piece(s, task));
    TRY(replace_header(s, task, &is_surrogate));
    if (is_surrogate)
        pop3_write_ok(s, "In ASCII; say UTF8 before login for the message itself.");
    else if (body_lines == POP3_LINES_ALL)
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
