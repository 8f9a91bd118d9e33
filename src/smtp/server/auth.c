/*
 * AUTH PLAIN and LOGIN (RFC 4954, RFC 4616): over TLS, or from loopback where that is allowed. What
 * the client sends is decoded into a secret and wiped as soon as the login is decided.
 */
#include "smtp/server/state.h"

#include "base/encode.h"
#include "base/memory.h"

#include <assert.h>
#include <string.h>

void smtp_login_forget(struct smtp_session *s)
{
    secret_free(&s->username);
    secret_free(&s->password);
}

static void fail_login(struct smtp_session *s, enum smtp_reply reply, int64_t now_ms)
{
    smtp_login_forget(s);
    smtp_next_command(s, now_ms);
    smtp_reply_error(s, reply);
}

/* Base64 to a secret; NULL when it is none. "=" means empty (RFC 4954 §4). */
static struct secret *decode(struct str text)
{
    CLEANUP(buf_free) struct buf decoded;
    struct secret *secret = NULL;

    buf_init(&decoded, SMTP_AUTH_LINE_MAX);
    if (!str_equal(text, STR("=")) && decode_base64(&decoded, text) != ERR_OK)
        return NULL;
    secret = secret_new(decoded.len + 1); /* a secret is never empty: one byte more */
    if (decoded.len > 0)
        memcpy(secret_bytes(secret), decoded.ptr, decoded.len);
    return secret;
}

static struct str meaning(const struct secret *secret)
{
    struct str bytes = secret_str(secret);

    return str_upto(bytes, bytes.len - 1);
}

/* A view into a secret as a secret of its own, in the form of decode(). */
static struct secret *copy(struct str text)
{
    struct secret *secret = secret_new(text.len + 1);

    if (text.len > 0)
        memcpy(secret_bytes(secret), text.ptr, text.len);
    return secret;
}

/* message = [authzid] NUL authcid NUL passwd (RFC 4616 §2) */
static void take_plain(struct smtp_session *s, struct str text, int64_t now_ms)
{
    struct secret *message = decode(text);
    struct str rest, authorise, username;

    if (message == NULL) {
        fail_login(s, SMTP_REPLY_BAD_BASE64, now_ms);
        return;
    }
    rest = meaning(message);
    str_split(&rest, '\0', &authorise);
    if (rest.ptr == NULL || !str_split(&rest, '\0', &username) || rest.ptr == NULL ||
        str_index(rest, '\0') >= 0) {
        secret_free(&message);
        fail_login(s, SMTP_REPLY_BAD_BASE64, now_ms);
        return;
    }
    /* Nobody may act for another: an identity other than the login's is a wrong one. */
    if (authorise.len > 0 && !str_equal(authorise, username))
        username = STR("");
    s->username = copy(username);
    s->password = copy(rest);
    secret_free(&message);
    smtp_ask(s, SMTP_WANTS_LOGIN, now_ms);
}

static void ask_for(struct smtp_session *s, enum smtp_login_step step, int64_t now_ms)
{
    s->login_step = step;
    switch (step) {
    case SMTP_LOGIN_PLAIN:
        buf_put(&s->output, STR("334 \r\n"));
        break;
    case SMTP_LOGIN_USERNAME:
        buf_put(&s->output, STR("334 VXNlcm5hbWU6\r\n")); /* "Username:" */
        break;
    case SMTP_LOGIN_PASSWORD:
        buf_put(&s->output, STR("334 UGFzc3dvcmQ6\r\n")); /* "Password:" */
        break;
    }
    smtp_enter(s, SMTP_STATE_LOGIN_LINE, now_ms);
}

static void take_username(struct smtp_session *s, struct str text, int64_t now_ms)
{
    s->username = decode(text);
    if (s->username == NULL)
        fail_login(s, SMTP_REPLY_BAD_BASE64, now_ms);
    else
        ask_for(s, SMTP_LOGIN_PASSWORD, now_ms);
}

void smtp_login_line(struct smtp_session *s, struct str line, int64_t now_ms)
{
    if (str_equal(line, STR("*"))) {
        fail_login(s, SMTP_REPLY_LOGIN_CANCELLED, now_ms);
        return;
    }
    switch (s->login_step) {
    case SMTP_LOGIN_PLAIN:
        take_plain(s, line, now_ms);
        break;
    case SMTP_LOGIN_USERNAME:
        take_username(s, line, now_ms);
        break;
    case SMTP_LOGIN_PASSWORD:
        s->password = decode(line);
        if (s->password == NULL)
            fail_login(s, SMTP_REPLY_BAD_BASE64, now_ms);
        else
            smtp_ask(s, SMTP_WANTS_LOGIN, now_ms);
        break;
    }
}

void smtp_run_auth(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    struct str rest = argument, mechanism;
    bool is_plain, has_response;

    str_split(&rest, ' ', &mechanism);
    has_response = rest.ptr != NULL;
    is_plain = str_equal_nocase(mechanism, STR("PLAIN"));
    if (id_is_set(&s->mailbox))
        smtp_reply_error(s, SMTP_REPLY_LOGGED_IN_ALREADY);
    else if (!s->is_tls && !s->options.may_login_plain)
        smtp_reply_error(s, SMTP_REPLY_TLS_BEFORE_LOGIN);
    else if (!is_plain && !str_equal_nocase(mechanism, STR("LOGIN")))
        smtp_reply_error(s, SMTP_REPLY_UNKNOWN_MECHANISM);
    else if (!has_response)
        ask_for(s, is_plain ? SMTP_LOGIN_PLAIN : SMTP_LOGIN_USERNAME, now_ms);
    else if (is_plain)
        take_plain(s, str_trim(rest), now_ms);
    else
        take_username(s, str_trim(rest), now_ms);
}

void smtp_session_login(const struct smtp_session *s, struct str *out_username,
                        struct str *out_password)
{
    assert(s->state == SMTP_STATE_WAITING && s->asked == SMTP_WANTS_LOGIN);
    *out_username = meaning(s->username);
    *out_password = meaning(s->password);
}

void smtp_session_login_done(struct smtp_session *s, enum wire_status status,
                             const struct id *mailbox, int64_t now_ms)
{
    if (s->state != SMTP_STATE_WAITING || s->asked != SMTP_WANTS_LOGIN)
        return; /* it is over already */
    smtp_login_forget(s);
    smtp_reply(s, smtp_reply_to(SMTP_QUESTION_LOGIN, status));
    if (status == WIRE_OK) {
        s->mailbox = *mailbox;
        s->is_admitted = true;
    } else if (++s->login_failure_count >= SMTP_LOGIN_FAILURES_MAX) {
        log_info(s->options.log, "too many failed logins, closing");
        smtp_close(s);
        return;
    }
    smtp_next_command(s, now_ms);
    smtp_session_resume(s, now_ms);
}
