#include "pop3/session.h"

#include "base/memory.h"
#include "pop3/engine.h"

#include <assert.h>

static const char *const STATE_NAMES[] = {
    [POP3_STATE_AUTHORIZATION] = "authorization",
    [POP3_STATE_OPENING] = "opening",
    [POP3_STATE_TRANSACTION] = "transaction",
    [POP3_STATE_END] = "end",
};

static const unsigned NEXT_STATES[] = {
    [POP3_STATE_AUTHORIZATION] = BIT(POP3_STATE_END),
    [POP3_STATE_OPENING] = BIT(POP3_STATE_TRANSACTION) | BIT(POP3_STATE_END),
    [POP3_STATE_TRANSACTION] = BIT(POP3_STATE_END),
    [POP3_STATE_END] = 0,
};

static void enter(struct pop3_session *s, enum pop3_state next)
{
    assert((NEXT_STATES[s->state] & BIT(next)) != 0);
    log_debug(s->options.log, "pop3 session from=%s to=%s", STATE_NAMES[s->state],
              STATE_NAMES[next]);
    s->state = next;
}

static struct pop3_session *session_new(const struct pop3_options *options, enum pop3_state state)
{
    struct pop3_session *s = NEW(struct pop3_session);

    s->options = *options;
    s->options.hostname = arena_copy(&s->arena, options->hostname);
    s->state = state;
    s->budget = POP3_BUDGET;
    pop3_reader_init(&s->reader);
    buf_init(&s->out, SIZE_MAX);
    buf_init(&s->piece, SIZE_MAX);
    buf_init(&s->ahead.answer, SIZE_MAX);
    buf_init(&s->username, POP3_LINE_MAX);
    return s;
}

/* The greeting holds no "<timestamp>", so that nobody tries APOP (RFC 1939 §7). */
struct pop3_session *pop3_session_new(const struct pop3_options *options)
{
    struct pop3_session *s = session_new(options, POP3_STATE_AUTHORIZATION);

    buf_put(&s->out, STR("+OK "));
    buf_put(&s->out, s->options.hostname);
    buf_put(&s->out, STR(" Sealpost is ready.\r\n"));
    return s;
}

/* Lists the maildrop, in turns; the answer to the login is what comes of it. */
static void open_maildrop(struct pop3_session *s)
{
    enum err err;

    s->pause = POP3_PAUSE_NONE;
    err = pop3_maildrop_open(s, &s->maildrop.task);
    if (err != ERR_OK) {
        log_failure(s->options.log, "listing the maildrop", &s->maildrop.task);
        pop3_write_refusal(&s->out,
                           err == ERR_CORRUPT ? POP3_REFUSAL_DAMAGED : POP3_REFUSAL_TEMPORARY);
        pop3_session_end(s);
    } else if (s->pause == POP3_PAUSE_NONE) {
        enter(s, POP3_STATE_TRANSACTION);
        buf_putf(&s->out, "+OK Logged in, %zu messages.\r\n", s->maildrop.count);
    }
}

struct pop3_session *pop3_session_resume_authenticated(const struct pop3_options *options,
                                                       struct vault *vault, int64_t now_ms)
{
    struct pop3_session *s = session_new(options, POP3_STATE_OPENING);

    s->vault = vault;
    s->now_ms = now_ms;
    task_init(&s->maildrop.task, now_ms);
    open_maildrop(s);
    return s;
}

void pop3_session_free(struct pop3_session **session)
{
    struct pop3_session *s = *session;

    if (s == NULL)
        return;
    vault_content_close(&s->content);
    pop3_reader_drop(&s->reader);
    buf_free(&s->out);
    buf_free(&s->piece);
    buf_free(&s->ahead.answer);
    buf_free(&s->username);
    task_done(&s->task);
    task_done(&s->maildrop.task);
    arena_free(&s->arena);
    mem_free(session);
}

void pop3_session_end(struct pop3_session *s)
{
    if (s->state != POP3_STATE_END)
        enter(s, POP3_STATE_END);
}

/* The output's storage goes as soon as an idle session's client has read it. */
static void release(struct pop3_session *s)
{
    if (s->out.len == 0 && s->pause != POP3_PAUSE_TURN)
        buf_free(&s->out);
}

void pop3_session_input(struct pop3_session *s, struct str bytes, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state == POP3_STATE_END || s->pause == POP3_PAUSE_TLS)
        return; /* what follows STLS was not encrypted (RFC 2595 §4, §9) */
    pop3_reader_add(&s->reader, bytes);
    if (s->pause != POP3_PAUSE_NONE && s->pause != POP3_PAUSE_LINE)
        return;
    s->budget = POP3_BUDGET;
    pop3_dispatch(s);
    release(s);
}

bool pop3_session_is_input_full(const struct pop3_session *s)
{
    if (s->state == POP3_STATE_END)
        return true;
    if (s->pause == POP3_PAUSE_NONE || s->pause == POP3_PAUSE_LINE)
        return false;
    return s->reader.in.len >= POP3_PENDING_MAX;
}

void pop3_session_resume(struct pop3_session *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    s->budget = POP3_BUDGET;
    if (s->pause == POP3_PAUSE_TURN && s->out.len < POP3_OUTPUT_HIGH) {
        if (s->state == POP3_STATE_OPENING)
            open_maildrop(s);
        if (s->state != POP3_STATE_OPENING)
            pop3_dispatch(s);
    }
    release(s);
}

enum pop3_want pop3_session_wants(const struct pop3_session *s)
{
    if (s->state == POP3_STATE_END)
        return POP3_WANTS_CLOSE;
    switch (s->pause) {
    case POP3_PAUSE_TURN:
        return s->out.len >= POP3_OUTPUT_HIGH ? POP3_WANTS_ROOM : POP3_WANTS_TURN;
    case POP3_PAUSE_TLS:
        return POP3_WANTS_TLS;
    case POP3_PAUSE_LOGIN:
        return POP3_WANTS_LOGIN;
    case POP3_PAUSE_NONE:
    case POP3_PAUSE_LINE:
        break;
    }
    return POP3_WANTS_INPUT;
}

struct str pop3_session_output(const struct pop3_session *s)
{
    return buf_str(&s->out);
}

void pop3_session_consume_output(struct pop3_session *s, size_t len)
{
    buf_consume(&s->out, len);
    release(s);
    if (pop3_ahead_is_due(s))
        pop3_ahead_read(s);
}

void pop3_session_secured(struct pop3_session *s)
{
    assert(s->pause == POP3_PAUSE_TLS);
    pop3_reader_drop(&s->reader);
    buf_free(&s->username); /* RFC 2595 §4: what was learned before is forgotten */
    s->options.is_utf8 = false;
    s->options.is_secure = true;
    s->options.is_tls = true;
    pop3_dispatch_end_quietly(s);
}

void pop3_session_login(const struct pop3_session *s, struct str *out_username,
                        struct str *out_password)
{
    assert(s->pause == POP3_PAUSE_LOGIN);
    *out_username = s->login_username;
    *out_password = s->login_password;
}

bool pop3_session_is_utf8(const struct pop3_session *s)
{
    return s->options.is_utf8;
}

struct str pop3_session_pending_input(const struct pop3_session *s)
{
    return buf_str(&s->reader.in);
}

void pop3_session_login_failed(struct pop3_session *s, enum pop3_login_result result)
{
    assert(s->pause == POP3_PAUSE_LOGIN);
    buf_free(&s->username);
    switch (result) {
    case POP3_LOGIN_DENIED:
        s->login_failures++;
        pop3_dispatch_refuse(s, POP3_REFUSAL_LOGIN_DENIED);
        break;
    case POP3_LOGIN_UNAVAILABLE:
        pop3_dispatch_refuse(s, POP3_REFUSAL_TEMPORARY);
        break;
    }
    if (s->login_failures >= POP3_LOGIN_FAILURES_MAX)
        pop3_session_end(s);
    else
        pop3_dispatch(s);
}
