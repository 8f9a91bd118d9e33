/*
 * A server that says anything, in any packets: never a crash, every recipient gets a verdict whose
 * code fits it and whose words may be shown, and what the client says is whole lines. The first
 * byte chooses the options, the second how the rest is cut.
 */
#include "smtp/client/session.h"

#include "base/macros.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAILS_MAX = 8 };

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "fuzz"};

struct run {
    struct smtp_client *client;
    struct buf seen;
    int mails;
    unsigned choice;
};

static void send_mail(struct run *run)
{
    struct smtp_client_recipient recipients[] = {
        {STR("a@b.test"), STR("NEVER"), STR("rfc822;a")},
        {STR("\"b c\"@b.test"), STR(""), STR("")},
        {STR("c@b.test"), STR("SUCCESS"), STR("")},
    };
    struct smtp_client_mail mail = {
        .sender = run->choice & 4 ? STR("") : STR("s@a.test"),
        .recipients = recipients,
        .recipient_count = (size_t)(run->mails % 3) + 1,
        .ret = STR("FULL"),
        .needs_utf8 = run->choice & 8,
        .is_8bit = run->choice & 16,
        .fields = STR("F: 1\r\n"),
        .message = STR("A: b\r\n\r\n.x\n.\r.\r\n"),
    };

    smtp_client_send(run->client, &mail, 0);
    run->mails++;
}

static void note_verdicts(struct run *run)
{
    size_t count = (size_t)((run->mails - 1) % 3) + 1;

    for (size_t i = 0; run->mails > 0 && i < count; i++) {
        const struct smtp_client_verdict *verdict = smtp_client_verdict(run->client, i);

        assert(verdict->outcome != SMTP_CLIENT_PENDING);
        assert(verdict->enhanced.class == (verdict->outcome == SMTP_CLIENT_DELIVERED   ? 2u
                                           : verdict->outcome == SMTP_CLIENT_TEMPORARY ? 4u
                                                                                       : 5u));
        assert(verdict->words.len <= SMTP_CLIENT_WORDS_MAX && str_is_utf8(verdict->words));
        buf_putf(&run->seen, "[%d %u.%u.%u ", verdict->outcome, verdict->enhanced.class,
                 verdict->enhanced.subject, verdict->enhanced.detail);
        buf_put(&run->seen, verdict->words);
        buf_put(&run->seen, STR("]"));
    }
}

/* Takes what there is and gives what is wanted; false at the end. */
static bool serve(struct run *run)
{
    for (;;) {
        struct str output = smtp_client_output(run->client);

        buf_put(&run->seen, output);
        smtp_client_consume_output(run->client, output.len, 0);
        if (smtp_client_output(run->client).len > 0)
            continue;
        switch (smtp_client_wants(run->client)) {
        case SMTP_CLIENT_WANTS_INPUT:
            return true;
        case SMTP_CLIENT_WANTS_TLS:
            return true; /* more input in clear ends it; else the run does */
        case SMTP_CLIENT_WANTS_MAIL:
            note_verdicts(run);
            if (run->mails == MAILS_MAX)
                return false;
            send_mail(run);
            break;
        case SMTP_CLIENT_WANTS_CLOSE:
            note_verdicts(run);
            return false;
        }
    }
}

static void begin(struct run *run, unsigned choice)
{
    struct smtp_client_options options = {
        .hostname = STR("us.test"),
        .tls = choice & 1 ? SMTP_CLIENT_TLS_OFFERED : SMTP_CLIENT_TLS_NEVER,
        .is_secure = choice & 2,
        .user = choice & 32 ? STR("user") : STR(""),
        .log = &quiet,
    };

    *run = (struct run){.choice = choice};
    buf_init(&run->seen, SIZE_MAX);
    run->client = smtp_client_new(&options, 0);
}

/* As a connection gives it: one packet after the other, what is wanted in between. */
static void talk(struct run *run, struct str input, unsigned cut)
{
    size_t step = cut == 0 ? 1 : cut % 64 + 1;

    while (input.len > 0 && serve(run)) {
        struct str packet = str_upto(input, step);

        smtp_client_input(run->client, packet, 0);
        input = str_from(input, packet.len);
        step = cut == 0 ? 1 : (step * 7 + cut) % 97 + 1;
    }
    serve(run);
    smtp_client_lost(run->client, STR(""), 0);
    serve(run);
    assert(smtp_client_wants(run->client) == SMTP_CLIENT_WANTS_CLOSE);
}

/* No bare CR or LF. */
static void check_lines(struct str seen)
{
    for (size_t i = 0; i < seen.len; i++) {
        assert(seen.ptr[i] != '\n' || (i > 0 && seen.ptr[i - 1] == '\r'));
        assert(seen.ptr[i] != '\r' || (i + 1 < seen.len && seen.ptr[i + 1] == '\n'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run;

    if (size < 2)
        return 0;
    begin(&run, data[0]);
    talk(&run, str_make(data + 2, size - 2), data[1]);
    check_lines(buf_str(&run.seen));
    smtp_client_free(&run.client);
    buf_free(&run.seen);
    return 0;
}
