/*
 * DATA and BDAT (RFC 5321 §4.1.1.4, RFC 3030): the text, and what can be checked of it here. Then
 * others judge it (examination.c), and it is delivered (delivery.c).
 *
 * Whatever is wrong with a message, its text is read to its end, so that none of it is ever taken
 * for commands; what will not be kept is not kept while it is read.
 */
#include "smtp/server/state.h"

#include "base/macros.h"

#include "base/task.h"

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

void smtp_end_transaction(struct smtp_session *s, enum smtp_reply reply, struct str words,
                          int64_t now_ms)
{
    log_info(s->options.log, "message refused code=%u recipients=%zu", smtp_reply_code(reply),
             s->transaction.recipient_count);
    smtp_reply_write_as(&s->output, reply, 0, words);
    smtp_transaction_reset(s);
    smtp_next_command(s, now_ms);
}

static void end_transaction(struct smtp_session *s, enum smtp_reply reply, int64_t now_ms)
{
    smtp_end_transaction(s, reply, STR(""), now_ms);
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

static void ask_author_or_judge(struct smtp_session *s, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;

    if (transaction->author < transaction->authors.count) {
        s->question = SMTP_QUESTION_AUTHOR;
        smtp_ask(s, SMTP_WANTS_SENDER, now_ms);
        return;
    }
    smtp_judge(s, now_ms);
}

/* What a message from one of our users must show, and what it must not take along. */
static enum err read_submission(struct smtp_session *s, struct str header, enum smtp_reply *out_fault)
{
    struct smtp_transaction *transaction = &s->transaction;

    *out_fault = SMTP_REPLY_BAD_AUTHOR;
    TRY(smtp_header_authors(&transaction->arena, header, &transaction->authors));
    *out_fault = SMTP_REPLY_TOO_MANY_PRIVATE;
    transaction->removals = ARENA_NEW(&transaction->arena, struct smtp_ranges);
    return smtp_header_private(header, transaction->removals);
}

/* The whole text is here. */
static void finish_text(struct smtp_session *s, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    CLEANUP(buf_free) struct buf storage;
    struct str header;
    enum smtp_reply fault;

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
    if (s->options.service == SMTP_SERVICE_SUBMISSION &&
        read_submission(s, header, &fault) != ERR_OK) {
        end_transaction(s, fault, now_ms);
        return;
    }
    ask_author_or_judge(s, now_ms);
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

void smtp_author_known(struct smtp_session *s, enum wire_status status, int64_t now_ms)
{
    if (status != WIRE_OK) {
        end_transaction(s, smtp_reply_to(SMTP_QUESTION_AUTHOR, status), now_ms);
        return;
    }
    s->transaction.author++;
    ask_author_or_judge(s, now_ms);
}
