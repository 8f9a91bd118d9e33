/*
 * The life of a connection.
 *
 *   GREETING ──> HELLO ──────────────> READY ──> ENVELOPE ──> TEXT ──> END ──> READY
 *                 │ ▲ └> OLD_HELLO ──>           │
 *                 ▼ │ └> LOGIN ──────>           └──> RESET ──> READY        any ──> CLOSED
 *            STARTTLS ──> SECURING
 *
 *   GREETING -> HELLO       on_greeting
 *   HELLO -> OLD_HELLO      on_hello: EHLO is not known
 *   HELLO -> STARTTLS       hello_done; SECURING -> HELLO smtp_client_secured
 *   HELLO -> LOGIN, READY   hello_done
 *   READY -> ENVELOPE       smtp_client_send; its way back to READY is mail.c's
 *   any -> CLOSED           smtp_client_end
 *   While READY nothing is expected: what the server says by itself ends the session.
 */
#include "smtp/client/session.h"

#include "base/encode.h"
#include "base/macros.h"
#include "base/memory.h"
#include "smtp/client/state.h"

#include <assert.h>
#include <stdlib.h>

#define STATE(name) BIT(SMTP_CLIENT_##name)

static const struct {
    const char *name;
    unsigned next;     /* CLOSED is always allowed */
    const char *doing; /* for "the connection was lost while …" */
} states[SMTP_CLIENT_STATE_COUNT] = {
    [SMTP_CLIENT_GREETING] = {"greeting", STATE(HELLO), "waiting for the greeting"},
    [SMTP_CLIENT_HELLO] = {"hello",
                           STATE(OLD_HELLO) | STATE(STARTTLS) | STATE(LOGIN) | STATE(READY),
                           "waiting for the reply to EHLO"},
    [SMTP_CLIENT_OLD_HELLO] = {"old hello", STATE(READY), "waiting for the reply to HELO"},
    [SMTP_CLIENT_STARTTLS] = {"starttls", STATE(SECURING) | STATE(LOGIN) | STATE(READY),
                              "waiting for the reply to STARTTLS"},
    [SMTP_CLIENT_SECURING] = {"securing", STATE(HELLO), "starting TLS"},
    [SMTP_CLIENT_LOGIN] = {"login", STATE(READY), "waiting for the reply to AUTH"},
    [SMTP_CLIENT_READY] = {"ready", STATE(ENVELOPE), "waiting between two messages"},
    [SMTP_CLIENT_ENVELOPE] = {"envelope", STATE(READY) | STATE(TEXT) | STATE(END) | STATE(RESET),
                              "telling sender and recipients"},
    [SMTP_CLIENT_TEXT] = {"text", STATE(END), "sending the message"},
    [SMTP_CLIENT_END] = {"end", STATE(READY), "waiting for the reply to the message"},
    [SMTP_CLIENT_RESET] = {"reset", STATE(READY), "waiting for the reply to RSET"},
    [SMTP_CLIENT_CLOSED] = {"closed", 0, "closing"},
};

/* When a server gives no enhanced code, and for what we say ourselves (RFC 3463). */
static const struct smtp_enhanced ending_codes[] = {
    [SMTP_CLIENT_ENDED_NOT] = {0, 0, 0},     [SMTP_CLIENT_ENDED_QUIT] = {0, 0, 0},
    [SMTP_CLIENT_ENDED_REFUSED] = {4, 3, 2}, [SMTP_CLIENT_ENDED_NO_TLS] = {4, 7, 4},
    [SMTP_CLIENT_ENDED_CLOSING] = {4, 3, 2}, [SMTP_CLIENT_ENDED_PROTOCOL] = {4, 5, 0},
    [SMTP_CLIENT_ENDED_TIMEOUT] = {4, 4, 2}, [SMTP_CLIENT_ENDED_LOST] = {4, 4, 2},
};

void smtp_client_enter(struct smtp_client *client, enum smtp_client_state next)
{
    assert(next == SMTP_CLIENT_CLOSED || (states[client->state].next & BIT(next)) != 0);
    log_debug(client->options.log, "%s -> %s", states[client->state].name, states[next].name);
    client->state = next;
}

void smtp_client_wait(struct smtp_client *client, int64_t for_ms, int64_t now_ms)
{
    client->deadline_ms = now_ms + for_ms;
}

void smtp_client_end(struct smtp_client *client, enum smtp_client_ending ending,
                     const struct smtp_reply *reply, struct str words)
{
    struct smtp_client_trouble *trouble = &client->trouble;
    struct buf shown;

    if (client->state == SMTP_CLIENT_CLOSED)
        return;
    buf_init(&shown, SIZE_MAX);
    trouble->ending = ending;
    trouble->is_tls = client->state == SMTP_CLIENT_SECURING;
    trouble->enhanced = ending_codes[ending];
    if (reply != NULL) {
        trouble->code = reply->code;
        if (reply->enhanced.class != 0)
            trouble->enhanced = reply->enhanced;
        else if (ending == SMTP_CLIENT_ENDED_REFUSED)
            trouble->enhanced = (struct smtp_enhanced){reply->code / 100, 0, 0};
        smtp_reply_words(reply->text, SMTP_CLIENT_WORDS_MAX, &shown);
    }
    if (shown.len == 0 && words.len > 0)
        smtp_reply_words(words, SMTP_CLIENT_WORDS_MAX, &shown);
    if (shown.len == 0)
        buf_putf(&shown, "the server refused while %s", states[client->state].doing);
    trouble->words = arena_copy(&client->arena, buf_str(&shown));
    buf_free(&shown);
    smtp_client_mail_broken(client);
    buf_reset(&client->output);
    if (ending == SMTP_CLIENT_ENDED_REFUSED || ending == SMTP_CLIENT_ENDED_NO_TLS ||
        (ending == SMTP_CLIENT_ENDED_QUIT && client->state == SMTP_CLIENT_READY))
        buf_put(&client->output, STR("QUIT\r\n"));
    smtp_client_enter(client, SMTP_CLIENT_CLOSED);
    client->deadline_ms = INT64_MAX;
}

static void end_while(struct smtp_client *client, enum smtp_client_ending ending, const char *what)
{
    struct buf words;

    buf_init(&words, SIZE_MAX);
    buf_putf(&words, "%s while %s", what, states[client->state].doing);
    smtp_client_end(client, ending, NULL, buf_str(&words));
    buf_free(&words);
}

/* A reply that is not the one to go on with. */
static void refused(struct smtp_client *client, const struct smtp_reply *reply)
{
    smtp_client_end(client,
                    reply->code >= 400 ? SMTP_CLIENT_ENDED_REFUSED : SMTP_CLIENT_ENDED_PROTOCOL,
                    reply, STR(""));
}

static void say_hello(struct smtp_client *client, const char *verb, int64_t now_ms)
{
    buf_putf(&client->output, "%s %.*s\r\n", verb, STR_ARG(client->options.hostname));
    smtp_client_wait(client, client->options.timeouts.greeting_ms, now_ms);
}

static void on_greeting(struct smtp_client *client, const struct smtp_reply *reply, int64_t now_ms)
{
    if (reply->code != 220) {
        refused(client, reply);
        return;
    }
    smtp_client_enter(client, SMTP_CLIENT_HELLO);
    say_hello(client, "EHLO", now_ms);
}

static void log_in(struct smtp_client *client, int64_t now_ms)
{
    struct buf plain;

    if (!client->is_secure) {
        smtp_client_end(client, SMTP_CLIENT_ENDED_NO_TLS, NULL,
                        STR("a password is sent over TLS only, which the server does not offer"));
        return;
    }
    if (!smtp_extensions_has(&client->extensions, SMTP_EXTENSION_AUTH_PLAIN)) {
        smtp_client_end(client, SMTP_CLIENT_ENDED_REFUSED, NULL,
                        STR("the server does not offer AUTH PLAIN"));
        return;
    }
    buf_init(&plain, SIZE_MAX);
    buf_put(&plain, str_make("", 1));
    buf_put(&plain, client->options.user);
    buf_put(&plain, str_make("", 1));
    if (client->options.password != NULL)
        buf_put(&plain, secret_str(client->options.password));
    buf_put(&client->output, STR("AUTH PLAIN "));
    if (encode_base64(&client->output, buf_str(&plain)) != ERR_OK)
        abort(); /* the buffer has no limit */
    buf_put(&client->output, STR("\r\n"));
    mem_wipe(plain.ptr, plain.len);
    buf_free(&plain);
    smtp_client_enter(client, SMTP_CLIENT_LOGIN);
    smtp_client_wait(client, client->options.timeouts.greeting_ms, now_ms);
}

static void become_ready(struct smtp_client *client)
{
    smtp_client_enter(client, SMTP_CLIENT_READY);
    client->deadline_ms = INT64_MAX;
}

/* TLS is as it will be. */
static void authenticated_or_ready(struct smtp_client *client, int64_t now_ms)
{
    if (client->options.user.len > 0)
        log_in(client, now_ms);
    else
        become_ready(client);
}

static void hello_done(struct smtp_client *client, int64_t now_ms)
{
    bool is_offered = smtp_extensions_has(&client->extensions, SMTP_EXTENSION_STARTTLS);

    if (client->is_secure || client->options.tls == SMTP_CLIENT_TLS_NEVER ||
        (!is_offered && client->options.tls == SMTP_CLIENT_TLS_OFFERED)) {
        authenticated_or_ready(client, now_ms);
    } else if (is_offered) {
        smtp_client_enter(client, SMTP_CLIENT_STARTTLS);
        buf_put(&client->output, STR("STARTTLS\r\n"));
        smtp_client_wait(client, client->options.timeouts.greeting_ms, now_ms);
    } else {
        smtp_client_end(client, SMTP_CLIENT_ENDED_NO_TLS, NULL,
                        STR("TLS is required, and the server does not offer it"));
    }
}

static void on_hello(struct smtp_client *client, const struct smtp_reply *reply, int64_t now_ms)
{
    if (reply->code / 100 == 2) {
        smtp_extensions_parse(reply->text, &client->extensions);
        hello_done(client, now_ms);
    } else if (reply->code / 100 == 5 && !client->is_secure) {
        smtp_client_enter(client, SMTP_CLIENT_OLD_HELLO);
        say_hello(client, "HELO", now_ms);
    } else {
        refused(client, reply);
    }
}

static void on_old_hello(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (reply->code / 100 != 2)
        refused(client, reply);
    else if (client->options.tls == SMTP_CLIENT_TLS_REQUIRED || client->options.user.len > 0)
        smtp_client_end(client, SMTP_CLIENT_ENDED_NO_TLS, NULL,
                        STR("TLS is required, and the server knows no extensions"));
    else
        become_ready(client);
}

static void on_starttls(struct smtp_client *client, const struct smtp_reply *reply, int64_t now_ms)
{
    if (reply->code == 220) {
        smtp_client_enter(client, SMTP_CLIENT_SECURING);
        smtp_client_wait(client, client->options.timeouts.greeting_ms, now_ms);
    } else if (reply->code < 400) {
        smtp_client_end(client, SMTP_CLIENT_ENDED_PROTOCOL, reply, STR(""));
    } else if (client->options.tls == SMTP_CLIENT_TLS_REQUIRED) {
        smtp_client_end(client, SMTP_CLIENT_ENDED_NO_TLS, reply, STR(""));
    } else {
        authenticated_or_ready(client, now_ms);
    }
}

static void on_login(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (reply->code == 235)
        become_ready(client);
    else
        refused(client, reply);
}

static void on_reset(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (reply->code / 100 == 2)
        become_ready(client);
    else
        smtp_client_end(client, SMTP_CLIENT_ENDED_PROTOCOL, reply, STR(""));
}

static void on_reply(struct smtp_client *client, const struct smtp_reply *reply, int64_t now_ms)
{
    /* Whatever was asked: it goes. */
    if (reply->code == 421) {
        smtp_client_end(client, SMTP_CLIENT_ENDED_CLOSING, reply, STR(""));
        return;
    }
    switch (client->state) {
    case SMTP_CLIENT_GREETING:
        on_greeting(client, reply, now_ms);
        break;
    case SMTP_CLIENT_HELLO:
        on_hello(client, reply, now_ms);
        break;
    case SMTP_CLIENT_OLD_HELLO:
        on_old_hello(client, reply);
        break;
    case SMTP_CLIENT_STARTTLS:
        on_starttls(client, reply, now_ms);
        break;
    case SMTP_CLIENT_LOGIN:
        on_login(client, reply);
        break;
    case SMTP_CLIENT_ENVELOPE:
    case SMTP_CLIENT_TEXT:
    case SMTP_CLIENT_END:
        smtp_client_mail_reply(client, reply, now_ms);
        break;
    case SMTP_CLIENT_RESET:
        on_reset(client, reply);
        break;
    case SMTP_CLIENT_READY:
        smtp_client_end(client, SMTP_CLIENT_ENDED_PROTOCOL, reply, STR(""));
        break;
    case SMTP_CLIENT_SECURING:
    case SMTP_CLIENT_CLOSED:
    case SMTP_CLIENT_STATE_COUNT:
        abort(); /* no reply is read in these */
    }
}

void smtp_client_input(struct smtp_client *client, struct str bytes, int64_t now_ms)
{
    struct smtp_reply reply;

    while (bytes.len > 0 && client->state != SMTP_CLIENT_CLOSED) {
        if (client->state == SMTP_CLIENT_SECURING) {
            /* Sent behind the 220 in clear: by somebody in between, for all we know. */
            end_while(client, SMTP_CLIENT_ENDED_PROTOCOL, "the server went on in clear");
            return;
        }
        switch (smtp_reply_read(&client->reader, &bytes, &reply)) {
        case SMTP_REPLY_PARTIAL:
            return;
        case SMTP_REPLY_BROKEN:
            end_while(client, SMTP_CLIENT_ENDED_PROTOCOL,
                      "the server's reply was too long, or none of SMTP's,");
            return;
        case SMTP_REPLY_WHOLE:
            on_reply(client, &reply, now_ms);
            break;
        }
    }
}

struct str smtp_client_output(const struct smtp_client *client)
{
    return buf_str(&client->output);
}

void smtp_client_consume_output(struct smtp_client *client, size_t len, int64_t now_ms)
{
    buf_consume(&client->output, len);
    if (client->state == SMTP_CLIENT_TEXT) {
        client->mail.taken_bytes += len;
        smtp_client_mail_fill(client, now_ms);
    }
}

enum smtp_client_want smtp_client_wants(const struct smtp_client *client)
{
    switch (client->state) {
    case SMTP_CLIENT_SECURING:
        return SMTP_CLIENT_WANTS_TLS;
    case SMTP_CLIENT_READY:
        return SMTP_CLIENT_WANTS_MAIL;
    case SMTP_CLIENT_CLOSED:
        return SMTP_CLIENT_WANTS_CLOSE;
    case SMTP_CLIENT_GREETING:
    case SMTP_CLIENT_HELLO:
    case SMTP_CLIENT_OLD_HELLO:
    case SMTP_CLIENT_STARTTLS:
    case SMTP_CLIENT_LOGIN:
    case SMTP_CLIENT_ENVELOPE:
    case SMTP_CLIENT_TEXT:
    case SMTP_CLIENT_END:
    case SMTP_CLIENT_RESET:
    case SMTP_CLIENT_STATE_COUNT:
        break;
    }
    return SMTP_CLIENT_WANTS_INPUT;
}

void smtp_client_lost(struct smtp_client *client, struct str words, int64_t now_ms)
{
    (void)now_ms;
    if (client->state == SMTP_CLIENT_CLOSED)
        return;
    if (words.len > 0)
        smtp_client_end(client, SMTP_CLIENT_ENDED_LOST, NULL, words);
    else
        end_while(client, SMTP_CLIENT_ENDED_LOST, "the connection was lost");
}

void smtp_client_secured(struct smtp_client *client, int64_t now_ms)
{
    if (client->state != SMTP_CLIENT_SECURING)
        return;
    client->is_secure = true;
    client->extensions = (struct smtp_extensions){0};
    smtp_client_enter(client, SMTP_CLIENT_HELLO);
    say_hello(client, "EHLO", now_ms);
}

int64_t smtp_client_deadline(const struct smtp_client *client)
{
    return client->deadline_ms;
}

void smtp_client_expire(struct smtp_client *client, int64_t now_ms)
{
    if (now_ms >= client->deadline_ms)
        end_while(client, SMTP_CLIENT_ENDED_TIMEOUT, "time ran out");
}

void smtp_client_quit(struct smtp_client *client, int64_t now_ms)
{
    (void)now_ms;
    smtp_client_end(client, SMTP_CLIENT_ENDED_QUIT, NULL, STR("it was broken off"));
}

struct smtp_client_trouble smtp_client_trouble(const struct smtp_client *client)
{
    return client->trouble;
}

bool smtp_client_has_dsn(const struct smtp_client *client)
{
    return smtp_extensions_has(&client->extensions, SMTP_EXTENSION_DSN);
}

bool smtp_client_is_secure(const struct smtp_client *client)
{
    return client->is_secure;
}

static int64_t or_else(int64_t given_ms, int64_t minutes)
{
    return given_ms > 0 ? given_ms : minutes * 60 * 1000;
}

struct smtp_client *smtp_client_new(const struct smtp_client_options *options, int64_t now_ms)
{
    struct smtp_client *client = NEW(struct smtp_client);
    struct smtp_client_timeouts *timeouts = &client->options.timeouts;

    client->options = *options;
    client->options.hostname = arena_copy(&client->arena, options->hostname);
    client->options.user = arena_copy(&client->arena, options->user);
    timeouts->greeting_ms = or_else(timeouts->greeting_ms, 5);
    timeouts->mail_ms = or_else(timeouts->mail_ms, 5);
    timeouts->rcpt_ms = or_else(timeouts->rcpt_ms, 5);
    timeouts->data_ms = or_else(timeouts->data_ms, 2);
    timeouts->block_ms = or_else(timeouts->block_ms, 3);
    timeouts->end_ms = or_else(timeouts->end_ms, 10);
    client->is_secure = options->is_secure;
    smtp_reply_reader_init(&client->reader);
    buf_init(&client->output, SIZE_MAX);
    client->state = SMTP_CLIENT_GREETING;
    smtp_client_wait(client, timeouts->greeting_ms, now_ms);
    return client;
}

void smtp_client_free(struct smtp_client **client)
{
    if (*client == NULL)
        return;
    smtp_reply_reader_done(&(*client)->reader);
    buf_free(&(*client)->output);
    arena_free(&(*client)->mail.arena);
    arena_free(&(*client)->arena);
    mem_free(client);
}
