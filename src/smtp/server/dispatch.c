/*
 * The commands, and those of them that fit in a few lines. One table lists them; dispatch, HELP,
 * the answer to EHLO and the test that looks for transcripts read it.
 */
#include "smtp/server/state.h"

#include "base/ascii.h"
#include "base/macros.h"

#include <inttypes.h>
#include <string.h>

enum flag {
    NEEDS_HELO = 1 << 0,
    NEEDS_TLS = 1 << 1,   /* on submission: TLS, or loopback where that is allowed */
    NEEDS_LOGIN = 1 << 2, /* on submission */
    NEEDS_MAIL = 1 << 3,
    NO_MAIL = 1 << 4,     /* not between MAIL and the end of the transaction */
    NO_ARGUMENT = 1 << 5,
    ONE_ARGUMENT = 1 << 6,
    NO_CHUNKS = 1 << 7,   /* not once BDAT was begun (RFC 3030 §2) */
    SUBMISSION_ONLY = 1 << 8,
};

/* What EHLO tells; some only where they can be used. */
enum offer { OFFER_ALWAYS, OFFER_SIZE, OFFER_LIMITS, OFFER_STARTTLS, OFFER_WITH_TLS, OFFER_AUTH };

static const struct {
    const char *words;
    enum offer offer;
    const char *rfc; /* where it is defined */
} extensions[] = {
    {"PIPELINING", OFFER_ALWAYS, "RFC 2920"},
    {"SIZE", OFFER_SIZE, "RFC 1870"},
    {"8BITMIME", OFFER_ALWAYS, "RFC 6152"},
    {"SMTPUTF8", OFFER_ALWAYS, "RFC 6531"},
    {"ENHANCEDSTATUSCODES", OFFER_ALWAYS, "RFC 2034"},
    {"CHUNKING", OFFER_ALWAYS, "RFC 3030"},
    {"DSN", OFFER_ALWAYS, "RFC 3461"},
    {"LIMITS", OFFER_LIMITS, "RFC 9422"},
    {"REQUIRETLS", OFFER_WITH_TLS, "RFC 8689"},
    {"STARTTLS", OFFER_STARTTLS, "RFC 3207"},
    {"AUTH PLAIN LOGIN", OFFER_AUTH, "RFC 4954"},
    {"HELP", OFFER_ALWAYS, "RFC 5321 §4.1.1.8"},
};

bool smtp_extension_at(size_t index, const char **out_words, const char **out_rfc)
{
    if (index >= ARRAY_LEN(extensions))
        return false;
    *out_words = extensions[index].words;
    *out_rfc = extensions[index].rfc;
    return true;
}

static bool may_log_in(const struct smtp_session *s)
{
    return s->options.service == SMTP_SERVICE_SUBMISSION &&
           (s->is_tls || s->options.may_login_plain);
}

static bool is_offered(const struct smtp_session *s, enum offer offer)
{
    switch (offer) {
    case OFFER_ALWAYS:
    case OFFER_SIZE:
    case OFFER_LIMITS:
        return true;
    case OFFER_STARTTLS:
        return !s->is_tls;
    case OFFER_WITH_TLS:
        return s->is_tls;
    case OFFER_AUTH:
        return may_log_in(s) && !id_is_set(&s->mailbox);
    }
    return false;
}

static void run_greeting(struct smtp_session *s, struct str argument, bool is_extended)
{
    smtp_transaction_reset(s);
    buf_reset(&s->helo);
    buf_put(&s->helo, argument);
    s->is_extended = is_extended;
}

static void run_ehlo(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    size_t last = 0;

    (void)now_ms;
    run_greeting(s, argument, true);
    buf_putf(&s->output, "250-%.*s\r\n", STR_ARG(s->options.hostname));
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
        if (is_offered(s, extensions[i].offer))
            last = i;
    }
    for (size_t i = 0; i <= last; i++) {
        if (!is_offered(s, extensions[i].offer))
            continue;
        buf_putf(&s->output, "250%c%s", i < last ? '-' : ' ', extensions[i].words);
        if (extensions[i].offer == OFFER_SIZE)
            buf_putf(&s->output, " %" PRIu64, s->options.message_size_max);
        else if (extensions[i].offer == OFFER_LIMITS)
            buf_putf(&s->output, " RCPTMAX=%" PRIu64, s->options.recipients_max);
        buf_put(&s->output, STR("\r\n"));
    }
}

static void run_helo(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)now_ms;
    run_greeting(s, argument, false);
    buf_putf(&s->output, "250 %.*s\r\n", STR_ARG(s->options.hostname));
}

static void run_rset(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)argument;
    (void)now_ms;
    smtp_transaction_reset(s);
    smtp_reply(s, SMTP_REPLY_OK);
}

static void run_noop(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)argument;
    (void)now_ms;
    smtp_reply(s, SMTP_REPLY_OK);
}

static void run_quit(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)argument;
    (void)now_ms;
    smtp_reply(s, SMTP_REPLY_BYE);
    smtp_close(s);
}

static void run_vrfy(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)argument;
    (void)now_ms;
    smtp_reply(s, SMTP_REPLY_CANNOT_VERIFY); /* RFC 5321 §7.3 */
}

static void run_expn(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)argument;
    (void)now_ms;
    smtp_reply_error(s, SMTP_REPLY_NOT_IMPLEMENTED);
}

static void run_help(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)argument;
    (void)now_ms;
    for (size_t i = 0; i < smtp_command_count; i++)
        buf_putf(&s->output, "214-2.0.0 %s\r\n", smtp_commands[i].syntax);
    buf_put(&s->output, STR("214 2.0.0 See RFC 5321\r\n"));
}

static void run_starttls(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    (void)argument;
    if (s->is_tls) {
        smtp_reply_error(s, SMTP_REPLY_TLS_ALREADY);
        return;
    }
    smtp_reply(s, SMTP_REPLY_GO_TLS);
    smtp_enter(s, SMTP_STATE_TLS, now_ms);
}

enum {
    SHORT = SMTP_COMMAND_LINE_MAX,
    LONG = SMTP_EXTENDED_LINE_MAX,
};

/* In the order of RFC 5321 §4.1.1, then the extensions. */
const struct smtp_command smtp_commands[] = {
    {STR_INIT("EHLO"), ONE_ARGUMENT, SHORT, "EHLO domain", run_ehlo},               /* §4.1.1.1 */
    {STR_INIT("HELO"), ONE_ARGUMENT, SHORT, "HELO domain", run_helo},               /* §4.1.1.1 */
    {STR_INIT("MAIL"), NEEDS_HELO | NEEDS_TLS | NEEDS_LOGIN | NO_MAIL, LONG,
     "MAIL FROM:<address> [SIZE=n] [BODY=7BIT|8BITMIME] [SMTPUTF8] [REQUIRETLS] [RET=FULL|HDRS] "
     "[ENVID=id]",
     smtp_run_mail},                                                                 /* §4.1.1.2 */
    {STR_INIT("RCPT"), NEEDS_MAIL | NO_CHUNKS, LONG,
     "RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;address]",
     smtp_run_rcpt},                                                                 /* §4.1.1.3 */
    {STR_INIT("DATA"), NEEDS_MAIL | NO_CHUNKS | NO_ARGUMENT, SHORT, "DATA",
     smtp_run_data},                                                                 /* §4.1.1.4 */
    {STR_INIT("RSET"), NO_ARGUMENT, SHORT, "RSET", run_rset},                        /* §4.1.1.5 */
    {STR_INIT("VRFY"), ONE_ARGUMENT, SHORT, "VRFY name", run_vrfy},                  /* §4.1.1.6 */
    {STR_INIT("EXPN"), 0, SHORT, "EXPN list (not implemented)", run_expn},           /* §4.1.1.7 */
    {STR_INIT("HELP"), 0, SHORT, "HELP", run_help},                                  /* §4.1.1.8 */
    {STR_INIT("NOOP"), 0, SHORT, "NOOP", run_noop},                                  /* §4.1.1.9 */
    {STR_INIT("QUIT"), NO_ARGUMENT, SHORT, "QUIT", run_quit},                        /* §4.1.1.10 */
    /* Whatever its line looks like, only BDAT itself may say that no chunk follows. */
    {STR_INIT("BDAT"), 0, SMTP_AUTH_LINE_MAX, "BDAT size [LAST]", smtp_run_bdat},    /* RFC 3030 */
    {STR_INIT("STARTTLS"), NO_MAIL | NO_ARGUMENT, SHORT, "STARTTLS", run_starttls},  /* RFC 3207 */
    {STR_INIT("AUTH"), SUBMISSION_ONLY | NEEDS_HELO | NO_MAIL | ONE_ARGUMENT, SMTP_AUTH_LINE_MAX,
     "AUTH PLAIN|LOGIN [initial response]", smtp_run_auth},                          /* RFC 4954 */
};
const size_t smtp_command_count = ARRAY_LEN(smtp_commands);

/* The first thing that is wrong, before the command is run. */
static bool find_refusal(const struct smtp_session *s, const struct smtp_command *command,
                         struct str argument, size_t raw_len, enum smtp_reply *out_refusal)
{
    bool is_submission = s->options.service == SMTP_SERVICE_SUBMISSION;
    unsigned flags = command->flags;

    if (raw_len > command->line_max)
        *out_refusal = SMTP_REPLY_LINE_TOO_LONG;
    else if ((flags & SUBMISSION_ONLY) && !is_submission)
        *out_refusal = SMTP_REPLY_NOT_IMPLEMENTED;
    else if ((flags & NO_ARGUMENT) && argument.len > 0)
        *out_refusal = SMTP_REPLY_BAD_ARGUMENT;
    else if ((flags & ONE_ARGUMENT) && (argument.len == 0 || !str_is_utf8(argument)))
        *out_refusal = SMTP_REPLY_BAD_ARGUMENT;
    else if ((flags & NEEDS_HELO) && s->helo.len == 0)
        *out_refusal = SMTP_REPLY_HELO_FIRST;
    else if ((flags & NEEDS_TLS) && is_submission && !may_log_in(s))
        *out_refusal = SMTP_REPLY_TLS_FIRST;
    else if ((flags & NEEDS_LOGIN) && is_submission && !id_is_set(&s->mailbox))
        *out_refusal = SMTP_REPLY_LOGIN_FIRST;
    else if ((flags & NO_CHUNKS) && s->transaction.is_chunked)
        *out_refusal = SMTP_REPLY_CHUNKS_BEGUN;
    else if ((flags & NEEDS_MAIL) && !s->transaction.is_open)
        *out_refusal = SMTP_REPLY_MAIL_FIRST;
    else if ((flags & NO_MAIL) && s->transaction.is_open)
        *out_refusal = command->run == smtp_run_mail ? SMTP_REPLY_NESTED_MAIL
                                                     : SMTP_REPLY_NOT_IN_TRANSACTION;
    else
        return false;
    return true;
}

void smtp_dispatch(struct smtp_session *s, struct str line, size_t raw_len, int64_t now_ms)
{
    struct str verb, argument;
    enum smtp_reply refusal;

    smtp_command_split(line, &verb, &argument);
    for (size_t i = 0; i < smtp_command_count; i++) {
        if (!str_equal_nocase(verb, smtp_commands[i].verb))
            continue;
        if (find_refusal(s, &smtp_commands[i], argument, raw_len, &refusal))
            smtp_reply_error(s, refusal);
        else
            smtp_commands[i].run(s, argument, now_ms);
        return;
    }
    /* A browser that was made to speak to this port: nothing in its request is a command. */
    if (str_find(line, STR(" HTTP/")) >= 0) {
        smtp_reply(s, SMTP_REPLY_NOT_SMTP);
        smtp_close(s);
        return;
    }
    smtp_reply_error(s, raw_len > SMTP_COMMAND_LINE_MAX ? SMTP_REPLY_LINE_TOO_LONG
                                                        : SMTP_REPLY_UNKNOWN_COMMAND);
}
