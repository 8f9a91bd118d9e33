/*
 * The texts that the courier writes and the headers that it reads: reports (report.c), automatic
 * replies (reply.c), trace fields (trace.c), the domain that signs (signing.c). That other programs
 * read the reports as they are meant is tested by tests/scenario/courier.py.
 */
#include "courier/reply.h"
#include "courier/report.h"
#include "courier/signing.h"
#include "courier/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool has(const struct buf *text, const char *part)
{
    return str_find(buf_str(text), str_from_c(part)) >= 0;
}

static void xtext_becomes_text(void **state)
{
    static const struct {
        const char *xtext, *text;
    } rows[] = {
        {"ann@x.test", "ann@x.test"},
        {"a+2Bb@x.test", "a+b@x.test"},
        {"a+3D", "a="},
        {"a+2", "a?2"},
        {"a+", "a?"},
        {"a+zz", "a?zz"},
        {"a+0D+0Ab", "a??b"},
        {"+2b", "?2b"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        report_put_xtext(&out, str_from_c(rows[i].xtext));
        if (!str_equal(buf_str(&out), str_from_c(rows[i].text)))
            fail_msg("%s became %.*s", rows[i].xtext, STR_ARG(buf_str(&out)));
        buf_free(&out);
    }
}

static void write_report(const char *to, const char *address, const char *message, bool is_full,
                         struct buf *out, struct report_text *text)
{
    struct report_recipient recipient = {.address = str_from_c(address),
                                         .status = STR("5.1.1"),
                                         .words = STR("550 no\r\nInjected: x \xff"),
                                         .remote = STR("mx.test")};
    struct report report = {.hostname = STR("us.test"),
                            .from = STR("postmaster@us.test"),
                            .to = str_from_c(to),
                            .name = STR("abc"),
                            .is_full = is_full,
                            .message = str_from_c(message),
                            .recipients = &recipient,
                            .recipient_count = 1};

    buf_init(out, SIZE_MAX);
    report_write(&report, out, text);
}

static void reports_of_each_kind(void **state)
{
    struct report_text text;
    struct buf out;

    (void)state;
    write_report("a@us.test", "b@x.test", "Subject: s\r\n\r\nbody", false, &out, &text);
    assert_false(text.is_8bit || text.is_utf8);
    assert_true(has(&out, "message/delivery-status\r\n"));
    assert_true(has(&out, "text/rfc822-headers\r\n"));
    assert_true(has(&out, "Subject: s\r\n\r\n\r\n--abc--\r\n"));
    assert_false(has(&out, "body"));
    /* What a server said stays in its field. */
    assert_false(has(&out, "\r\nInjected"));
    assert_true(has(&out, "Diagnostic-Code: smtp;550 no??Injected: x ?\r\n"));
    buf_free(&out);
    write_report("a@us.test", "b@x.test", "Subject: \xc3\xa4\r\n\r\nbody", true, &out, &text);
    assert_true(text.is_8bit);
    assert_false(text.is_utf8);
    assert_true(has(&out, "message/rfc822\r\nContent-Transfer-Encoding: 8bit"));
    assert_true(has(&out, "body\r\n"));
    buf_free(&out);
    /* RFC 6533 */
    write_report("a@us.test", "b\xc3\xbc@x.test", "Subject: s\r\n\r\nbody", false, &out, &text);
    assert_true(text.is_utf8);
    assert_true(has(&out, "message/global-delivery-status\r\n"));
    assert_true(has(&out, "message/global-headers\r\n"));
    assert_true(has(&out, "Final-Recipient: utf-8;b\xc3\xbc@x.test\r\n"));
    buf_free(&out);
    /* Neither a message without an end of its header, nor one that is empty, nor a huge one. */
    write_report("a@us.test", "b@x.test", "Subject: s", false, &out, &text);
    assert_true(has(&out, "Subject: s\r\n\r\n--abc--"));
    buf_free(&out);
    write_report("a@us.test", "b@x.test", "", true, &out, &text);
    assert_true(has(&out, "--abc--"));
    buf_free(&out);
}

static void whom_a_reply_may_go_to(void **state)
{
    static const struct {
        const char *sender;
        bool may;
    } rows[] = {
        {"pal@friend.test", true},
        {"", false},
        {"me@us.test", false},
        {"ME@us.test", false},
        {"mailer-daemon@x.test", false},
        {"Postmaster@x.test", false},
        {"owner-list@x.test", false},
        {"list-request@x.test", false},
        {"list-bounces@x.test", false},
        {"noreply@x.test", false},
        {"SRS0=ab=cd=x.test=a@y.test", false},
        {"requester@x.test", true},
        {"bounceback@x.test", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (reply_may_go_to(str_from_c(rows[i].sender), STR("me@us.test")) != rows[i].may)
            fail_msg("%s", rows[i].sender);
    }
}

static void who_is_addressed(void **state)
{
    static const struct {
        const char *header;
        bool is_addressed;
    } rows[] = {
        {"To: me@us.test\r\n", true},
        {"To: Me <ME@US.test>, other@x.test\r\n", true},
        {"Cc: a@b.c,\r\n me+tag@us.test\r\n", true},
        {"Resent-To: me@us.test\r\n", true},
        {"To: notme@us.test\r\n", false},
        {"To: me@us.test.evil\r\n", false},
        {"To: me@us.testing\r\n", false},
        {"To: me@us\r\n", false},
        {"From: me@us.test\r\n", false},
        {"Subject: To: me@us.test\r\n", false},
        {"\r\nTo: me@us.test\r\n", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (reply_is_addressed_to(str_from_c(rows[i].header), STR("me@us.test")) !=
            rows[i].is_addressed)
            fail_msg("%s", rows[i].header);
    }
}

static void a_reply_is_plain_ascii_in_short_lines(void **state)
{
    struct reply reply = {.from = STR("me@us.test"),
                          .to = STR("pal@x.test"),
                          .subject = STR("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
                                         "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
                                         "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
                                         "\xc3\xbc\xc3\xbc\xc3\xbc"),
                          .name = STR("abc"),
                          .message =
                              STR("Message-ID: <1@x.test>\r\nIn-Reply-To: <0@x.test>\r\n\r\n")};
    struct buf text, out;
    struct str rest, line;

    (void)state;
    buf_init(&text, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    for (int i = 0; i < 100; i++)
        buf_put(&text, STR("gr\xc3\xbc\xc3\x9f"));
    buf_put(&text, STR("\n.\nFrom here \r\n=\r\n"));
    reply.text = buf_str(&text);
    reply_write(&reply, &out);
    rest = buf_str(&out);
    while (str_split(&rest, '\n', &line)) {
        assert_true(line.len <= 78);
        assert_true(rest.ptr == NULL || str_ends_with(line, STR("\r")));
        for (size_t i = 0; i < line.len; i++)
            assert_true((unsigned char)line.ptr[i] < 0x80);
    }
    assert_true(has(&out, "References:\r\n <0@x.test>\r\n <1@x.test>\r\n"));
    assert_true(has(&out, "\r\n=2E\r\n=46rom here=20\r\n=3D\r\n"));
    buf_free(&text);
    buf_free(&out);
}

static void trace_fields(void **state)
{
    struct str message = STR("Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\nX-Ours: 1\r\n"
                             "Received: z\r\nDelivered-To:  Me@us.test \r\n\r\nReceived: no\r\n");
    struct str value;
    struct buf out;

    (void)state;
    buf_init(&out, SIZE_MAX);
    assert_true(str_starts_with(trace_without_return_path(message), STR("Received: from x")));
    assert_true(str_equal(trace_without_return_path(STR("A: b\r\n")), STR("A: b\r\n")));
    trace_put_received(&out, message);
    assert_true(str_equal(buf_str(&out), STR("Received: from x\r\n\tby y\r\nReceived: z\r\n")));
    assert_true(trace_was_delivered_to(message, STR("me@us.test")));
    assert_false(trace_was_delivered_to(message, STR("e@us.test")));
    assert_true(trace_field(message, STR("x-ours"), &value) && str_equal(value, STR("1")));
    assert_false(trace_field(message, STR("none"), &value));
    assert_true(str_ends_with(trace_header(message), STR("us.test \r\n\r\n")));
    buf_free(&out);
}

static void the_domain_that_signs(void **state)
{
    static const struct {
        const char *from, *domain;
    } rows[] = {
        {"From: ann@us.test\r\n", "us.test"},
        {"From: \"a@evil.test\" <ann@us.test>\r\n", "us.test"},
        {"From: ann@us.test (b@evil.test)\r\n", "us.test"},
        {"from: Ann <ann@us.test> \r\n", "us.test"},
        {"From: =?utf-8?q?a=40b?= <\"q@q\"@us.test>\r\n", "us.test"},
        {"From: nobody\r\n", ""},
        {"To: ann@us.test\r\n", ""},
        {"\r\nFrom: ann@us.test\r\n", ""},
    };
    struct task task;

    (void)state;
    task_init(&task, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str found = signing_domain_of(&task, str_from_c(rows[i].from));

        if (!str_equal(found, str_from_c(rows[i].domain)))
            fail_msg("%s: %.*s", rows[i].from, STR_ARG(found));
    }
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xtext_becomes_text),
        cmocka_unit_test(reports_of_each_kind),
        cmocka_unit_test(whom_a_reply_may_go_to),
        cmocka_unit_test(who_is_addressed),
        cmocka_unit_test(a_reply_is_plain_ascii_in_short_lines),
        cmocka_unit_test(trace_fields),
        cmocka_unit_test(the_domain_that_signs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
