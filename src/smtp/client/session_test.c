/*
 * Conversations. Each is a text, a line a step:
 *
 *   S: words       the server says it (CRLF is added; "\LF" at the end: LF alone)
 *   C: words       the client said it, nothing less
 *   SEND           the mail is to be sent       QUIT, LOST, WAIT: told to quit; the connection
 * goes; TLS            it wants TLS, and gets it                      time runs out V: verdicts of
 * the recipients, one "outcome code enhanced words" a line E: ending      of the session, with its
 * enhanced code WANTS-MAIL     it is ready for a mail
 *
 * Each is played with the server's bytes in whole lines, and again byte by byte.
 */
#include "smtp/client/session.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

struct talk {
    const char *rule;
    enum smtp_client_tls tls;
    const char *user;    /* NULL: no login */
    unsigned recipients; /* 0: one */
    bool require_tls, needs_utf8, is_8bit, with_dsn, is_secure;
    const char *sender;  /* NULL: "a@a.test" */
    const char *message; /* NULL: "x" */
    const char *text;
};

#define HELLO                                                                                      \
    "S: 220 mx.b.test ESMTP\n"                                                                     \
    "C: EHLO us.test\n"
#define PLAIN_HELLO HELLO "S: 250 mx.b.test\nWANTS-MAIL\n"
#define PIPE_HELLO                                                                                 \
    HELLO "S: 250-mx.b.test\n"                                                                     \
          "S: 250-PIPELINING\n"                                                                    \
          "S: 250-SIZE 1000\n"                                                                     \
          "S: 250-8BITMIME\n"                                                                      \
          "S: 250-DSN\n"                                                                           \
          "S: 250 smtputf8\nWANTS-MAIL\n"
#define ENVELOPE                                                                                   \
    "SEND\n"                                                                                       \
    "C: MAIL FROM:<a@a.test>\nS: 250 ok\n"                                                         \
    "C: RCPT TO:<r0@b.test>\nS: 250 ok\n"                                                          \
    "C: DATA\n"

static const struct talk talks[] = {
    {.rule = "one command after the other without PIPELINING",
     .text = PLAIN_HELLO ENVELOPE "S: 354 go\nC: F: 1\nC: \nC: x\nC: .\n"
                                  "S: 250 2.0.0 queued as 1\nV: delivered 250 2.0.0 queued as 1\n"
                                  "WANTS-MAIL\nQUIT\nC: QUIT\nE: quit 0.0.0\n"},
    {.rule = "all at once with it, and the next mail on the same connection",
     .text = PIPE_HELLO "SEND\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<r0@b.test>\nC: DATA\n"
                        "S: 250 ok\nS: 250 ok\nS: 354 go\nC: F: 1\nC: \nC: x\nC: .\nS: 250 ok\n"
                        "V: delivered 250 2.0.0 ok\n"
                        "SEND\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<r0@b.test>\nC: DATA\n"
                        "S: 450 4.2.1 later\nS: 503 no\nS: 503 no\n"
                        "V: temporary 450 4.2.1 later\nWANTS-MAIL\n"},
    {.rule = "each recipient has its own answer",
     .recipients = 3,
     .text = PIPE_HELLO "SEND\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<r0@b.test>\n"
                        "C: RCPT TO:<r1@b.test>\nC: RCPT TO:<r2@b.test>\nC: DATA\n"
                        "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no such user\n"
                        "S: 451 4.7.1 greylisted\nS: 354 go\nC: F: 1\nC: \nC: x\nC: .\nS: 250 ok\n"
                        "V: delivered 250 2.0.0 ok\nV: permanent 550 5.1.1 no such user\n"
                        "V: temporary 451 4.7.1 greylisted\nWANTS-MAIL\n"},
    {.rule = "too many recipients is a matter of this mail only",
     .recipients = 3,
     .text = PIPE_HELLO "SEND\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<r0@b.test>\n"
                        "C: RCPT TO:<r1@b.test>\nC: RCPT TO:<r2@b.test>\nC: DATA\n"
                        "S: 250 ok\nS: 250 ok\nS: 452 4.5.3 too many\nS: 552 too many\n"
                        "S: 354 go\nC: F: 1\nC: \nC: x\nC: .\nS: 250 ok\n"
                        "V: delivered 250 2.0.0 ok\nV: too-many 452 4.5.3 too many\n"
                        "V: too-many 552 4.5.3 too many\nWANTS-MAIL\n"},
    {.rule = "nobody was accepted, but DATA went out: an empty text",
     .text = PIPE_HELLO "SEND\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<r0@b.test>\nC: DATA\n"
                        "S: 250 ok\nS: 550 no\nS: 354 go\nC: .\nS: 554 no valid recipients\n"
                        "V: permanent 550 5.0.0 no\nWANTS-MAIL\n"},
    {.rule = "nobody was accepted, and DATA is refused: RSET",
     .text = PIPE_HELLO "SEND\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<r0@b.test>\nC: DATA\n"
                        "S: 250 ok\nS: 550 no\nS: 554 no valid recipients\nC: RSET\nS: 250 ok\n"
                        "V: permanent 550 5.0.0 no\nWANTS-MAIL\n"},
    {.rule = "nobody was accepted, and DATA need not be said",
     .text = PLAIN_HELLO "SEND\nC: MAIL FROM:<a@a.test>\nS: 250 ok\nC: RCPT TO:<r0@b.test>\n"
                         "S: 550-5.1.1 no\nS: 550 5.1.1 such user\nC: RSET\nS: 250 ok\n"
                         "V: permanent 550 5.1.1 no such user\nWANTS-MAIL\n"},
    {.rule = "the sender is refused",
     .text = PLAIN_HELLO "SEND\nC: MAIL FROM:<a@a.test>\nS: 553 5.1.8 who\n"
                         "V: permanent 553 5.1.8 who\nWANTS-MAIL\n"},
    {.rule = "the null sender",
     .sender = "",
     .text = PLAIN_HELLO "SEND\nC: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<r0@b.test>\nS: 250 ok\n"
                         "C: DATA\nS: 354 go\nC: F: 1\nC: \nC: x\nC: .\nS: 250 ok\n"
                         "V: delivered 250 2.0.0 ok\n"},
    {.rule = "DATA is refused",
     .text = PLAIN_HELLO ENVELOPE "S: 451 4.3.0 no room\nC: RSET\nS: 250 ok\n"
                                  "V: temporary 451 4.3.0 no room\nWANTS-MAIL\n"},
    {.rule = "the text is refused",
     .text = PLAIN_HELLO ENVELOPE "S: 354 go\nC: F: 1\nC: \nC: x\nC: .\nS: 550 5.7.1 spam\n"
                                  "V: permanent 550 5.7.1 spam\nWANTS-MAIL\n"},
    {.rule = "dots are doubled, and every line's end is CRLF",
     .message = ".\r\n..b\nc\r.d\r\n\r\n.",
     .text = PLAIN_HELLO ENVELOPE "S: 354 go\nC: F: 1\nC: \nC: ..\nC: ...b\nC: c\nC: ..d\nC: \n"
                                  "C: ..\nC: .\nS: 250 ok\nV: delivered 250 2.0.0 ok\n"},
    {.rule = "what EHLO does not offer is not used",
     .with_dsn = true,
     .is_8bit = true,
     .text = PLAIN_HELLO ENVELOPE "S: 354 go\nC: F: 1\nC: \nC: x\nC: .\nS: 250 ok\n"
                                  "V: delivered 250 2.0.0 ok\n"},
    {.rule = "what it offers is",
     .with_dsn = true,
     .is_8bit = true,
     .needs_utf8 = true,
     .text = PIPE_HELLO
     "SEND\nC: MAIL FROM:<a@a.test> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e+2B1\n"
     "C: RCPT TO:<r0@b.test> NOTIFY=NEVER ORCPT=rfc822;o\nC: DATA\n"
     "S: 250 ok\nS: 250 ok\nS: 354 go\nC: F: 1\nC: \nC: x\nC: .\nS: 250 ok\n"
     "V: delivered 250 2.0.0 ok\n"},
    {.rule = "SMTPUTF8 is needed and not there",
     .needs_utf8 = true,
     .text = PLAIN_HELLO "SEND\nV: permanent 0 5.6.7 the message needs SMTPUTF8, which the server "
                         "does not offer\nWANTS-MAIL\n"},
    {.rule = "REQUIRETLS likewise",
     .require_tls = true,
     .text = PLAIN_HELLO "SEND\nV: permanent 0 5.7.30 REQUIRETLS is asked for, which the server "
                         "does not offer\nWANTS-MAIL\n"},
    {.rule = "the message is larger than SIZE",
     .message = "0123456789012345678901234567890123456789012345678901234567890123456789",
     .text =
         HELLO "S: 250-hello\nS: 250 SIZE 70\nSEND\n"
               "V: permanent 0 5.3.4 the message is larger than the server takes\nWANTS-MAIL\n"},
    {.rule = "an address with a line's end in it is never sent",
     .sender = "a@a.test>\r\nRCPT TO:<x@x.test",
     .text = PLAIN_HELLO "SEND\nV: permanent 0 5.1.7 the sender is not an address\nWANTS-MAIL\n"},
    {.rule = "STARTTLS where it is offered, and EHLO again",
     .tls = SMTP_CLIENT_TLS_OFFERED,
     .text = HELLO "S: 250-hello\nS: 250-PIPELINING\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n"
                   "C: EHLO us.test\nS: 250 hello\nWANTS-MAIL\n" ENVELOPE},
    {.rule = "not where the caller says never",
     .text = HELLO "S: 250-hello\nS: 250 STARTTLS\nWANTS-MAIL\n"},
    {.rule = "refused, and not required: in clear",
     .tls = SMTP_CLIENT_TLS_OFFERED,
     .text = HELLO "S: 250-hello\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 not now\nWANTS-MAIL\n"},
    {.rule = "refused, and required: the end",
     .tls = SMTP_CLIENT_TLS_REQUIRED,
     .text = HELLO "S: 250-hello\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 not now\nC: QUIT\n"
                   "E: no-tls 4.7.0 not now\n"},
    {.rule = "not offered, and required: the end",
     .tls = SMTP_CLIENT_TLS_REQUIRED,
     .text = HELLO "S: 250 hello\nC: QUIT\n"
                   "E: no-tls 4.7.4 TLS is required, and the server does not offer it\n"},
    {.rule = "bytes in clear behind STARTTLS's reply",
     .tls = SMTP_CLIENT_TLS_OFFERED,
     .text = HELLO "S: 250-hello\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: 250 injected\n"
                   "E: protocol 4.5.0 the server went on in clear while starting TLS\n"},
    {.rule = "HELO where EHLO is not known",
     .tls = SMTP_CLIENT_TLS_OFFERED,
     .text = HELLO "S: 502 what\nC: HELO us.test\nS: 250 hello\nWANTS-MAIL\n" ENVELOPE},
    {.rule = "which has no TLS",
     .tls = SMTP_CLIENT_TLS_REQUIRED,
     .text = HELLO "S: 502 what\nC: HELO us.test\nS: 250 hello\nC: QUIT\n"
                   "E: no-tls 4.7.4 TLS is required, and the server knows no extensions\n"},
    {.rule = "a login over TLS",
     .user = "me",
     .is_secure = true,
     .text = HELLO "S: 250-hello\nS: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN AG1lAHB3\nS: 235 in\n"
                   "WANTS-MAIL\n"},
    {.rule = "a login is refused",
     .user = "me",
     .is_secure = true,
     .text = HELLO "S: 250-hello\nS: 250 AUTH=PLAIN\nC: AUTH PLAIN AG1lAHB3\nS: 535 5.7.8 no\n"
                   "C: QUIT\nE: refused 5.7.8 no\n"},
    {.rule = "a login in clear is not tried",
     .user = "me",
     .tls = SMTP_CLIENT_TLS_OFFERED,
     .text = HELLO "S: 250-hello\nS: 250 AUTH PLAIN\nC: QUIT\n"
                   "E: no-tls 4.7.4 a password is sent over TLS only, which the server does not "
                   "offer\n"},
    {.rule = "a greeting that refuses",
     .text = "S: 554 5.7.1 not you\nC: QUIT\nE: refused 5.7.1 not you\n"},
    {.rule = "a greeting that is busy", .text = "S: 421 4.7.0 busy\nE: closing 4.7.0 busy\n"},
    {.rule = "a greeting that is none",
     .text = "S: SSH-2.0-OpenSSH\nE: protocol 4.5.0 the server's reply was too long, or none of "
             "SMTP's, while waiting for the greeting\n"},
    {.rule = "a greeting of a number that means nothing",
     .text = "S: 250 hello\nE: protocol 4.5.0 hello\n"},
    {.rule = "lines that end with LF alone",
     .text =
         "S: 220-mx\\LF\nS: 220 mx\\LF\nC: EHLO us.test\nS: 250-a\\LF\nS: 250 b\\LF\nWANTS-MAIL\n"},
    {.rule = "lines of one reply with two codes",
     .text = "S: 220-a\nS: 250 b\nE: protocol 4.5.0 the server's reply was too long, or none of "
             "SMTP's, while waiting for the greeting\n"},
    {.rule = "421 in the middle",
     .recipients = 2,
     .text = PLAIN_HELLO "SEND\nC: MAIL FROM:<a@a.test>\nS: 250 ok\nC: RCPT TO:<r0@b.test>\n"
                         "S: 421 4.3.2 bye\nV: session 421 4.3.2 bye\nV: session 421 4.3.2 bye\n"
                         "E: closing 4.3.2 bye\n"},
    {.rule = "the connection goes in the envelope",
     .text =
         PLAIN_HELLO "SEND\nC: MAIL FROM:<a@a.test>\nLOST\n"
                     "V: session 0 4.4.2 the connection was lost while telling sender and "
                     "recipients\nE: lost 4.4.2 the connection was lost while telling sender and "
                     "recipients\n"},
    {.rule = "the connection goes before the last reply: nobody knows",
     .text = PLAIN_HELLO ENVELOPE "S: 354 go\nC: F: 1\nC: \nC: x\nC: .\nLOST\n"
                                  "V: uncertain 0 4.4.2 the connection was lost while waiting for "
                                  "the reply to the message\n"},
    {.rule = "time runs out there",
     .text =
         PLAIN_HELLO ENVELOPE "S: 354 go\nC: F: 1\nC: \nC: x\nC: .\nWAIT\n"
                              "V: uncertain 0 4.4.2 time ran out while waiting for the reply to "
                              "the message\n"},
    {.rule = "time runs out at the greeting",
     .text = "WAIT\nE: timeout 4.4.2 time ran out while waiting for the greeting\n"},
    {.rule = "a mail is refused with 421 at its end: it was not taken",
     .text = PLAIN_HELLO ENVELOPE "S: 354 go\nC: F: 1\nC: \nC: x\nC: .\nS: 421 4.3.0 full\n"
                                  "V: session 421 4.3.0 full\n"},
    {.rule = "the server closes between two mails",
     .text = PLAIN_HELLO "S: 421 4.4.2 idle\nE: closing 4.4.2 idle\n"},
    {.rule = "or says what nobody asked", .text = PLAIN_HELLO "S: 250 hm\nE: protocol 4.5.0 hm\n"},
    {.rule = "354 to RCPT",
     .text = PLAIN_HELLO "SEND\nC: MAIL FROM:<a@a.test>\nS: 250 ok\nC: RCPT TO:<r0@b.test>\n"
                         "S: 354 go\nV: session 354 4.5.0 go\nE: protocol 4.5.0 go\n"},
    {.rule = "250 to DATA", .text = PLAIN_HELLO ENVELOPE "S: 250 ok\nE: protocol 4.5.0 ok\n"},
    {.rule = "words are made printable",
     .text = "S: 554 a\tb\x1b[31m \xff \xc2\x9b \xc3\xa4\nC: QUIT\nE: refused 5.0.0 a?b?[31m ? ? "
             "\xc3\xa4\n"},
};

struct player {
    const struct talk *talk;
    struct smtp_client *client;
    struct smtp_client_recipient recipients[4];
    struct secret *password;
    size_t verdicts_seen;
    bool is_by_byte;
    int64_t now_ms;
};

static void say(struct player *player, struct str words)
{
    bool is_bare = str_ends_with(words, STR("\\LF"));
    struct buf line;

    buf_init(&line, SIZE_MAX);
    buf_put(&line, is_bare ? str_upto(words, words.len - 3) : words);
    buf_put(&line, is_bare ? STR("\n") : STR("\r\n"));
    if (!player->is_by_byte)
        smtp_client_input(player->client, buf_str(&line), player->now_ms);
    else
        for (size_t i = 0; i < line.len; i++)
            smtp_client_input(player->client, str_make(line.ptr + i, 1), player->now_ms);
    buf_free(&line);
}

static void hear(struct player *player, struct str words)
{
    struct str output = smtp_client_output(player->client);

    if (output.len < words.len + 2 || !str_starts_with(output, words) ||
        output.ptr[words.len] != '\r' || output.ptr[words.len + 1] != '\n')
        fail_msg("%s: wanted \"%.*s\", there is \"%.*s\"", player->talk->rule, STR_ARG(words),
                 STR_ARG(output));
    smtp_client_consume_output(player->client, words.len + 2, player->now_ms);
}

static void send_mail(struct player *player)
{
    const struct talk *talk = player->talk;
    static const char *const addresses[] = {"r0@b.test", "r1@b.test", "r2@b.test"};
    struct smtp_client_mail mail = {
        .sender = str_from_c(talk->sender == NULL ? "a@a.test" : talk->sender),
        .recipients = player->recipients,
        .recipient_count = talk->recipients == 0 ? 1 : talk->recipients,
        .ret = str_from_c(talk->with_dsn ? "HDRS" : ""),
        .envid = str_from_c(talk->with_dsn ? "e+2B1" : ""),
        .require_tls = talk->require_tls,
        .needs_utf8 = talk->needs_utf8,
        .is_8bit = talk->is_8bit,
        .fields = STR("F: 1\r\n\r\n"),
        .message = str_from_c(talk->message == NULL ? "x" : talk->message),
    };

    for (size_t i = 0; i < mail.recipient_count; i++) {
        player->recipients[i].address = str_from_c(addresses[i]);
        player->recipients[i].notify = str_from_c(talk->with_dsn ? "NEVER" : "");
        player->recipients[i].orcpt = str_from_c(talk->with_dsn ? "rfc822;o" : "");
    }
    assert_int_equal(smtp_client_wants(player->client), SMTP_CLIENT_WANTS_MAIL);
    smtp_client_send(player->client, &mail, player->now_ms);
    player->verdicts_seen = 0;
}

static const char *outcome_name(const struct smtp_client_verdict *verdict)
{
    switch (verdict->outcome) {
    case SMTP_CLIENT_PENDING:
        return "pending";
    case SMTP_CLIENT_DELIVERED:
        return "delivered";
    case SMTP_CLIENT_PERMANENT:
        return "permanent";
    case SMTP_CLIENT_TEMPORARY:
        break;
    }
    return verdict->is_uncertain  ? "uncertain"
           : verdict->is_session  ? "session"
           : verdict->is_too_many ? "too-many"
                                  : "temporary";
}

static void expect(struct player *player, struct str words, struct buf *found)
{
    if (!str_equal(words, buf_str(found)))
        fail_msg("%s: wanted \"%.*s\", found \"%.*s\"", player->talk->rule, STR_ARG(words),
                 STR_ARG(buf_str(found)));
    buf_free(found);
}

static void see_verdict(struct player *player, struct str words)
{
    const struct smtp_client_verdict *verdict =
        smtp_client_verdict(player->client, player->verdicts_seen++);
    struct buf found;

    buf_init(&found, SIZE_MAX);
    buf_putf(&found, "%s %u %u.%u.%u %.*s", outcome_name(verdict), verdict->code,
             verdict->enhanced.class, verdict->enhanced.subject, verdict->enhanced.detail,
             STR_ARG(verdict->words));
    expect(player, words, &found);
}

static void see_ending(struct player *player, struct str words)
{
    static const char *const names[] = {"not",     "quit",     "refused", "no-tls",
                                        "closing", "protocol", "timeout", "lost"};
    struct smtp_client_trouble trouble = smtp_client_trouble(player->client);
    struct buf found;

    assert_int_equal(smtp_client_wants(player->client), SMTP_CLIENT_WANTS_CLOSE);
    buf_init(&found, SIZE_MAX);
    buf_putf(&found, "%s %u.%u.%u", names[trouble.ending], trouble.enhanced.class,
             trouble.enhanced.subject, trouble.enhanced.detail);
    if (trouble.ending != SMTP_CLIENT_ENDED_QUIT)
        buf_putf(&found, " %.*s", STR_ARG(trouble.words));
    expect(player, words, &found);
}

static void step(struct player *player, struct str line)
{
    if (str_starts_with(line, STR("S: "))) {
        say(player, str_from(line, 3));
    } else if (str_starts_with(line, STR("C: "))) {
        hear(player, str_from(line, 3));
    } else if (str_starts_with(line, STR("V: "))) {
        see_verdict(player, str_from(line, 3));
    } else if (str_starts_with(line, STR("E: "))) {
        see_ending(player, str_from(line, 3));
    } else if (str_equal(line, STR("SEND"))) {
        send_mail(player);
    } else if (str_equal(line, STR("QUIT"))) {
        smtp_client_quit(player->client, player->now_ms);
    } else if (str_equal(line, STR("LOST"))) {
        smtp_client_lost(player->client, STR(""), player->now_ms);
    } else if (str_equal(line, STR("WAIT"))) {
        player->now_ms = smtp_client_deadline(player->client);
        smtp_client_expire(player->client, player->now_ms - 1);
        assert_int_not_equal(smtp_client_wants(player->client), SMTP_CLIENT_WANTS_CLOSE);
        smtp_client_expire(player->client, player->now_ms);
    } else if (str_equal(line, STR("TLS"))) {
        assert_int_equal(smtp_client_wants(player->client), SMTP_CLIENT_WANTS_TLS);
        smtp_client_secured(player->client, player->now_ms);
    } else if (str_equal(line, STR("WANTS-MAIL"))) {
        if (smtp_client_wants(player->client) != SMTP_CLIENT_WANTS_MAIL)
            fail_msg("%s: it is not ready for a mail", player->talk->rule);
    } else {
        fail_msg("%s: no such step: %.*s", player->talk->rule, STR_ARG(line));
    }
}

static void play(const struct talk *talk, bool is_by_byte)
{
    struct player player = {.talk = talk, .is_by_byte = is_by_byte, .now_ms = 1000};
    struct smtp_client_options options = {
        .hostname = STR("us.test"),
        .tls = talk->tls,
        .is_secure = talk->is_secure,
        .user = str_from_c(talk->user),
        .log = &quiet,
    };
    struct str rest = str_from_c(talk->text), line;

    player.password = secret_copy(STR("pw"));
    options.password = player.password;
    player.client = smtp_client_new(&options, player.now_ms);
    while (str_split(&rest, '\n', &line) && line.len > 0)
        step(&player, line);
    if (smtp_client_output(player.client).len > 0 &&
        !str_ends_with(str_from_c(talk->text), STR(ENVELOPE)))
        fail_msg("%s: there is more output", talk->rule);
    smtp_client_free(&player.client);
    secret_free(&player.password);
}

static void conversations(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
        play(&talks[i], false);
        play(&talks[i], true);
    }
}

/* To where the text begins. */
static struct smtp_client *at_text(struct str message, struct smtp_client_timeouts timeouts)
{
    struct smtp_client_options options = {
        .hostname = STR("us.test"), .timeouts = timeouts, .log = &quiet};
    struct smtp_client_recipient recipient = {.address = STR("r@b.test")};
    struct smtp_client_mail mail = {.sender = STR("a@a.test"),
                                    .recipients = &recipient,
                                    .recipient_count = 1,
                                    .message = message};
    struct smtp_client *client = smtp_client_new(&options, 0);

    smtp_client_input(client, STR("220 x\r\n250-x\r\n250 PIPELINING\r\n"), 0);
    smtp_client_send(client, &mail, 0);
    smtp_client_consume_output(client, smtp_client_output(client).len, 0);
    smtp_client_input(client, STR("250 a\r\n250 b\r\n354 c\r\n"), 0);
    return client;
}

static void a_large_message_is_made_in_pieces(void **state)
{
    enum { SIZE = 10 * 1000 * 1000 };
    char *large = test_malloc(SIZE);
    struct smtp_client *client;
    size_t sent = 0;

    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        large[i] = "0123456\r\n."[i % 10];
    client = at_text(str_make(large, SIZE), (struct smtp_client_timeouts){0});
    while (smtp_client_output(client).len > 0) {
        struct str output = smtp_client_output(client);

        assert_true(output.len < SMTP_CLIENT_OUTPUT_HIGH + 2048);
        sent += output.len > 5000 ? 5000 : output.len;
        smtp_client_consume_output(client, output.len > 5000 ? 5000 : output.len, 1);
    }
    /* Each tenth byte is a dot at a line's beginning, but the first line's; the last line is ended.
     */
    assert_int_equal(sent, SIZE + SIZE / 10 + 2 + 3);
    assert_int_equal(smtp_client_deadline(client), 1 + 10 * 60 * 1000);
    smtp_client_input(client, STR("250 ok\r\n"), 2);
    assert_int_equal(smtp_client_verdict(client, 0)->outcome, SMTP_CLIENT_DELIVERED);
    smtp_client_free(&client);
    test_free(large);
}

/* Who takes a byte at a time puts nothing off; who takes 4 KiB at a time only so far. */
static void a_server_that_nibbles_is_left(void **state)
{
    enum { SIZE = 1000 * 1000 };
    char *large = test_calloc(SIZE, 1);
    struct smtp_client *client;
    int64_t now_ms = 0;

    (void)state;
    client = at_text(str_make(large, SIZE), (struct smtp_client_timeouts){.block_ms = 60 * 1000});
    for (int i = 0; i < 100; i++)
        smtp_client_consume_output(client, 1, now_ms += 100);
    assert_int_equal(smtp_client_deadline(client), 60 * 1000);
    while (smtp_client_wants(client) != SMTP_CLIENT_WANTS_CLOSE) {
        smtp_client_consume_output(client, 4096, now_ms += 59 * 1000);
        smtp_client_expire(client, now_ms);
    }
    assert_true(now_ms < (10 * 60 + SIZE / 1024 + 60) * 1000);
    assert_int_equal(smtp_client_verdict(client, 0)->outcome, SMTP_CLIENT_TEMPORARY);
    assert_false(smtp_client_verdict(client, 0)->is_uncertain);
    smtp_client_free(&client);
    test_free(large);
}

/* An answer in the middle of the text; nothing more can be said on this connection. */
static void a_refusal_before_the_end(void **state)
{
    enum { SIZE = 1000 * 1000 };
    char *large = test_calloc(SIZE, 1);
    struct smtp_client *client;

    (void)state;
    client = at_text(str_make(large, SIZE), (struct smtp_client_timeouts){0});
    smtp_client_input(client, STR("552 5.3.4 too large\r\n"), 0);
    assert_int_equal(smtp_client_verdict(client, 0)->outcome, SMTP_CLIENT_PERMANENT);
    assert_int_equal(smtp_client_wants(client), SMTP_CLIENT_WANTS_CLOSE);
    smtp_client_free(&client);
    client = at_text(str_make(large, SIZE), (struct smtp_client_timeouts){0});
    smtp_client_input(client, STR("250 thanks\r\n"), 0);
    assert_int_equal(smtp_client_verdict(client, 0)->outcome, SMTP_CLIENT_TEMPORARY);
    assert_int_equal(smtp_client_wants(client), SMTP_CLIENT_WANTS_CLOSE);
    smtp_client_free(&client);
    test_free(large);
}

/* 10 MB without an end, of every shape: the session ends early, and little was kept. */
static void a_reply_without_an_end(void **state)
{
    static const char *const shapes[] = {"220-x\r\n", "220-", "2", "\r\n", "220-x\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct smtp_client_options options = {.hostname = STR("us.test"), .log = &quiet};
        struct smtp_client *client = smtp_client_new(&options, 0);
        size_t given = 0;

        while (smtp_client_wants(client) != SMTP_CLIENT_WANTS_CLOSE) {
            smtp_client_input(client, str_from_c(shapes[i]), 0);
            given++;
            assert_true(given < 5000);
        }
        assert_int_equal(smtp_client_trouble(client).ending, SMTP_CLIENT_ENDED_PROTOCOL);
        smtp_client_free(&client);
    }
}

static int init(void **state)
{
    (void)state;
    secret_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations),
        cmocka_unit_test(a_large_message_is_made_in_pieces),
        cmocka_unit_test(a_server_that_nibbles_is_left),
        cmocka_unit_test(a_refusal_before_the_end),
        cmocka_unit_test(a_reply_without_an_end),
    };

    return cmocka_run_group_tests(tests, init, NULL);
}
