/* POP3 as the roles see it (engine.h). */
#include "role/engine.h"

#include "base/clock.h"
#include "imap/session.h"
#include "pop3/session.h"

/* IMAP's APPENDs that share a commit: done before POP3 lists or deletes anything. */
static void before_vault(void *owner, int64_t now_ms)
{
    imap_group_commit(owner, now_ms);
}

/* In the place of IMAP's tag: what the second half must know of the first. */
static const struct str IN_UTF8_MODE = STR_INIT("UTF8");

static struct pop3_options options_of(const struct engine_options *options)
{
    return (struct pop3_options){
        .hostname = options->config->hostname,
        .is_secure = options->may_log_in,
        .is_tls = options->is_tls,
        .is_utf8 = str_equal(options->login_tag, IN_UTF8_MODE),
        .log = options->log,
        .before_vault = options->appends == NULL ? NULL : before_vault,
        .owner = options->appends,
    };
}

static void *begin(const struct engine_options *options)
{
    const struct pop3_options pop3 = options_of(options);

    return pop3_session_new(&pop3);
}

static void *resume_authenticated(const struct engine_options *options)
{
    const struct pop3_options pop3 = options_of(options);

    return pop3_session_resume_authenticated(&pop3, options->vault, clock_now_ms());
}

static void free_session(void *session)
{
    struct pop3_session *gone = session;

    pop3_session_free(&gone);
}

static void input(void *session, struct str bytes, int64_t now_ms)
{
    pop3_session_input(session, bytes, now_ms);
}

static bool is_input_full(const void *session)
{
    return pop3_session_is_input_full(session);
}

static void resume(void *session, int64_t now_ms)
{
    pop3_session_resume(session, now_ms);
}

static enum engine_want wants(const void *session)
{
    static const enum engine_want wanted[] = {
        [POP3_WANTS_INPUT] = ENGINE_WANTS_INPUT, [POP3_WANTS_ROOM] = ENGINE_WANTS_ROOM,
        [POP3_WANTS_TURN] = ENGINE_WANTS_TURN,   [POP3_WANTS_TLS] = ENGINE_WANTS_TLS,
        [POP3_WANTS_LOGIN] = ENGINE_WANTS_LOGIN, [POP3_WANTS_CLOSE] = ENGINE_WANTS_CLOSE,
    };

    return wanted[pop3_session_wants(session)];
}

static struct str output(const void *session)
{
    return pop3_session_output(session);
}

static void consume_output(void *session, size_t len)
{
    pop3_session_consume_output(session, len);
}

static void end(void *session, const char *words)
{
    (void)words;
    pop3_session_end(session);
}

static void secured(void *session)
{
    pop3_session_secured(session);
}

static void login(const void *session, struct str *out_tag, struct str *out_username,
                  struct str *out_password)
{
    *out_tag = pop3_session_is_utf8(session) ? IN_UTF8_MODE : STR("");
    pop3_session_login(session, out_username, out_password);
}

static struct str pending_input(const void *session)
{
    return pop3_session_pending_input(session);
}

static void login_failed(void *session, enum engine_refusal refusal)
{
    switch (refusal) {
    case ENGINE_LOGIN_DENIED:
        pop3_session_login_failed(session, POP3_LOGIN_DENIED);
        return;
    case ENGINE_LOGIN_UNAVAILABLE:
        pop3_session_login_failed(session, POP3_LOGIN_UNAVAILABLE);
        return;
    }
}

/* A POP3 server speaks only when it is asked. */
static void on_output(void *session, void (*call)(void *owner), void *owner)
{
    (void)session;
    (void)call;
    (void)owner;
}

const struct engine_kind engine_pop3 = {
    .service = WIRE_SERVICE_POP3,
    .setting = STR_INIT("pop3"),
    .tls_setting = STR_INIT("pop3s"),
    .too_many = STR_INIT("-ERR [SYS/TEMP] Too many connections, try again later.\r\n"),
    .lost = STR_INIT(""), /* what is said unasked would be taken for the next answer */
    .bye = STR_INIT(""),
    .compress = STR_INIT(""),
    .compressing = STR_INIT(""),
    .output_high = POP3_OUTPUT_HIGH,
    .begin = begin,
    .resume_authenticated = resume_authenticated,
    .free = free_session,
    .input = input,
    .is_input_full = is_input_full,
    .resume = resume,
    .wants = wants,
    .output = output,
    .consume_output = consume_output,
    .end = end,
    .secured = secured,
    .login = login,
    .pending_input = pending_input,
    .login_failed = login_failed,
    .on_output = on_output,
};
