/* Where aliases send mail: forwards, aliases of aliases, vacation answers. */
#include "courier/courier_fixture.h"

#include "mailauth/srs.h"
#include "secret/secret.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* It would be taken, and nobody would ever have it. */
static void aliases_that_lead_in_a_circle_lose_nothing(void **state)
{
    struct fixture *f = *state;

    f->routes = "[{\"kind\":\"forward\",\"to\":\"only@ours.test\"}]";
    fixture_queue(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"only@ours.test\"}]}"),
                  GIVEN, 0);
    fixture_run(f);
    fixture_run(f);
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].recipients, "who@from.test ");
    assert_true(fixture_has(&f->sent[0].text, "Status: 5.4.6\r\n"));
    assert_int_equal(fixture_waiting(f), 0);
    /* In two ways to the same place is no circle. */
    f->routes = "[{\"kind\":\"forward\",\"to\":\"x@example.test\"}]";
    fixture_queue(
        f,
        ROUTES("who@from.test", "",
               "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
               "\"to\":\"only@ours.test\"},{\"kind\":\"forward\",\"to\":\"only@ours.test\","
               "\"x\":1},{\"kind\":\"forward\",\"to\":\"x@example.test\"}]}"),
        GIVEN "2\r\n", 0);
    fixture_run(f);
    fixture_run(f);
    assert_int_equal(f->sent_count, 2);
    assert_string_equal(f->sent[1].recipients, "x@example.test ");
}

static void a_forward_keeps_the_message(void **state)
{
    struct fixture *f = *state;
    struct buf expected;
    const struct sent *sent = &f->sent[0];

    fixture_queue(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"target@example.test\"}]}"),
                  GIVEN, 0);
    assert_int_equal(f->sent_count, 1);
    assert_true(strncmp(sent->sender, "SRS0=", 5) == 0);
    assert_non_null(strstr(sent->sender, "=from.test=who@ours.test"));
    buf_init(&expected, SIZE_MAX);
    buf_putf(&expected, "Delivered-To: al@ours.test\r\nReceived: from x by y; z\r\n%s", GIVEN);
    assert_true(str_equal(buf_str(&sent->text), buf_str(&expected)));
    buf_free(&expected);
    /* Null stays null; via a route's own host. */
    fixture_queue(f,
                  ROUTES("", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"target@example.test\",\"via\":\"gw.test:2525\"}]}"),
                  GIVEN, 0);
    assert_int_equal(f->sent_count, 2);
    assert_string_equal(f->sent[1].sender, "");
    assert_string_equal(f->sent[1].via, "gw.test:2525");
}

static void a_failed_forward_tells_no_target(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.1.1";
    f->words = "<Hidden@example.test> unknown";
    fixture_queue(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"hidden@example.test\"}]}"),
                  GIVEN, 0);
    fixture_run(f);
    assert_int_equal(f->sent_count, 2); /* the report, to another server */
    assert_string_equal(f->sent[1].recipients, "who@from.test ");
    assert_string_equal(f->sent[1].sender, "");
    assert_true(fixture_has(&f->sent[1].text, "Final-Recipient: rfc822;al@ours.test\r\n"));
    assert_false(fixture_has(&f->sent[1].text, "idden@example.test"));
    assert_false(fixture_has(&f->sent[1].text, "mx.example.test"));
    assert_true(fixture_has(&f->sent[1].text, "From: Mail Delivery System <postmaster@ours.test>"));
    /* That report is refused too, and that is the end of it. */
    fixture_run(f);
    assert_int_equal(f->sent_count, 2);
    assert_int_equal(fixture_waiting(f), 0);
}

static void aliases_that_lead_to_aliases(void **state)
{
    struct fixture *f = *state;

    /* alias stores, and leads to only, which leads to alias and away: a circle with an exit. */
    f->routes = "[{\"kind\":\"forward\",\"to\":\"only@ours.test\"},"
                "{\"kind\":\"forward\",\"to\":\"alias@ours.test\"},"
                "{\"kind\":\"forward\",\"to\":\"out@example.test\"}]";
    fixture_queue(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"alias@ours.test\"}]}"),
                  GIVEN, 0);
    for (int i = 0; i < 6; i++)
        fixture_run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_string_equal(f->delivered[0].recipient, "alias@ours.test");
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].recipients, "out@example.test ");
    assert_int_equal(fixture_waiting(f), 0);
}

static void what_has_been_here_goes_no_further(void **state)
{
    struct fixture *f = *state;

    fixture_queue(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"target@example.test\"}]}"),
                  "Delivered-To: AL@ours.test\r\n" GIVEN, 0);
    fixture_run(f);
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].recipients, "who@from.test ");
    assert_true(fixture_has(&f->sent[0].text, "Status: 5.4.6\r\n"));
}

static void a_vacation_answers_once(void **state)
{
    struct fixture *f = *state;
#define AWAY                                                                                       \
    "{\"address\":\"ann@ours.test\",\"routes\":[{\"kind\":\"vacation\","                           \
    "\"from\":\"ann@ours.test\",\"subject\":\"\",\"text\":\"Back soon\"}]}"
#define TO_ANN                                                                                     \
    "From: who@from.test\r\nTo: Ann <ann@ours.test>\r\nMessage-ID: <m@from.test>\r\n"              \
    "Subject: When\r\n\r\n"

    fixture_queue(f, ROUTES("who@from.test", ",\"may_reply\":true", AWAY), TO_ANN "1\r\n", 0);
    fixture_run(f);
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].sender, "");
    assert_string_equal(f->sent[0].recipients, "who@from.test ");
    assert_true(fixture_has(&f->sent[0].text, "Auto-Submitted: auto-replied\r\n"));
    assert_true(fixture_has(&f->sent[0].text, "In-Reply-To: <m@from.test>\r\n"));
    assert_true(fixture_has(&f->sent[0].text, "Subject: Auto: When\r\n"));
    fixture_queue(f, ROUTES("who@from.test", ",\"may_reply\":true", AWAY), TO_ANN "2\r\n", 0);
    /* Nor may it where the message is no letter to her. */
    fixture_queue(f, ROUTES("x@from.test", ",\"may_reply\":false", AWAY), TO_ANN "3\r\n", 0);
    fixture_queue(f, ROUTES("y@from.test", ",\"may_reply\":true", AWAY), "To: z@z\r\n\r\n", 0);
    fixture_queue(f, ROUTES("owner-l@from.test", ",\"may_reply\":true", AWAY), TO_ANN "4\r\n", 0);
    fixture_queue(f, ROUTES("", ",\"may_reply\":true", AWAY), TO_ANN "5\r\n", 0);
    fixture_queue(f, ROUTES("j@from.test", ",\"may_reply\":true,\"is_junk\":true", AWAY),
                  TO_ANN "6\r\n", 0);
    fixture_run(f);
    assert_int_equal(f->sent_count, 1);
    assert_int_equal(fixture_waiting(f), 0);
}

/* Junk that others got, and an alias that only forwards did not: its sender is told, once, unless
 * he did not want to hear. */
static void what_is_held_back_is_told(void **state)
{
    struct fixture *f = *state;

    fixture_queue(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"fwd@ours.test\",\"held_back\":true,\"routes\":[]}"),
                  GIVEN, 0);
    fixture_run(f);
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].recipients, "who@from.test ");
    assert_string_equal(f->sent[0].sender, "");
    assert_true(fixture_has(&f->sent[0].text, "Final-Recipient: rfc822;fwd@ours.test\r\n"));
    assert_true(fixture_has(&f->sent[0].text, "Action: failed\r\nStatus: 5.7.1\r\n"));
    assert_true(fixture_has(&f->sent[0].text, "looks like junk"));
    fixture_queue(
        f,
        ROUTES("who@from.test", "",
               "{\"address\":\"fwd2@ours.test\",\"held_back\":true,\"notify\":\"NEVER\"}"),
        GIVEN, 0);
    fixture_queue(f, ROUTES("", "", "{\"address\":\"fwd3@ours.test\",\"held_back\":true}"), GIVEN,
                  0);
    fixture_run(f);
    assert_int_equal(f->sent_count, 1);
    assert_int_equal(fixture_waiting(f), 0);
}

/* An alias of an alias: the sender hears of the address that he wrote, and of no other. */
static void a_chain_that_fails_tells_its_beginning(void **state)
{
    struct fixture *f = *state;

    f->routes = "[{\"kind\":\"forward\",\"to\":\"out@example.test\"}]";
    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.1.1";
    f->words = "out@example.test is unknown";
    fixture_queue(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"only@ours.test\"}]}"),
                  GIVEN, 0);
    for (int i = 0; i < 4; i++)
        fixture_run(f);
    assert_int_equal(f->sent_count, 2);
    assert_string_equal(f->sent[1].recipients, "who@from.test ");
    assert_true(fixture_has(&f->sent[1].text, "Final-Recipient: rfc822;al@ours.test\r\n"));
    assert_false(fixture_has(&f->sent[1].text, "out@example.test"));
    assert_false(fixture_has(&f->sent[1].text, "only@ours.test"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(aliases_that_lead_in_a_circle_lose_nothing),
        CASE(a_forward_keeps_the_message),
        CASE(a_failed_forward_tells_no_target),
        CASE(aliases_that_lead_to_aliases),
        CASE(what_has_been_here_goes_no_further),
        CASE(a_vacation_answers_once),
        CASE(what_is_held_back_is_told),
        CASE(a_chain_that_fails_tells_its_beginning),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
