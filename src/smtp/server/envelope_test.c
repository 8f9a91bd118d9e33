/* What the queue is told of a message with many recipients: as many envelopes as fit into frames.
 */
#include "smtp/server/session.h"

#include "base/macros.h"
#include "base/memory.h"
#include "wire/channel.h"

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

enum { RECIPIENTS = 20, ROUTES_LEN = 30 * 1024 };

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

struct fixture {
    struct smtp_memory memory;
    struct smtp_session *session;
    char routes[ROUTES_LEN];
};

static void begin(struct fixture *f)
{
    struct smtp_options options = {
        .hostname = STR("mail.demo.test"),
        .client = STR("192.0.2.1"),
        .message_size_max = 1 << 20,
        .recipients_max = 10000,
        .hops_max = 25,
        .greeting_timeout_ms = 75000,
        .memory = &f->memory,
        .log = &quiet,
    };
    static const char start[] = "[{\"kind\":\"webhook\",\"url\":\"https://x.example/",
                      end[] = "\"}]";

    *f = (struct fixture){.memory = {.limit_bytes = 4 << 20}};
    memset(f->routes, 'a', sizeof(f->routes));
    memcpy(f->routes, start, sizeof(start) - 1);
    memcpy(f->routes + sizeof(f->routes) - (sizeof(end) - 1), end, sizeof(end) - 1);
    f->session = smtp_session_new(&options, 0);
    smtp_session_input(f->session, STR("HELO c\r\nMAIL FROM:<ann@c.example>\r\n"), 0);
}

static void add_recipient(struct fixture *f, size_t number,
                          const struct wire_recipient_reply *reply)
{
    CLEANUP(buf_free) struct buf line;

    buf_init(&line, SIZE_MAX);
    buf_putf(&line, "RCPT TO:<r%zu@demo.test>\r\n", number);
    smtp_session_input(f->session, buf_str(&line), 0);
    assert_int_equal(smtp_session_wants(f->session), SMTP_WANTS_RECIPIENT);
    smtp_session_recipient_done(f->session, reply, 0);
}

/* Marks the recipients of an envelope; how many. */
static size_t read_recipients(struct str envelope, bool *seen)
{
    json_t *root = json_loadb(envelope.ptr, envelope.len, 0, NULL);
    const json_t *recipients = json_object_get(root, "recipients");
    size_t count = json_array_size(recipients);

    assert_non_null(root);
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(recipients, i);
        const char *address = json_string_value(json_object_get(one, "address"));
        const json_t *routes = json_object_get(one, "routes");
        uint32_t number;

        assert_int_equal(json_array_size(routes), 1);
        assert_true(parse_u32(str_upto(str_from_c(address + 1), strlen(address) - 11), &number));
        assert_true(number < RECIPIENTS && !seen[number]);
        seen[number] = true;
    }
    json_decref(root);
    return count;
}

static void test_many_routes(void **state)
{
    struct fixture f;
    struct wire_recipient_reply stored = {
        .status = WIRE_OK, .has_mailbox = true, .is_checked = true};
    struct wire_examine_reply verdict = {.status = WIRE_OK};
    struct smtp_delivery delivery;
    bool seen[RECIPIENTS] = {false};
    struct id id = id_random();
    size_t count = 0;

    (void)state;
    begin(&f);
    for (size_t i = 0; i < RECIPIENTS; i++) {
        struct wire_recipient_reply passed_on = {
            .status = WIRE_OK, .routes = str_make(f.routes, sizeof(f.routes)), .is_checked = true};

        add_recipient(&f, i, &passed_on);
        stored.mailbox = id_random();
        add_recipient(&f, 100 + i, &stored); /* between them others, who are not the courier's */
    }
    smtp_session_input(f.session, STR("DATA\r\nx\r\n.\r\n"), 0);
    assert_int_equal(smtp_session_wants(f.session), SMTP_WANTS_EXAMINATION);
    smtp_session_examination_done(f.session, &verdict, 0);
    smtp_session_delivery(f.session, 0, &id, &delivery);
    for (size_t i = 0; i < delivery.target_count; i++) {
        CLEANUP(buf_free) struct buf frame;
        struct wire_queue body = {.envelope = delivery.targets[i].envelope};

        buf_init(&frame, SIZE_MAX);
        if (delivery.targets[i].kind != SMTP_TARGET_QUEUE)
            continue;
        assert_int_equal(wire_encode(WIRE_QUEUE, 0, &body, &frame), ERR_OK);
        assert_true(frame.len <= WIRE_FRAME_MAX);
        count += read_recipients(body.envelope, seen);
    }
    assert_int_equal(count, RECIPIENTS);
    assert_int_equal(delivery.target_count, RECIPIENTS + 7); /* three fit into one */
    smtp_session_free(&f.session);
}

/* What routes take is bounded: the sender is asked to send to the rest separately. */
static void test_too_many_routes(void **state)
{
    struct fixture f;
    size_t taken = 0;

    (void)state;
    begin(&f);
    smtp_session_consume_output(f.session, smtp_session_output(f.session).len);
    for (size_t i = 0; i < 40; i++) {
        struct wire_recipient_reply reply = {
            .status = WIRE_OK, .routes = str_make(f.routes, sizeof(f.routes)), .is_checked = true};
        struct str output;

        add_recipient(&f, i, &reply);
        output = smtp_session_output(f.session);
        if (str_starts_with(output, STR("250 ")))
            taken++;
        else
            assert_true(str_starts_with(output, STR("452 4.5.3 ")));
        smtp_session_consume_output(f.session, output.len);
    }
    assert_int_equal(taken, 1024 * 1024 / ROUTES_LEN);
    smtp_session_free(&f.session);
}

/* Mailboxes are found again among many, and stay in the order in which they were first named. */
static void test_many_recipients_of_few_mailboxes(void **state)
{
    enum { MAILBOXES = 700, ROUNDS = 3 };
    struct fixture f;
    struct wire_examine_reply verdict = {.status = WIRE_OK};
    struct smtp_delivery delivery;
    struct id mailboxes[MAILBOXES], id = id_random();

    (void)state;
    begin(&f);
    for (size_t i = 0; i < MAILBOXES; i++)
        mailboxes[i] = id_random();
    for (size_t i = 0; i < (size_t)MAILBOXES * ROUNDS; i++) {
        /* Each round in an order of its own but the first. */
        size_t number = i < MAILBOXES ? i : i * 31 % MAILBOXES;
        struct wire_recipient_reply reply = {.status = WIRE_OK,
                                             .mailbox = mailboxes[number],
                                             .has_mailbox = true,
                                             .is_checked = true};

        add_recipient(&f, i, &reply);
        smtp_session_consume_output(f.session, smtp_session_output(f.session).len);
    }
    smtp_session_input(f.session, STR("DATA\r\nx\r\n.\r\n"), 0);
    smtp_session_examination_done(f.session, &verdict, 0);
    smtp_session_delivery(f.session, 0, &id, &delivery);
    assert_int_equal(delivery.target_count, MAILBOXES);
    for (size_t i = 0; i < MAILBOXES; i++) {
        CLEANUP(buf_free) struct buf first;

        buf_init(&first, SIZE_MAX);
        buf_putf(&first, "r%zu@demo.test", i);
        assert_true(id_equal(&delivery.targets[i].mailbox, &mailboxes[i]));
        assert_true(str_equal(delivery.targets[i].recipient, buf_str(&first)));
    }
    smtp_session_free(&f.session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_routes),
        cmocka_unit_test(test_too_many_routes),
        cmocka_unit_test(test_many_recipients_of_few_mailboxes),
    };

    return cmocka_run_group_tests_name("smtp/envelope", tests, NULL, NULL);
}
