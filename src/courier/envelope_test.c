/* The JSON that comes with QUEUE: what is read, and what is refused. */
#include "courier/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void everything_is_read(void **state)
{
    static const char text[] =
        "{\"id\":\"abc\",\"kind\":\"routes\",\"mailbox\":\"\",\"sender\":\"a@x.test\","
        "\"helo\":\"h\",\"client\":\"192.0.2.1\",\"ret\":\"HDRS\",\"envid\":\"e\","
        "\"require_tls\":true,\"smtputf8\":true,\"body\":\"8BITMIME\",\"auth\":\"spf=pass\","
        "\"may_reply\":true,\"is_junk\":true,\"recipients\":[{\"address\":\"us@o.test\","
        "\"orcpt\":\"rfc822;us@o.test\",\"notify\":\"NEVER\",\"stored\":true,\"routes\":["
        "{\"kind\":\"forward\",\"to\":\"b@y.test\",\"via\":\"h.test:25\"},"
        "{\"kind\":\"webhook\",\"url\":\"https://y.test/\",\"secret\":\"s\",\"raw\":true},"
        "{\"kind\":\"vacation\",\"from\":\"us@o.test\",\"subject\":\"away\",\"text\":\"a\\nb\","
        "\"until\":\"2026-12-24T00:00:00.000Z\"},"
        "{\"kind\":\"return\",\"to\":\"c@z.test\"}]}]}";
    struct envelope envelope;
    const struct envelope_route *routes;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(envelope_parse(&task, str_from_c(text), &envelope), ERR_OK);
    assert_false(envelope.is_submission);
    assert_true(envelope.require_tls && envelope.is_utf8 && envelope.may_reply && envelope.is_junk);
    assert_true(str_equal(envelope.sender, STR("a@x.test")));
    assert_int_equal(envelope.recipient_count, 1);
    assert_true(envelope.recipients[0].is_stored);
    assert_int_equal(envelope.recipients[0].route_count, 4);
    routes = envelope.recipients[0].routes;
    assert_int_equal(routes[0].kind, ROUTE_FORWARD);
    assert_true(str_equal(routes[0].via, STR("h.test:25")));
    assert_int_equal(routes[1].kind, ROUTE_WEBHOOK);
    assert_true(routes[1].is_raw);
    assert_int_equal(routes[2].kind, ROUTE_VACATION);
    assert_true(str_equal(routes[2].text, STR("a\nb")));
    assert_true(routes[2].until_ms == INT64_C(1798070400000));
    assert_int_equal(routes[3].kind, ROUTE_RETURN);
    /* What is stored of a route reads again. */
    for (size_t i = 0; i < 4; i++) {
        struct envelope_route again;

        assert_int_equal(envelope_route_parse(&task, routes[i].json, &again), ERR_OK);
        assert_true(str_equal(again.json, routes[i].json));
        assert_int_equal(again.kind, routes[i].kind);
    }
    task_done(&task);
}

static void what_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"kind\":\"submission\"}",
        "{\"kind\":\"submission\",\"recipients\":[]}",
        "{\"kind\":\"submission\",\"recipients\":[{}]}",
        "{\"kind\":\"submission\",\"recipients\":[{\"address\":\"\"}]}",
        "{\"kind\":\"other\",\"recipients\":[{\"address\":\"a@b\"}]}",
        "{\"kind\":\"submission\",\"sender\":1,\"recipients\":[{\"address\":\"a@b\"}]}",
        "{\"kind\":\"submission\",\"sender\":\"a\\r\\nb\",\"recipients\":[{\"address\":\"a@b\"}]}",
        "{\"kind\":\"submission\",\"require_tls\":1,\"recipients\":[{\"address\":\"a@b\"}]}",
        "{\"kind\":\"routes\",\"recipients\":[{\"address\":\"a@b\",\"routes\":{}}]}",
        "{\"kind\":\"routes\",\"recipients\":[{\"address\":\"a@b\",\"routes\":[1]}]}",
        "{\"kind\":\"routes\",\"recipients\":[{\"address\":\"a@b\",\"routes\":[{\"kind\":\"x\"}]}]"
        "}",
        "{\"kind\":\"routes\",\"recipients\":[{\"address\":\"a@b\",\"routes\":"
        "[{\"kind\":\"forward\",\"to\":\"nobody\"}]}]}",
        "{\"kind\":\"routes\",\"recipients\":[{\"address\":\"a@b\",\"routes\":"
        "[{\"kind\":\"webhook\"}]}]}",
        "{\"kind\":\"routes\",\"recipients\":[{\"address\":\"a@b\",\"routes\":"
        "[{\"kind\":\"vacation\",\"until\":\"soon\"}]}]}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct envelope envelope;
        struct task task;

        task_init(&task, 0);
        if (envelope_parse(&task, str_from_c(texts[i]), &envelope) != ERR_INVALID)
            fail_msg("not refused: %s", texts[i]);
        task_done(&task);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
