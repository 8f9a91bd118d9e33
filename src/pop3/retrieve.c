/* Sends a message, whole or its top (RFC 1939 §5 RETR, §7 TOP). */
#include "pop3/engine.h"

enum { ROOM_AROUND = 256 }; /* the first line, the last, some dots: a guess */

/* The next piece of the message, behind what `piece` holds. */
static enum err read_on(struct pop3_session *s, struct task *task)
{
    uint64_t left = vault_content_size(s->content) - s->offset;
    size_t before = s->piece.len;
    char *room;

    TRY(buf_reserve(&s->piece, left < POP3_PIECE_BYTES ? (size_t)left : POP3_PIECE_BYTES, &room));
    TRY(vault_content_read(s->content, task, s->offset, POP3_PIECE_BYTES, &s->piece));
    s->offset += s->piece.len - before;
    pop3_spend(s, POP3_PIECE_UNITS);
    return ERR_OK;
}

/* The next piece of the message, into `piece`. */
static enum err read_piece(struct pop3_session *s, struct task *task)
{
    buf_reset(&s->piece);
    TRY(read_on(s, task));
    pop3_surrogate_rest_mask(&s->rest, s->piece.ptr, s->piece.len);
    return ERR_OK;
}

/* Whether the header may be one that this client must not see. */
static enum err is_header_suspect(struct pop3_session *s, struct task *task, bool *out)
{
    struct str beginning = buf_str(&s->piece);

    *out = false;
    if (s->options.is_utf8)
        return ERR_OK;
    *out = pop3_surrogate_is_likely(beginning);
    if (*out || pop3_surrogate_is_ruled_out(beginning))
        return ERR_OK;
    return vault_content_has_utf8_header(s->content, task, out);
}

/* Puts the surrogate of a header that a client without UTF8 must not see before the rest of it
 * (surrogate.h), in `piece`. */
static enum err replace_header(struct pop3_session *s, struct task *task, bool *out_is_surrogate)
{
    CLEANUP(buf_free) struct buf whole = {0};
    bool is_suspect;
    size_t len;

    TRY(is_header_suspect(s, task, &is_suspect));
    if (!is_suspect)
        return ERR_OK;
    len = pop3_surrogate_header_len(buf_str(&s->piece));
    while (len == s->piece.len && len <= POP3_SURROGATE_HEADER_MAX &&
           s->offset < vault_content_size(s->content)) {
        TRY(read_on(s, task));
        len = pop3_surrogate_header_len(buf_str(&s->piece));
    }
    if (!pop3_surrogate_is_needed(str_upto(buf_str(&s->piece), len)))
        return ERR_OK;
    if (len > POP3_SURROGATE_HEADER_MAX) {
        len = pop3_surrogate_fields_len(buf_str(&s->piece), POP3_SURROGATE_HEADER_MAX);
        pop3_surrogate_rest_init(&s->rest);
        pop3_surrogate_rest_mask(&s->rest, s->piece.ptr + len, s->piece.len - len);
    }
    buf_init(&whole, SIZE_MAX);
    buf_put(&whole, buf_str(&s->piece));
    buf_reset(&s->piece);
    pop3_surrogate_write(&task->arena, str_upto(buf_str(&whole), len), &s->piece);
    buf_put(&s->piece, str_from(buf_str(&whole), len));
    *out_is_surrogate = true;
    return ERR_OK;
}

/* The message's answer up to the end of its first piece, to `out`: only when that is there, so that a
 * message that is gone or damaged is told of. */
static enum err write_first(struct pop3_session *s, struct task *task, size_t index,
                            uint64_t body_lines, struct buf *out)
{
    const struct vault_maildrop_message *message = &s->maildrop.messages[index];
    bool is_surrogate = false;
    char *room;

    TRY(vault_content_open(s->vault, task, message->content_id, &s->content));
    s->offset = 0;
    s->rest = (struct pop3_surrogate_rest){0};
    TRY(read_piece(s, task));
    TRY(replace_header(s, task, &is_surrogate));
    /* At once: a buffer that grows is copied, and wiped. */
    TRY(buf_reserve(out, s->piece.len + ROOM_AROUND, &room));
    if (is_surrogate)
        buf_put(out, STR("+OK In ASCII; say UTF8 before login for the message itself.\r\n"));
    else if (body_lines == POP3_LINES_ALL)
        buf_putf(out, "+OK %llu octets\r\n", (unsigned long long)message->octets);
    else
        buf_put(out, STR("+OK Top of the message follows.\r\n"));
    pop3_lines_init(&s->lines, body_lines);
    pop3_lines_add(&s->lines, buf_str(&s->piece), out);
    return ERR_OK;
}

static bool is_over(const struct pop3_session *s)
{
    return s->lines.is_done || s->offset >= vault_content_size(s->content);
}

/* ---- The next message ---- */

static void forget_ahead(struct pop3_ahead *ahead)
{
    buf_free(&ahead->answer);
    ahead->is_wanted = ahead->is_ready = false;
}

void pop3_ahead_note(struct pop3_session *s, uint32_t number)
{
    struct pop3_ahead *ahead = &s->ahead;
    bool is_next = number == ahead->retrieved + 1;

    forget_ahead(ahead);
    ahead->retrieved = number;
    ahead->index = number; /* the one behind it */
    ahead->is_wanted = is_next && ahead->index < s->maildrop.count &&
                       !s->maildrop.is_deleted[ahead->index] &&
                       s->maildrop.messages[ahead->index].size_bytes <= POP3_AHEAD_BYTES;
}

bool pop3_ahead_is_due(const struct pop3_session *s)
{
    return s->ahead.is_wanted && s->state == POP3_STATE_TRANSACTION && s->command == NULL &&
           s->pause == POP3_PAUSE_NONE && s->out.len == 0;
}

static enum err write_rest(struct pop3_session *s, struct task *task, struct buf *out)
{
    while (!is_over(s)) {
        TRY(read_piece(s, task));
        pop3_lines_add(&s->lines, buf_str(&s->piece), out);
    }
    pop3_lines_end(&s->lines, out);
    return ERR_OK;
}

/* What fails is told when the message is asked for: then it is read again. */
void pop3_ahead_read(struct pop3_session *s)
{
    struct pop3_ahead *ahead = &s->ahead;
    struct task task;

    ahead->is_wanted = false;
    task_init(&task, s->now_ms);
    ahead->is_ready = write_first(s, &task, ahead->index, POP3_LINES_ALL, &ahead->answer) == ERR_OK &&
                      write_rest(s, &task, &ahead->answer) == ERR_OK;
    ahead->made_ms = s->now_ms;
    if (!ahead->is_ready)
        forget_ahead(ahead);
    vault_content_close(&s->content);
    buf_free(&s->piece);
    task_done(&task);
}

/* The answer that was prepared, if it is this message's. */
static bool take_ahead(struct pop3_session *s, size_t index, uint64_t body_lines)
{
    struct pop3_ahead *ahead = &s->ahead;
    bool is_taken = ahead->is_ready && ahead->index == index && body_lines == POP3_LINES_ALL &&
                    s->now_ms >= ahead->made_ms && s->now_ms < ahead->made_ms + POP3_AHEAD_MS;

    if (is_taken && s->out.len == 0) {
        struct buf empty = s->out;

        s->out = ahead->answer;
        ahead->answer = empty;
    } else if (is_taken) {
        buf_put(&s->out, buf_str(&ahead->answer));
    }
    forget_ahead(ahead);
    return is_taken;
}

/* ---- RETR and TOP ---- */

enum err pop3_retrieve(struct pop3_session *s, struct task *task, union pop3_args *args,
                       uint64_t body_lines)
{
    if (!args->message.has_begun) {
        size_t index;

        TRY(pop3_maildrop_find(s, task, args->message.number, &index));
        if (take_ahead(s, index, body_lines))
            return ERR_OK;
        TRY(write_first(s, task, index, body_lines, &s->out));
        s->is_answered = true;
    }
    args->message.has_begun = true;
    while (!is_over(s)) {
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
