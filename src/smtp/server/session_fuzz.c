/*
 * Any bytes, in any packets: never a crash, and replies, deliveries and logins are the same as when
 * all comes at once. The first byte chooses the service, the second how the rest is cut.
 *
 * The run ends where TLS begins: what counts as behind it is a matter of packets.
 */
#include "smtp/server/session.h"

#include "base/id.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY_MAX = 200 * 1000, MESSAGE_MAX = 100 * 1000 };

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "fuzz"};

struct run {
    struct smtp_memory memory;
    struct smtp_session *session;
    struct buf seen; /* all that came out, and what other roles were asked */
    struct buf text; /* of a message, whose blocks depend on the packets */
    int64_t now_ms;
};

/* Answers depend on the question alone: the length chooses one of all statuses. */
static enum wire_status status_for(struct str text)
{
    size_t choice = text.len % 32;

    return choice <= WIRE_DEFERRED ? (enum wire_status)choice : WIRE_OK;
}

static void note(struct run *run, const char *what, struct str text)
{
    buf_putf(&run->seen, "[%s ", what);
    buf_put(&run->seen, text);
    buf_put(&run->seen, STR("]"));
}

static struct id mailbox_for(struct str text)
{
    struct id id = {.text = "000000000000000000000000"};

    id.text[0] = (char)('0' + text.len % 3);
    return id;
}

static void answer_recipient(struct run *run)
{
    struct smtp_session *s = run->session;
    struct str address = smtp_session_address(s);
    size_t choice = address.len;
    struct wire_recipient question;
    struct wire_recipient_reply reply = {
        .status = status_for(address),
        .mailbox = mailbox_for(address),
        .detail = choice % 2 ? STR("folder") : STR(""),
        .has_mailbox = choice % 5 != 0,
        .routes = choice % 3 == 0 ? STR("[{\"kind\":\"forward\",\"to\":\"a@b\"}]") : STR(""),
        .reply_code = choice % 11 * 100,
        .words = choice % 2 ? STR("5.7.1 \xc3\xa4 words\r\n250 OK") : STR(""),
        .trust = choice % 4 == 0,
        .is_checked = choice % 6 != 0,
    };

    smtp_session_recipient(s, &question);
    note(run, "recipient", question.address);
    note(run, "helo", question.helo);
    smtp_session_recipient_done(s, &reply, run->now_ms);
}

static void answer_check(struct run *run)
{
    struct str domain = smtp_session_sender_domain(run->session);
    struct smtp_facts facts = {
        .reverse_name = domain,
        .is_nameless = domain.len % 2 == 0,
        .list_score = domain.len * 100,
        .is_refused = domain.len % 19 == 18,
        .sender_domain = (enum smtp_domain)(domain.len % 3),
    };

    note(run, "domain", domain);
    smtp_session_check_done(run->session, &facts, run->now_ms);
}

static void answer_examination(struct run *run)
{
    static const char cuts[] = "\1\0\0\0\2\0\0\0\5\0\0\0\0\1\0\0";
    struct smtp_session *s = run->session;
    const struct smtp_content *content;
    struct wire_examine question;
    struct wire_examine_reply reply = {.status = WIRE_OK};
    const void *position = NULL;
    struct str block;
    bool is_taken;

    smtp_session_examination(s, &question, &content);
    assert(content->len <= MESSAGE_MAX);
    note(run, "reverse", question.reverse_name);
    note(run, "nameless", question.is_nameless ? STR("yes") : STR("no"));
    buf_reset(&run->text);
    while (smtp_content_next(content, &position, &block))
        buf_put(&run->text, block);
    note(run, "examine", buf_str(&run->text));
    reply.action = content->len % 6; /* two of them do not exist */
    reply.status = content->len % 13 == 12 ? WIRE_UNAVAILABLE : WIRE_OK;
    reply.removals = str_make(cuts, content->len % 3 * 8);
    reply.fields = content->len % 2 ? STR("A: b\r\nAuthentication-Results: x\r\n y\r\n") : STR("");
    reply.words = STR("words");
    reply.is_spam = content->len % 5 == 0;
    smtp_session_content_taken(s);
    is_taken = smtp_session_examination_done(s, &reply, run->now_ms);
    assert(is_taken == (smtp_session_wants(s) == SMTP_WANTS_DELIVERY));
}

/* The ranges that are left out are in order and within the content. */
static void check_removals(const struct smtp_delivery *delivery)
{
    uint64_t end = 0;

    for (size_t i = 0; i < delivery->removals->count; i++) {
        const struct smtp_range *range = &delivery->removals->at[i];

        assert(range->start >= end);
        end = (uint64_t)range->start + range->len;
    }
    assert(end <= delivery->content->len);
}

static void deliver(struct run *run)
{
    struct smtp_delivery delivery;
    const void *position = NULL;
    struct id id = mailbox_for(STR(""));
    struct str block;
    size_t count, len;

    smtp_session_delivery(run->session, 0, &id, &delivery);
    note(run, "trace", delivery.trace);
    check_removals(&delivery);
    buf_reset(&run->text);
    while (smtp_content_next(delivery.content, &position, &block))
        buf_put(&run->text, block);
    note(run, "text", buf_str(&run->text));
    count = delivery.target_count;
    len = delivery.content->len;
    for (size_t i = 0; i < count; i++) {
        note(run, "envelope", delivery.targets[i].envelope);
        note(run, "folder", delivery.targets[i].folder);
    }
    /* Mailboxes, the author's copy, and a message for the queue of each kind. */
    assert(count <= 3 + 1 + 3);
    smtp_session_content_taken(run->session);
    if (count == 0)
        smtp_session_delivery_done(run->session, 0, WIRE_OK, run->now_ms);
    for (size_t i = 0; i < count; i++)
        smtp_session_delivery_done(run->session, i, len % 7 == i ? WIRE_UNAVAILABLE : WIRE_OK,
                                   run->now_ms);
}

/* Serves what the engine wants, until it wants input; false at its end. */
static bool serve(struct run *run)
{
    for (;;) {
        struct smtp_session *s = run->session;
        struct str output = smtp_session_output(s), username, password;
        struct id mailbox;

        buf_put(&run->seen, output);
        smtp_session_consume_output(s, output.len);
        switch (smtp_session_wants(s)) {
        case SMTP_WANTS_INPUT:
            return true;
        case SMTP_WANTS_ROOM:
            smtp_session_resume(s, run->now_ms);
            break;
        case SMTP_WANTS_TLS:
        case SMTP_WANTS_CLOSE:
            return false;
        case SMTP_WANTS_LOGIN:
            smtp_session_login(s, &username, &password);
            note(run, "username", username);
            note(run, "password", password);
            mailbox = mailbox_for(username);
            smtp_session_login_done(s, status_for(password), &mailbox, run->now_ms);
            break;
        case SMTP_WANTS_SENDER:
            note(run, "sender", smtp_session_address(s));
            smtp_session_sender_done(s, status_for(smtp_session_address(s)), run->now_ms);
            break;
        case SMTP_WANTS_CHECK:
            answer_check(run);
            break;
        case SMTP_WANTS_RECIPIENT:
            answer_recipient(run);
            break;
        case SMTP_WANTS_EXAMINATION:
            answer_examination(run);
            break;
        case SMTP_WANTS_DELIVERY:
            deliver(run);
            break;
        }
    }
}

static void begin(struct run *run, unsigned choice)
{
    struct smtp_options options = {
        .service = choice & 1 ? SMTP_SERVICE_SUBMISSION : SMTP_SERVICE_MX,
        .hostname = STR("mail.demo.test"),
        .client = STR("192.0.2.1"),
        .tls_words = STR("TLS"),
        .is_tls = choice & 2,
        .may_login_plain = choice & 4,
        .is_suspect = choice & 8,
        .message_size_max = MESSAGE_MAX,
        .recipients_max = 5,
        .hops_max = 5,
        .greeting_timeout_ms = 75000,
        .memory = &run->memory,
        .log = &quiet,
    };

    *run = (struct run){.memory = {.limit_bytes = MEMORY_MAX}};
    buf_init(&run->seen, SIZE_MAX);
    buf_init(&run->text, SIZE_MAX);
    run->session = smtp_session_new(&options, 0);
}

static void end(struct run *run)
{
    assert(run->memory.used_bytes <= MEMORY_MAX);
    smtp_session_free(&run->session);
    buf_free(&run->text);
    assert(run->memory.used_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole, cut;
    struct str input, rest;
    size_t step;

    if (size < 2)
        return 0;
    input = rest = str_make(data + 2, size - 2);
    begin(&whole, data[0]);
    smtp_session_input(whole.session, input, 0);
    serve(&whole);

    begin(&cut, data[0]);
    step = data[1] % 64 + 1;
    while (rest.len > 0 && serve(&cut)) {
        struct str packet = str_upto(rest, step);

        smtp_session_input(cut.session, packet, 0);
        rest = str_from(rest, packet.len);
        step = (step * 7 + data[1]) % 97 + 1;
    }
    serve(&cut);
    assert(str_equal(buf_str(&whole.seen), buf_str(&cut.seen)));
    end(&whole);
    end(&cut);
    buf_free(&whole.seen);
    buf_free(&cut.seen);
    return 0;
}
