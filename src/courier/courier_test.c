/* Each way of a message that somebody submitted, and what operators do with it. */
#include "courier/courier_fixture.h"

#include "secret/secret.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_submission_goes_out(void **state)
{
    struct fixture *f = *state;

    fixture_queue(f,
                  SUBMISSION(BOB ",{\"address\":\"eve@example.test\"},"
                                 "{\"address\":\"joe@other.test\"}"),
                  GIVEN, 0);
    assert_int_equal(f->queue_status, WIRE_OK);
    assert_int_equal(f->sent_count, 2);
    assert_string_equal(f->sent[0].recipients, "bob@example.test eve@example.test ");
    assert_string_equal(f->sent[0].sender, "ann@ours.test");
    assert_string_equal(f->sent[1].domain, "other.test");
    /* Where it has been, but not what is for a mailbox only. */
    assert_true(str_starts_with(buf_str(&f->sent[0].text), STR("Received: from x")));
    assert_true(fixture_has(&f->sent[0].text, GIVEN));
    assert_int_equal(f->asked_keeper, 0);
    assert_int_equal(fixture_waiting(f), 0);
    assert_int_equal(f->delivered_count, 0);
}

static void a_retransmission_goes_out_once(void **state)
{
    struct fixture *f = *state;

    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(f->queue_status, WIRE_OK);
    assert_int_equal(f->queue_replies, 2);
    assert_int_equal(f->sent_count, 1);
    /* Another recipient, another message: not the same. */
    fixture_queue(f, SUBMISSION(BOB ",{\"address\":\"eve@example.test\"}"), GIVEN, 0);
    fixture_queue(f, SUBMISSION(BOB), GIVEN "more\r\n", 0);
    assert_int_equal(f->sent_count, 3);
    assert_string_equal(f->sent[1].recipients, "eve@example.test ");
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct fixture *f = *state;

    fixture_queue(f, "{\"kind\":\"submission\"}", GIVEN, 0);
    assert_int_equal(f->queue_status, WIRE_INVALID);
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(f->queue_status, WIRE_OK);
}

/* "550" and nothing else: that much is told. */
static void a_failure_without_a_word(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.0.0";
    f->words = "";
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_true(fixture_has(&f->delivered[0].text, "Diagnostic-Code: smtp;550 5.0.0\r\n"));
}

static void a_failure_comes_back(void **state)
{
    struct fixture *f = *state;
    const struct buf *report = &f->delivered[0].text;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.1.1";
    f->words = "no such user";
    fixture_queue(f,
                  SUBMISSION("{\"address\":\"bob@example.test\","
                             "\"orcpt\":\"rfc822;b+2Bb@example.test\"}"),
                  GIVEN, 0);
    fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_string_equal(f->delivered[0].recipient, "ann@ours.test");
    assert_string_equal(f->delivered[0].sender, "");
    assert_true(str_starts_with(buf_str(report), STR("Return-Path: <>\r\nFrom: Mail Delivery ")));
    assert_true(fixture_has(report, "report-type=delivery-status"));
    assert_true(fixture_has(report, "Original-Recipient: rfc822;b+b@example.test\r\n"));
    assert_true(fixture_has(report, "Final-Recipient: rfc822;bob@example.test\r\n"));
    assert_true(fixture_has(report, "Action: failed\r\nStatus: 5.1.1\r\n"));
    assert_true(fixture_has(report, "Remote-MTA: dns;mx.example.test\r\n"
                                    "Diagnostic-Code: smtp;550 5.1.1 no such user\r\n"));
    assert_true(fixture_has(report, "Subject: Hello\r\n"));
    assert_false(fixture_has(report, "\r\nText\r\n"));
    assert_int_equal(fixture_waiting(f), 0);
    /* Once known, it is not tried again, but told. */
    f->outcome = COURIER_DELIVERED;
    fixture_queue(f, SUBMISSION(BOB), GIVEN "again\r\n", 0);
    fixture_run(f);
    assert_int_equal(f->sent_count, 1);
    assert_int_equal(f->delivered_count, 2);
    assert_true(fixture_has(&f->delivered[1].text, "no such user"));
    assert_non_null(
        strstr(fixture_admin(f, "{\"command\":\"queue suppression list\",\"arguments\":{}}"),
               "bob@example.test"));
    fixture_admin(f, "{\"command\":\"queue suppression clear\",\"arguments\":"
                     "{\"address\":\"bob@example.test\"}}");
    fixture_queue(f, SUBMISSION(BOB), GIVEN "and again\r\n", 0);
    assert_int_equal(f->sent_count, 2);
}

static void report(struct fixture *f, const char *recipient, const char *json)
{
    struct wire_bounce body = {str_from_c(recipient), str_from_c(json)};

    assert_int_equal(wire_send(f->smtp.far, WIRE_BOUNCE, 3, &body, NULL, 0), ERR_OK);
    fixture_run(f);
}

static bool is_suppressed(struct fixture *f, const char *address)
{
    return strstr(fixture_admin(f, "{\"command\":\"queue suppression list\",\"arguments\":{}}"),
                  address) != NULL;
}

#define CLAIM(id, address, status)                                                                 \
    "{" id ",\"failed\":[{\"final\":\"" address "\",\"status\":\"" status "\"}]}"
#define OUR_ID "\"message_id\":\"<1@ours.test>\""

static void a_report_counts_for_what_was_sent(void **state)
{
    struct fixture *f = *state;

    fixture_queue(f,
                  "{\"id\":\"t1\",\"kind\":\"submission\",\"sender\":\"Ann@ours.test\","
                  "\"envid\":\"E+2B7\",\"recipients\":[" BOB
                  ",{\"address\":\"eve@example.test\"}]}",
                  GIVEN, 0);
    assert_int_equal(f->sent_count, 1);
    /* Another message, another recipient, another sender, about the sender, about the content. */
    report(f, "ann@ours.test",
           CLAIM("\"message_id\":\"<2@ours.test>\"", "bob@example.test", "5.1.1"));
    report(f, "ann@ours.test", CLAIM(OUR_ID, "joe@example.test", "5.1.1"));
    report(f, "sue@ours.test", CLAIM(OUR_ID, "bob@example.test", "5.1.1"));
    report(f, "ann@ours.test", CLAIM(OUR_ID, "bob@example.test", "5.1.8"));
    report(f, "ann@ours.test", CLAIM(OUR_ID, "bob@example.test", "5.7.1"));
    report(f, "ann@ours.test", CLAIM("\"envid\":\"E8\"", "bob@example.test", "5.1.1"));
    report(f, "ann@ours.test", "[]");
    report(f, "ann@ours.test", "{");
    assert_false(is_suppressed(f, "@example.test"));
    report(f, "ann@ours.test", CLAIM(OUR_ID, "Bob@Example.test", "5.1.1"));
    assert_true(is_suppressed(f, "bob@example.test"));
    assert_false(is_suppressed(f, "eve@example.test"));
    report(f, "ann@ours.test", CLAIM("\"envid\":\"E+7\"", "eve@example.test", "5.2.1"));
    assert_true(is_suppressed(f, "eve@example.test"));
    fixture_queue(f, SUBMISSION(BOB), GIVEN "again\r\n", 0);
    assert_int_equal(f->sent_count, 1);
}

/* 5.1.8 is about the sender's domain: the address may be good. */
static void a_sender_refused_does_not_blame_the_recipient(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.1.8";
    f->words = "sender's domain not found";
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_false(is_suppressed(f, "bob@example.test"));
}

static void a_temporary_failure_waits(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.2.1";
    f->words = "later";
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(f->sent_count, 1);
    assert_int_equal(fixture_waiting(f), 1);
    assert_int_equal(f->delivered_count, 0);
    assert_non_null(strstr(f->admin, "later"));
    f->outcome = COURIER_DELIVERED;
    fixture_admin(f, "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    fixture_run(f);
    assert_int_equal(f->sent_count, 2);
    assert_int_equal(f->asked_keeper, 1); /* may have become ours meanwhile */
    assert_int_equal(fixture_waiting(f), 0);
}

static void a_delay_is_told_once(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.2.1";
    f->words = "later";
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 5 * 3600 * 1000);
    fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_true(fixture_has(&f->delivered[0].text, "Action: delayed\r\n"));
    assert_true(fixture_has(&f->delivered[0].text, "Will-Retry-Until: "));
    fixture_admin(f, "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    fixture_run(f);
    assert_int_equal(f->sent_count, 2);
    assert_int_equal(f->delivered_count, 1);
}

static void after_its_lifetime_it_comes_back(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.4.1";
    f->words = "no connection";
    fixture_queue(f, SUBMISSION(BOB), GIVEN, INT64_C(6) * 24 * 3600 * 1000);
    fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_true(fixture_has(&f->delivered[0].text, "Action: failed\r\nStatus: 4.4.7\r\n"));
    assert_true(fixture_has(&f->delivered[0].text, "Tried for 5 days"));
    assert_int_equal(fixture_waiting(f), 0);
}

static void notify_is_honoured(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.2.0";
    f->words = "no";
    fixture_queue(f, SUBMISSION("{\"address\":\"bob@example.test\",\"notify\":\"NEVER\"}"), GIVEN,
                  0);
    fixture_run(f);
    assert_int_equal(f->delivered_count, 0);
    f->outcome = COURIER_DELIVERED;
    f->enhanced = "2.0.0";
    fixture_queue(f, SUBMISSION("{\"address\":\"eve@example.test\",\"notify\":\"SUCCESS\"}"), GIVEN,
                  0);
    fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_true(fixture_has(&f->delivered[0].text, "Action: relayed\r\n"));
    f->passes_dsn = true;
    fixture_queue(f, SUBMISSION("{\"address\":\"joe@example.test\",\"notify\":\"SUCCESS\"}"), GIVEN,
                  0);
    fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
}

static void a_kill_loses_nothing(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.0.0";
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(fixture_waiting(f), 1);
    fixture_kill(f);
    f->outcome = COURIER_DELIVERED;
    fixture_start(f);
    fixture_run(f);
    assert_int_equal(fixture_waiting(f), 1); /* its time has not come */
    assert_int_equal(f->sent_count, 1);
    fixture_admin(f, "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    fixture_run(f);
    assert_int_equal(f->sent_count, 2);
    /* And the repeat of what was accepted before is known. */
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(f->sent_count, 2);
}

static void a_role_that_is_away_costs_no_attempt(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.0.0";
    f->deliver_status = WIRE_UNAVAILABLE;
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    fixture_run(f);
    assert_int_equal(fixture_waiting(f), 1); /* the report */
    assert_non_null(strstr(f->admin, "\"attempts\":0"));
    f->deliver_status = WIRE_OK;
    fixture_admin(f, "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_int_equal(fixture_waiting(f), 0);
}

static void an_operator_holds_and_deletes(void **state)
{
    struct fixture *f = *state;
    char id[32], request[128];
    const char *at;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.0.0";
    fixture_queue(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(fixture_waiting(f), 1);
    at = strstr(f->admin, "\"id\":\"");
    assert_non_null(at);
    snprintf(id, sizeof(id), "%.24s", at + 6);
    snprintf(request, sizeof(request), "{\"command\":\"queue hold\",\"arguments\":{\"id\":\"%s\"}}",
             id);
    assert_non_null(strstr(fixture_admin(f, request), "\"count\":1"));
    assert_non_null(strstr(
        fixture_admin(f, "{\"command\":\"queue list\",\"arguments\":{\"state\":\"held\"}}"), id));
    snprintf(request, sizeof(request), "{\"command\":\"queue show\",\"arguments\":{\"id\":\"%s\"}}",
             id);
    assert_non_null(strstr(fixture_admin(f, request), "\"trace\":\"t1\""));
    snprintf(request, sizeof(request),
             "{\"command\":\"queue delete\",\"arguments\":{\"id\":\"%s\"}}", id);
    assert_non_null(strstr(fixture_admin(f, request), "\"ok\""));
    assert_int_equal(fixture_waiting(f), 0);
    assert_non_null(strstr(fixture_admin(f, request), "\"not-found\""));
    assert_int_equal(f->delivered_count, 0);
}

/* A thousand for one that fails slowly do not keep another from its turn. */
static void destinations_take_turns(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 12; i++) {
        char given[64];

        snprintf(given, sizeof(given), "From: ann@ours.test\r\n\r\n%d\r\n", i);
        fixture_queue(f, SUBMISSION(BOB), given, 0);
    }
    assert_int_equal(f->sent_count, 12);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_submission_goes_out),
        CASE(a_retransmission_goes_out_once),
        CASE(what_makes_no_sense_is_refused),
        CASE(a_failure_comes_back),
        CASE(a_failure_without_a_word),
        CASE(a_report_counts_for_what_was_sent),
        CASE(a_sender_refused_does_not_blame_the_recipient),
        CASE(a_temporary_failure_waits),
        CASE(a_delay_is_told_once),
        CASE(after_its_lifetime_it_comes_back),
        CASE(notify_is_honoured),
        CASE(a_kill_loses_nothing),
        CASE(a_role_that_is_away_costs_no_attempt),
        CASE(an_operator_holds_and_deletes),
        CASE(destinations_take_turns),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
