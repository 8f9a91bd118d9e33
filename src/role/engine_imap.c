/* IMAP as the roles see it (engine.h). */
#include "role/engine.h"

#include "imap/hibernate.h"
#include "imap/session.h"

static struct imap_options options_of(const struct engine_options *options)
{
    return (struct imap_options){
        .hostname = options->config->hostname,
        .append_limit_bytes = options->config->message_size_max,
        .message_limit = (uint32_t)options->config->imap_message_limit,
        .is_secure = options->may_log_in,
        .is_tls = options->is_tls,
        .log = options->log,
        .group = options->appends,
    };
}

static void *begin(const struct engine_options *options)
{
    const struct imap_options imap = options_of(options);

    return imap_session_new(&imap);
}

static void *resume_authenticated(const struct engine_options *options)
{
    const struct imap_options imap = options_of(options);

    return imap_session_resume_authenticated(&imap, options->vault, options->login_tag);
}

static void free_session(void *session)
{
    struct imap_session *gone = session;

    imap_session_free(&gone);
}

static void input(void *session, struct str bytes, int64_t now_ms)
{
    imap_session_input(session, bytes, now_ms);
}

static bool is_input_full(const void *session)
{
    return imap_session_is_input_full(session);
}

static void resume(void *session, int64_t now_ms)
{
    imap_session_resume(session, now_ms);
}

static enum engine_want wants(const void *session)
{
    static const enum engine_want wanted[] = {
        [IMAP_WANTS_INPUT] = ENGINE_WANTS_INPUT,       [IMAP_WANTS_ROOM] = ENGINE_WANTS_ROOM,
        [IMAP_WANTS_TURN] = ENGINE_WANTS_TURN,         [IMAP_WANTS_TLS] = ENGINE_WANTS_TLS,
        [IMAP_WANTS_LOGIN] = ENGINE_WANTS_LOGIN,       [IMAP_WANTS_CLOSE] = ENGINE_WANTS_CLOSE,
        [IMAP_WANTS_COMPRESS] = ENGINE_WANTS_COMPRESS,
    };

    return wanted[imap_session_wants(session)];
}

static struct str output(const void *session)
{
    return imap_session_output(session);
}

static void consume_output(void *session, size_t len)
{
    imap_session_consume_output(session, len);
}

static void end(void *session, const char *words)
{
    imap_session_bye(session, words);
}

static void secured(void *session)
{
    imap_session_secured(session);
}

static void login(const void *session, struct str *out_tag, struct str *out_username,
                  struct str *out_password)
{
    imap_session_login(session, out_tag, out_username, out_password);
}

static uint64_t receiving(const void *session)
{
    return imap_session_receiving(session);
}

static struct str pending_input(const void *session)
{
    return imap_session_pending_input(session);
}

static void login_failed(void *session, enum engine_refusal refusal)
{
    switch (refusal) {
    case ENGINE_LOGIN_DENIED:
        imap_session_login_failed(session, IMAP_LOGIN_DENIED);
        return;
    case ENGINE_LOGIN_UNAVAILABLE:
        imap_session_login_failed(session, IMAP_LOGIN_UNAVAILABLE);
        return;
    }
}

static void on_output(void *session, void (*call)(void *owner), void *owner)
{
    imap_session_on_output(session, call, owner);
}

static void compressed(void *session)
{
    imap_session_compressed(session);
}

static bool can_hibernate(const void *session)
{
    return imap_session_can_hibernate(session);
}

static void hibernate(const void *session, struct buf *out)
{
    imap_session_hibernate(session, out);
}

static int64_t watched_folder(const void *session)
{
    return imap_session_watched_folder(session);
}

static enum err resume_hibernated(const struct engine_options *options, struct task *task,
                                  struct str state, void **out_session)
{
    const struct imap_options imap = options_of(options);
    struct imap_session *session;

    TRY(imap_session_resume_hibernated(&imap, options->vault, task, state, &session));
    *out_session = session;
    return ERR_OK;
}

static bool is_bulk(const void *session)
{
    return imap_session_is_bulk(session);
}

static void set_bulk(void *session, bool is_on)
{
    imap_session_set_bulk(session, is_on);
}

static void ask_load(void *session, bool (*is_under_load)(void *owner), void *owner)
{
    imap_session_ask_load(session, is_under_load, owner);
}

const struct engine_kind engine_imap = {
    .service = WIRE_SERVICE_IMAP,
    .setting = STR_INIT("imap"),
    .tls_setting = STR_INIT("imaps"),
    .too_many = STR_INIT("* BYE too many connections, try again later\r\n"),
    .lost = STR_INIT("* BYE [UNAVAILABLE] the mailbox is not available just now\r\n"),
    .bye = STR_INIT("* BYE"),
    .compress = STR_INIT("COMPRESS DEFLATE"),
    .compressing = STR_INIT(" OK " IMAP_COMPRESSING),
    .output_high = IMAP_OUTPUT_HIGH,
    .begin = begin,
    .resume_authenticated = resume_authenticated,
    .free = free_session,
    .input = input,
    .is_input_full = is_input_full,
    .receiving = receiving,
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
    .compressed = compressed,
    .can_hibernate = can_hibernate,
    .hibernate = hibernate,
    .watched_folder = watched_folder,
    .resume_hibernated = resume_hibernated,
    .is_bulk = is_bulk,
    .set_bulk = set_bulk,
    .ask_load = ask_load,
};
