/*
 * DATA and BDAT (RFC 5321 §4.1.1.4, RFC 3030): the text, what is checked of it, and its delivery.
 *
 * Whatever is wrong with a message, its text is read to its end, so that none of it is ever taken
 * for commands; what will not be kept is not kept while it is read.
 */
#include "smtp/server/state.h"

#include "base/macros.h"

#include <assert.h>
#include <inttypes.h>

static void on_text(void *owner, struct str run)
{
    struct smtp_transaction *transaction = owner;

    if (transaction->content_err != ERR_OK)
        return;
    transaction->content_err = smtp_content_append(&transaction->content, run);
    if (transaction->content_err != ERR_OK)
        smtp_content_done(&transaction->content);
}

static void begin_text(struct smtp_session *s, bool is_dotted)
{
    if (s->transaction.is_text_begun)
        return;
    s->transaction.is_text_begun = true;
    smtp_reader_init(&s->transaction.reader, is_dotted, on_text, &s->transaction);
}

void smtp_run_data(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)argument;
    if (s->transaction.recipient_count == 0) {
        smtp_reply(s, SMTP_REPLY_NO_RECIPIENTS);
        return;
    }
    if (s->options.memory->used_bytes >= s->options.memory->limit_bytes) {
        smtp_reply(s, SMTP_REPLY_NO_ROOM);
        return;
    }
    begin_text(s, true);
    smtp_reply(s, SMTP_REPLY_GO_DATA);
    smtp_enter(s, SMTP_STATE_DATA, now_ms);
}

/* The message is refused, or the peer is told that it was stored: the transaction is over. */
static void end_transaction(struct smtp_session *s, enum smtp_reply reply, int64_t now_ms)
{
    log_info(s->options.log, "message refused code=%u recipients=%zu", smtp_reply_code(reply),
             s->transaction.recipient_count);
    smtp_reply(s, reply);
    smtp_transaction_reset(s);
    smtp_next_command(s, now_ms);
}

/* What the text alone shows. */
static bool find_fault(const struct smtp_transaction *transaction, enum smtp_reply *out_reply)
{
    const struct smtp_reader *reader = &transaction->reader;

    if (reader->has_bare)
        *out_reply = SMTP_REPLY_BARE_LINE_END;
    else if (transaction->content_err == ERR_LIMIT)
        *out_reply = SMTP_REPLY_TOO_LARGE;
    else if (transaction->content_err != ERR_OK)
        *out_reply = SMTP_REPLY_NO_ROOM;
    else if (reader->has_nul)
        *out_reply = SMTP_REPLY_HAS_NUL;
    else if (reader->has_long_line)
        *out_reply = SMTP_REPLY_TEXT_LINE_TOO_LONG;
    else
        return false;
    return true;
}

static void ask_author_or_deliver(struct smtp_session *s, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;

    if (transaction->author < transaction->authors.count) {
        s->question = SMTP_QUESTION_AUTHOR;
        smtp_ask(s, SMTP_WANTS_SENDER, now_ms);
        return;
    }
    smtp_transaction_make_targets(s);
    smtp_ask(s, SMTP_WANTS_DELIVERY, now_ms);
}

/* The whole text is here. */
static void finish_text(struct smtp_session *s, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    CLEANUP(buf_free) struct buf storage;
    struct str header;
    enum smtp_reply fault;
    enum err err = ERR_OK;

    buf_init(&storage, SIZE_MAX);
    smtp_reader_finish(&transaction->reader);
    if (find_fault(transaction, &fault)) {
        end_transaction(s, fault, now_ms);
        return;
    }
    header = smtp_content_header(&transaction->content, &storage);
    smtp_header_scan(header, &transaction->header);
    if (transaction->header.received_count > s->options.hops_max) {
        end_transaction(s, SMTP_REPLY_TOO_MANY_HOPS, now_ms);
        return;
    }
    if (s->options.service == SMTP_SERVICE_SUBMISSION)
        err = smtp_header_authors(&transaction->arena, header, &transaction->authors);
    if (err != ERR_OK) {
        end_transaction(s, SMTP_REPLY_BAD_AUTHOR, now_ms);
        return;
    }
    ask_author_or_deliver(s, now_ms);
}

/* ---- BDAT ---- */

/* Why this chunk is not wanted; its bytes are read over all the same. */
static bool find_chunk_refusal(const struct smtp_session *s, uint64_t size, enum smtp_reply *out)
{
    const struct smtp_transaction *transaction = &s->transaction;

    if (!transaction->is_open)
        *out = SMTP_REPLY_MAIL_FIRST;
    else if (transaction->recipient_count == 0)
        *out = SMTP_REPLY_NO_RECIPIENTS;
    else if (transaction->content_err == ERR_OK &&
             size > s->options.message_size_max - transaction->content.len)
        *out = SMTP_REPLY_TOO_LARGE;
    else if (s->options.memory->used_bytes >= s->options.memory->limit_bytes)
        *out = SMTP_REPLY_NO_ROOM;
    else
        return false;
    return true;
}

static void finish_chunk(struct smtp_session *s, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    enum smtp_reply fault;

    if (transaction->is_chunk_refused) {
        fault = transaction->chunk_refusal;
        smtp_transaction_reset(s);
        smtp_enter(s, SMTP_STATE_COMMAND, now_ms);
        smtp_reply_error(s, fault);
    } else if (find_fault(transaction, &fault)) {
        end_transaction(s, fault, now_ms);
    } else if (transaction->is_last_chunk) {
        finish_text(s, now_ms);
    } else {
        smtp_reply(s, SMTP_REPLY_CHUNK_OK);
        smtp_next_command(s, now_ms);
    }
}

void smtp_run_bdat(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    enum smtp_reply refusal = SMTP_REPLY_BAD_ARGUMENT;
    uint64_t size;
    bool is_last;

    if (!smtp_bdat_parse(argument, &size, &is_last)) {
        /* How much of what follows is the chunk? It must not be taken for commands. */
        smtp_reply(s, refusal);
        smtp_close(s);
        return;
    }
    transaction->is_chunk_refused = find_chunk_refusal(s, size, &refusal);
    transaction->chunk_refusal = refusal;
    transaction->is_last_chunk = is_last;
    transaction->chunk_left = size;
    if (!transaction->is_chunk_refused) {
        transaction->is_chunked = true;
        begin_text(s, false);
    }
    smtp_enter(s, SMTP_STATE_CHUNK, now_ms);
    if (size == 0)
        finish_chunk(s, now_ms);
}

size_t smtp_data_input(struct smtp_session *s, struct str bytes, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    size_t used;

    s->waiting_since_ms = now_ms;
    if (s->state == SMTP_STATE_CHUNK) {
        struct str chunk = transaction->chunk_left < bytes.len
                               ? str_upto(bytes, (size_t)transaction->chunk_left)
                               : bytes;

        used = transaction->is_chunk_refused ? chunk.len
                                             : smtp_reader_take(&transaction->reader, chunk);
        transaction->chunk_left -= used;
    } else {
        used = smtp_reader_take(&transaction->reader, bytes);
    }
    if (smtp_reader_is_refused(&transaction->reader))
        smtp_content_done(&transaction->content);
    s->window_bytes += used;
    if (s->window_bytes >= SMTP_DATA_WINDOW_BYTES) {
        s->window_start_ms = now_ms;
        s->window_bytes = 0;
    }
    if (s->state == SMTP_STATE_DATA && transaction->reader.is_ended)
        finish_text(s, now_ms);
    else if (s->state == SMTP_STATE_CHUNK && transaction->chunk_left == 0)
        finish_chunk(s, now_ms);
    return used;
}

/* ---- the answers ---- */

static void author_known(struct smtp_session *s, enum wire_status status, int64_t now_ms)
{
    if (status != WIRE_OK) {
        end_transaction(s, smtp_reply_to(SMTP_QUESTION_AUTHOR, status), now_ms);
        return;
    }
    s->transaction.author++;
    ask_author_or_deliver(s, now_ms);
}

void smtp_session_sender_done(struct smtp_session *s, enum wire_status status, int64_t now_ms)
{
    if (s->state != SMTP_STATE_WAITING || s->asked != SMTP_WANTS_SENDER)
        return; /* it is over already */
    if (s->question == SMTP_QUESTION_AUTHOR)
        author_known(s, status, now_ms);
    else
        smtp_sender_known(s, status, now_ms);
    smtp_session_resume(s, now_ms);
}

void smtp_session_delivery(struct smtp_session *s, int64_t wall_ms, const struct id *trace_id,
                           struct smtp_delivery *out)
{
    struct smtp_transaction *transaction = &s->transaction;

    assert(s->state == SMTP_STATE_WAITING && s->asked == SMTP_WANTS_DELIVERY);
    transaction->trace_id = *trace_id;
    buf_reset(&transaction->trace);
    smtp_trace_write(s, wall_ms, &transaction->trace);
    *out = (struct smtp_delivery){
        .sender = transaction->mail.sender.text,
        .trace = buf_str(&transaction->trace),
        .content = &transaction->content,
        .targets = transaction->targets,
        .target_count = transaction->target_count,
    };
}

void smtp_session_content_taken(struct smtp_session *s)
{
    smtp_content_wipe(&s->transaction.content);
    buf_free(&s->transaction.trace);
}

/*
 * One reply for all mailboxes. If they disagree it is a temporary one: the sender tries again, and
 * where the message is already, it is recognised and not stored twice.
 */
static enum smtp_reply join_answers(const struct smtp_transaction *transaction)
{
    enum smtp_reply reply =
        smtp_reply_to(SMTP_QUESTION_DELIVERY, transaction->targets[0].status);

    for (size_t i = 1; i < transaction->target_count; i++) {
        if (smtp_reply_to(SMTP_QUESTION_DELIVERY, transaction->targets[i].status) != reply)
            return SMTP_REPLY_PARTLY;
    }
    return reply;
}

bool smtp_session_delivery_done(struct smtp_session *s, size_t target, enum wire_status status,
                                int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    enum smtp_reply reply;

    if (s->state != SMTP_STATE_WAITING || s->asked != SMTP_WANTS_DELIVERY ||
        target >= transaction->target_count || transaction->targets[target].is_answered)
        return false; /* it is over already */
    transaction->targets[target].is_answered = true;
    transaction->targets[target].status = status;
    if (status != WIRE_OK)
        log_info(s->options.log, "delivery failed id=%s mailbox=%s status=%d",
                 transaction->trace_id.text, transaction->targets[target].mailbox.text,
                 (int)status);
    if (++transaction->answered_count < transaction->target_count)
        return false;
    reply = join_answers(transaction);
    if (reply != SMTP_REPLY_OK) {
        end_transaction(s, reply, now_ms);
    } else {
        log_info(s->options.log, "message stored id=%s bytes=%zu mailboxes=%zu",
                 transaction->trace_id.text, transaction->content.len, transaction->target_count);
        buf_putf(&s->output, "250 2.0.0 Stored as %s\r\n", transaction->trace_id.text);
        smtp_transaction_reset(s);
        smtp_next_command(s, now_ms);
    }
    smtp_session_resume(s, now_ms);
    return true;
}
