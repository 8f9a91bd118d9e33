/*
 * The engine's frame: input is cut into lines, text and chunks, one thing at a time is under way,
 * and time runs out. What the commands mean is elsewhere (dispatch.c and the files that it names).
 */
#include "smtp/server/state.h"

#include "base/macros.h"
#include "base/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const char *const state_names[SMTP_STATE_COUNT] = {
    [SMTP_STATE_COMMAND] = "COMMAND", [SMTP_STATE_OVERLONG] = "OVERLONG",
    [SMTP_STATE_LOGIN_LINE] = "LOGIN_LINE", [SMTP_STATE_DATA] = "DATA",
    [SMTP_STATE_CHUNK] = "CHUNK", [SMTP_STATE_WAITING] = "WAITING", [SMTP_STATE_TLS] = "TLS",
    [SMTP_STATE_CLOSED] = "CLOSED",
};

static const unsigned next_states[SMTP_STATE_COUNT] = {
    [SMTP_STATE_COMMAND] = BIT(SMTP_STATE_COMMAND) | BIT(SMTP_STATE_OVERLONG) |
                           BIT(SMTP_STATE_LOGIN_LINE) | BIT(SMTP_STATE_DATA) |
                           BIT(SMTP_STATE_CHUNK) | BIT(SMTP_STATE_WAITING) |
                           BIT(SMTP_STATE_TLS) | BIT(SMTP_STATE_CLOSED),
    [SMTP_STATE_OVERLONG] = BIT(SMTP_STATE_COMMAND) | BIT(SMTP_STATE_CLOSED),
    [SMTP_STATE_LOGIN_LINE] = BIT(SMTP_STATE_COMMAND) | BIT(SMTP_STATE_LOGIN_LINE) |
                              BIT(SMTP_STATE_OVERLONG) | BIT(SMTP_STATE_WAITING) |
                              BIT(SMTP_STATE_CLOSED),
    [SMTP_STATE_DATA] = BIT(SMTP_STATE_COMMAND) | BIT(SMTP_STATE_WAITING) | BIT(SMTP_STATE_CLOSED),
    [SMTP_STATE_CHUNK] = BIT(SMTP_STATE_COMMAND) | BIT(SMTP_STATE_WAITING) |
                         BIT(SMTP_STATE_CLOSED),
    [SMTP_STATE_WAITING] = BIT(SMTP_STATE_COMMAND) | BIT(SMTP_STATE_WAITING) |
                           BIT(SMTP_STATE_CLOSED),
    [SMTP_STATE_TLS] = BIT(SMTP_STATE_COMMAND) | BIT(SMTP_STATE_CLOSED),
    [SMTP_STATE_CLOSED] = BIT(SMTP_STATE_CLOSED),
};

void smtp_enter(struct smtp_session *s, enum smtp_state next, int64_t now_ms)
{
    assert(next_states[s->state] & BIT(next));
    if (s->state != next)
        log_debug(s->options.log, "%s -> %s", state_names[s->state], state_names[next]);
    s->state = next;
    s->waiting_since_ms = s->window_start_ms = now_ms;
    s->window_bytes = 0;
}

void smtp_close(struct smtp_session *s)
{
    smtp_enter(s, SMTP_STATE_CLOSED, s->waiting_since_ms);
    smtp_login_forget(s);
    smtp_transaction_reset(s);
}

void smtp_reply(struct smtp_session *s, enum smtp_reply reply)
{
    smtp_reply_write(&s->output, reply);
}

void smtp_reply_error(struct smtp_session *s, enum smtp_reply reply)
{
    smtp_reply(s, reply);
    if (++s->error_count >= SMTP_ERRORS_MAX) {
        log_info(s->options.log, "too many errors, closing");
        smtp_reply(s, SMTP_REPLY_TOO_MANY_ERRORS);
        smtp_close(s);
    }
}

void smtp_ask(struct smtp_session *s, enum smtp_want asked, int64_t now_ms)
{
    s->asked = asked;
    smtp_enter(s, SMTP_STATE_WAITING, now_ms);
}

void smtp_next_command(struct smtp_session *s, int64_t now_ms)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (s->is_stopping) {
        smtp_reply(s, SMTP_REPLY_STOPPING);
        smtp_close(s);
        return;
    }
    smtp_enter(s, SMTP_STATE_COMMAND, now_ms);
}

struct smtp_session *smtp_session_new(const struct smtp_options *options, int64_t now_ms)
{
    struct smtp_session *s = NEW(struct smtp_session);

    arena_init(&s->arena);
    s->options = *options;
    s->options.hostname = arena_copy(&s->arena, options->hostname);
    s->options.client = arena_copy(&s->arena, options->client);
    s->is_tls = options->is_tls;
    s->tls_words = arena_copy(&s->arena, options->tls_words);
    buf_init(&s->pending, SIZE_MAX);
    buf_init(&s->output, SIZE_MAX);
    buf_init(&s->helo, SMTP_COMMAND_LINE_MAX);
    s->state = SMTP_STATE_COMMAND;
    s->started_ms = s->waiting_since_ms = now_ms;
    smtp_transaction_init(s);
    buf_putf(&s->output, "220 %.*s ESMTP Sealpost\r\n", STR_ARG(s->options.hostname));
    return s;
}

void smtp_session_free(struct smtp_session **session)
{
    struct smtp_session *s = *session;

    if (s == NULL)
        return;
    smtp_login_forget(s);
    smtp_transaction_done(s);
    buf_free(&s->helo);
    buf_free(&s->pending);
    buf_free(&s->output);
    arena_free(&s->arena);
    mem_free(session);
}

/* A whole line from the front of `bytes`; 0 while there is none. */
static size_t take_line(struct smtp_session *s, struct str bytes, int64_t now_ms)
{
    ptrdiff_t newline = str_index(bytes, '\n');
    size_t len = newline < 0 ? bytes.len : (size_t)newline + 1;
    struct str line;

    if (len > SMTP_AUTH_LINE_MAX) {
        bool is_login = s->state == SMTP_STATE_LOGIN_LINE;

        smtp_login_forget(s);
        smtp_enter(s, newline < 0 ? SMTP_STATE_OVERLONG : SMTP_STATE_COMMAND, now_ms);
        smtp_reply_error(s, is_login ? SMTP_REPLY_LOGIN_TOO_LONG : SMTP_REPLY_LINE_TOO_LONG);
        return len;
    }
    if (newline < 0)
        return 0;
    line = str_upto(bytes, len - 1);
    /* What ends with LF alone is still taken as one line, so that both sides know where they are. */
    if (line.len == 0 || line.ptr[line.len - 1] != '\r' ||
        memchr(line.ptr, '\r', line.len - 1) != NULL || memchr(line.ptr, '\0', line.len) != NULL) {
        smtp_login_forget(s);
        smtp_enter(s, SMTP_STATE_COMMAND, now_ms);
        smtp_reply_error(s, SMTP_REPLY_BAD_LINE_END);
        return len;
    }
    line.len--;
    s->waiting_since_ms = now_ms;
    if (s->state == SMTP_STATE_LOGIN_LINE)
        smtp_login_line(s, line, now_ms);
    else
        smtp_dispatch(s, line, len, now_ms);
    return len;
}

static size_t skip_overlong(struct smtp_session *s, struct str bytes, int64_t now_ms)
{
    ptrdiff_t newline = str_index(bytes, '\n');

    if (newline < 0)
        return bytes.len;
    smtp_next_command(s, now_ms);
    return (size_t)newline + 1;
}

/* Uses what can be used now; how much. */
static size_t run(struct smtp_session *s, struct str bytes, int64_t now_ms)
{
    size_t used = 0, step = 1;

    while (step > 0 && used < bytes.len && smtp_session_wants(s) == SMTP_WANTS_INPUT) {
        struct str rest = str_from(bytes, used);

        switch (s->state) {
        case SMTP_STATE_COMMAND:
        case SMTP_STATE_LOGIN_LINE:
            step = take_line(s, rest, now_ms);
            break;
        case SMTP_STATE_OVERLONG:
            step = skip_overlong(s, rest, now_ms);
            break;
        case SMTP_STATE_DATA:
        case SMTP_STATE_CHUNK:
            step = smtp_data_input(s, rest, now_ms);
            break;
        case SMTP_STATE_WAITING:
        case SMTP_STATE_TLS:
        case SMTP_STATE_CLOSED:
        case SMTP_STATE_COUNT:
            step = 0;
            break;
        }
        used += step;
    }
    return used;
}

/* Before TLS nothing counts that came in the same packet (RFC 3207 §4.2); after the end, nothing. */
static bool is_deaf(const struct smtp_session *s)
{
    return s->state == SMTP_STATE_TLS || s->state == SMTP_STATE_CLOSED;
}

static void run_pending(struct smtp_session *s, int64_t now_ms)
{
    size_t used;

    if (s->pending.len == 0)
        return;
    used = run(s, buf_str(&s->pending), now_ms);
    if (is_deaf(s))
        used = s->pending.len;
    if (used > 0) {
        mem_wipe(s->pending.ptr, used); /* it may have been a password */
        buf_consume(&s->pending, used);
    }
    if (s->pending.len == 0)
        buf_free(&s->pending);
}

void smtp_session_input(struct smtp_session *s, struct str bytes, int64_t now_ms)
{
    size_t used = 0;

    if (is_deaf(s) || bytes.len == 0)
        return;
    if (s->pending.len == 0)
        used = run(s, bytes, now_ms);
    if (is_deaf(s) || used == bytes.len)
        return;
    buf_put(&s->pending, str_from(bytes, used));
    if (used == 0)
        run_pending(s, now_ms);
}

bool smtp_session_is_input_full(const struct smtp_session *s)
{
    return s->pending.len >= SMTP_PENDING_HIGH;
}

void smtp_session_resume(struct smtp_session *s, int64_t now_ms)
{
    run_pending(s, now_ms);
}

enum smtp_want smtp_session_wants(const struct smtp_session *s)
{
    switch (s->state) {
    case SMTP_STATE_WAITING:
        return s->asked;
    case SMTP_STATE_TLS:
        return SMTP_WANTS_TLS;
    case SMTP_STATE_CLOSED:
        return SMTP_WANTS_CLOSE;
    case SMTP_STATE_COMMAND:
    case SMTP_STATE_OVERLONG:
    case SMTP_STATE_LOGIN_LINE:
    case SMTP_STATE_DATA:
    case SMTP_STATE_CHUNK:
    case SMTP_STATE_COUNT:
        break;
    }
    return s->output.len > SMTP_OUTPUT_HIGH ? SMTP_WANTS_ROOM : SMTP_WANTS_INPUT;
}

struct str smtp_session_output(const struct smtp_session *s)
{
    return buf_str(&s->output);
}

void smtp_session_consume_output(struct smtp_session *s, size_t len)
{
    buf_consume(&s->output, len);
}

void smtp_session_secured(struct smtp_session *s, struct str tls_words, int64_t now_ms)
{
    assert(s->state == SMTP_STATE_TLS);
    s->is_tls = true;
    s->tls_words = arena_copy(&s->arena, tls_words);
    buf_free(&s->helo);
    s->is_extended = false;
    smtp_transaction_reset(s);
    smtp_next_command(s, now_ms);
}

int64_t smtp_session_deadline(const struct smtp_session *s)
{
    int64_t deadline = s->waiting_since_ms + SMTP_COMMAND_TIMEOUT_MS;

    switch (s->state) {
    case SMTP_STATE_DATA:
    case SMTP_STATE_CHUNK:
        if (s->transaction.reader.has_false_end)
            return s->waiting_since_ms + SMTP_FALSE_END_MS;
        return s->window_start_ms + SMTP_DATA_WINDOW_MS;
    case SMTP_STATE_WAITING:
        return s->waiting_since_ms + SMTP_ANSWER_TIMEOUT_MS;
    case SMTP_STATE_COMMAND:
    case SMTP_STATE_OVERLONG:
    case SMTP_STATE_LOGIN_LINE:
    case SMTP_STATE_TLS:
    case SMTP_STATE_CLOSED:
    case SMTP_STATE_COUNT:
        break;
    }
    /* Commands without end do not buy a stranger more time than silence does. */
    if (!s->is_admitted && s->started_ms + s->options.greeting_timeout_ms < deadline)
        deadline = s->started_ms + s->options.greeting_timeout_ms;
    return deadline;
}

/* Another role does not answer in time: the client gets what is told when it is not there. */
static void answer_for_it(struct smtp_session *s, int64_t now_ms)
{
    static const struct wire_recipient_reply unavailable = {.status = WIRE_UNAVAILABLE};
    static const struct smtp_facts nothing = {.list_score = 0};

    log_warning(s->options.log, "no answer from another role in time");
    switch (s->asked) {
    case SMTP_WANTS_LOGIN:
        smtp_session_login_done(s, WIRE_UNAVAILABLE, NULL, now_ms);
        break;
    case SMTP_WANTS_SENDER:
        smtp_session_sender_done(s, WIRE_UNAVAILABLE, now_ms);
        break;
    case SMTP_WANTS_CHECK:
        smtp_session_check_done(s, &nothing, now_ms);
        break;
    case SMTP_WANTS_RECIPIENT:
        smtp_session_recipient_done(s, &unavailable, now_ms);
        break;
    case SMTP_WANTS_EXAMINATION:
        smtp_session_examination_done(s, NULL, now_ms);
        break;
    case SMTP_WANTS_DELIVERY:
        for (size_t i = 0; i == 0 || i < s->transaction.target_count; i++) {
            if (smtp_session_delivery_done(s, i, WIRE_UNAVAILABLE, now_ms))
                break;
        }
        break;
    case SMTP_WANTS_INPUT:
    case SMTP_WANTS_ROOM:
    case SMTP_WANTS_TLS:
    case SMTP_WANTS_CLOSE:
        break;
    }
}

void smtp_session_expire(struct smtp_session *s, int64_t now_ms)
{
    if (s->state == SMTP_STATE_WAITING) {
        answer_for_it(s, now_ms);
        return;
    }
    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (s->state == SMTP_STATE_DATA && s->transaction.reader.has_false_end) {
        log_info(s->options.log, "a message that ends without CRLF was refused");
        smtp_reply(s, SMTP_REPLY_BARE_LINE_END);
    } else if (s->state != SMTP_STATE_TLS) {
        log_info(s->options.log, "timeout state=%s", state_names[s->state]);
        smtp_reply(s, SMTP_REPLY_TIMEOUT);
    }
    smtp_close(s);
}

void smtp_session_stop(struct smtp_session *s)
{
    s->is_stopping = true;
    if (s->state == SMTP_STATE_CLOSED ||
        (s->state == SMTP_STATE_WAITING &&
         (s->asked == SMTP_WANTS_EXAMINATION || s->asked == SMTP_WANTS_DELIVERY)))
        return;
    if (s->state != SMTP_STATE_TLS)
        smtp_reply(s, SMTP_REPLY_STOPPING);
    smtp_close(s);
}

const struct id *smtp_session_mailbox(const struct smtp_session *s)
{
    return &s->mailbox;
}
