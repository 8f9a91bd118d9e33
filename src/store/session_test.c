/* Sessions that sleep: who wakes them, and what becomes of them when somebody dies. */
#include "store/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FOLDER = 7, GATE_TAG = 1 };

static void answer_open(struct fixture *f, enum wire_status status)
{
    struct wire_session_open_reply reply = {.status = status};

    fixture_send(&f->box, WIRE_SESSION_OPEN_REPLY, f->box.seen[f->box.seen_count - 1].tag, &reply,
                 false);
    fixture_turn(f);
}

/* The process offers its session; the gate was asked. */
static void offer(struct fixture *f, int64_t watched_folder)
{
    struct wire_session_hibernate body = {.session = f->session,
                                          .mailbox = f->mailbox,
                                          .consumed_bytes = 12,
                                          .watched_folder = watched_folder,
                                          .state = STR("state")};

    fixture_send(&f->box, WIRE_SESSION_HIBERNATE, 0, &body, false);
    fixture_turn(f);
}

static void answer_offer(struct fixture *f, enum wire_status status)
{
    struct wire_session_hibernate_reply body = {
        .session = f->session, .mailbox = f->mailbox, .status = status};

    fixture_send(&f->gate, WIRE_SESSION_HIBERNATE_REPLY, 0, &body, false);
    fixture_turn(f);
}

static void changed(struct fixture *f, int64_t folder_id)
{
    struct wire_mailbox_changed body = {.mailbox = f->mailbox, .folder_id = folder_id};

    fixture_send(&f->box, WIRE_MAILBOX_CHANGED, 0, &body, false);
    fixture_turn(f);
}

/* To DORMANT, with one sleeper; everybody's notes are emptied. */
static void make_dormant(struct fixture *f, int64_t watched_folder)
{
    struct wire_mailbox_idle idle = {.mailbox = f->mailbox};

    fixture_make_live(f);
    answer_open(f, WIRE_OK);
    offer(f, watched_folder);
    fixture_expect(&f->gate, WIRE_SESSION_HIBERNATE, 2);
    assert_int_equal(f->gate.seen[1].tag, GATE_TAG);
    answer_offer(f, WIRE_OK);
    fixture_expect(&f->box, WIRE_SESSION_HIBERNATE_REPLY, 2);
    assert_int_equal(f->box.seen[1].status, WIRE_OK);
    fixture_send(&f->box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_STOP, 3);
    fixture_end_process(f);
    f->gate.seen_count = f->sealer.seen_count = f->smtp.seen_count = 0;
}

/* The process that comes for it, up to LIVE. */
static void start_again(struct fixture *f)
{
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_LANE_RELEASE, 1);
    fixture_start_process(f, WIRE_OK);
}

static void test_mail_for_a_sleeper_goes_straight_in(void **state)
{
    struct fixture *f = *state;

    make_dormant(f, FOLDER);
    fixture_deliver(f, 6);
    start_again(f);
    /* It is told to report before it is given anything to report. */
    fixture_expect(&f->box, WIRE_DELIVER, 2);
    assert_int_equal(f->box.seen[0].type, WIRE_MAILBOX_SLEEPERS);
    assert_true(f->box.seen[0].status);
    changed(f, FOLDER + 1); /* somebody else's folder */
    assert_int_equal(f->gate.seen_count, 0);
    changed(f, FOLDER);
    fixture_expect(&f->gate, WIRE_SESSION_WAKE, 1);
    assert_int_equal(f->gate.seen[0].tag, GATE_TAG);
    assert_int_equal(f->gate.seen[0].status, WIRE_OK);
    changed(f, FOLDER); /* once is enough */
    assert_int_equal(f->gate.seen_count, 1);
    fixture_open_session(f, GATE_TAG);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_SESSION_OPEN, 3);
    answer_open(f, WIRE_OK);
    changed(f, FOLDER); /* awake it hears by itself */
    fixture_expect(&f->gate, WIRE_SESSION_OPEN_REPLY, 2);
}

static void test_who_does_not_watch_sleeps_on(void **state)
{
    struct fixture *f = *state;

    make_dormant(f, 0);
    fixture_deliver(f, 6);
    start_again(f);
    fixture_expect(&f->box, WIRE_DELIVER, 2);
    assert_int_equal(f->box.seen[0].type, WIRE_MAILBOX_SLEEPERS);
    assert_false(f->box.seen[0].status);
    changed(f, FOLDER);
    changed(f, -1);
    assert_int_equal(f->gate.seen_count, 0);
}

static void test_a_sleeper_that_speaks_starts_a_process(void **state)
{
    struct fixture *f = *state;

    make_dormant(f, 0);
    fixture_open_session(f, GATE_TAG);
    start_again(f);
    fixture_expect(&f->box, WIRE_SESSION_OPEN, 2);
}

static void test_a_refused_offer_leaves_all_as_it_was(void **state)
{
    struct fixture *f = *state;

    fixture_make_live(f);
    answer_open(f, WIRE_OK);
    offer(f, FOLDER);
    answer_offer(f, WIRE_UNAVAILABLE);
    fixture_expect(&f->box, WIRE_SESSION_HIBERNATE_REPLY, 2);
    assert_int_equal(f->box.seen[1].status, WIRE_UNAVAILABLE);
    changed(f, FOLDER);
    fixture_expect(&f->gate, WIRE_SESSION_HIBERNATE, 2);
    /* One that the store does not know is refused by the store itself. */
    f->session = id_random();
    offer(f, FOLDER);
    fixture_expect(&f->box, WIRE_SESSION_HIBERNATE_REPLY, 3);
    assert_int_equal(f->box.seen[2].status, WIRE_UNAVAILABLE);
}

static void test_a_sleeper_that_closes_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct wire_session_close close = {.session = f->session, .mailbox = f->mailbox};

    make_dormant(f, FOLDER);
    fixture_send(&f->gate, WIRE_SESSION_CLOSE, 0, &close, false);
    fixture_turn(f);
    fixture_deliver(f, 6); /* nobody's process: the owner is away */
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 1);
}

/* The process dies before the gate's answer: what it changed last it may not have told. */
static void test_death_of_the_process_wakes_who_watches(void **state)
{
    struct fixture *f = *state;

    fixture_make_live(f);
    answer_open(f, WIRE_OK);
    offer(f, FOLDER);
    fixture_end_process(f);
    answer_offer(f, WIRE_OK);
    fixture_expect(&f->gate, WIRE_SESSION_WAKE, 3);
    assert_int_equal(f->gate.seen[2].status, WIRE_OK);
    f->sealer.seen_count = 0;
    fixture_open_session(f, GATE_TAG);
    start_again(f);
    /* The next one dies too, with a sleeper that was asleep before it began. */
    answer_open(f, WIRE_OK);
    offer(f, FOLDER);
    answer_offer(f, WIRE_OK);
    f->gate.seen_count = 0;
    fixture_end_process(f);
    fixture_expect(&f->gate, WIRE_SESSION_WAKE, 1);
}

static void test_a_mailbox_that_does_not_open_ends_its_sleepers(void **state)
{
    struct fixture *f = *state;

    make_dormant(f, FOLDER);
    fixture_deliver(f, 6);
    fixture_turn(f);
    fixture_start_process(f, WIRE_UNAVAILABLE); /* the keeper restarted: there is no key */
    fixture_expect(&f->gate, WIRE_SESSION_WAKE, 1);
    assert_int_equal(f->gate.seen[0].status, WIRE_UNAVAILABLE);
    fixture_expect(&f->sealer, WIRE_DELIVER, 2);
    fixture_end_process(f);
    fixture_deliver(f, 7);
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 3);
}

static void test_expelled_sleepers_are_told(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_expel body = {.mailbox = f->mailbox};

    make_dormant(f, 0);
    fixture_send(&f->keeper, WIRE_MAILBOX_EXPEL, 0, &body, false);
    fixture_turn(f);
    fixture_expect(&f->gate, WIRE_SESSION_WAKE, 1);
    assert_int_equal(f->gate.seen[0].status, WIRE_DENIED);
    fixture_deliver(f, 7);
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 1);
}

/* The client goes while its gate is being asked: the process still gets its answer, or it would
 * never read that stream, nor find its end, again. */
static void test_a_session_that_closes_while_it_is_offered(void **state)
{
    struct fixture *f = *state;
    struct wire_session_close close = {.session = f->session, .mailbox = f->mailbox};

    fixture_make_live(f);
    answer_open(f, WIRE_OK);
    offer(f, FOLDER);
    fixture_send(&f->gate, WIRE_SESSION_CLOSE, 0, &close, false);
    fixture_turn(f);
    answer_offer(f, WIRE_UNAVAILABLE); /* of a client that is no more */
    fixture_expect(&f->box, WIRE_SESSION_HIBERNATE_REPLY, 2);
    assert_int_equal(f->box.seen[1].status, WIRE_UNAVAILABLE);
}

/* A new password, while a sleeper is on its way to a new process: which would get the key of
 * whoever logs in with that password. */
static void test_an_expelled_session_does_not_come_back(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_expel body = {.mailbox = f->mailbox};

    make_dormant(f, 0);
    fixture_open_session(f, GATE_TAG);
    fixture_turn(f);
    fixture_deliver(f, 7);
    fixture_turn(f);
    fixture_send(&f->keeper, WIRE_MAILBOX_EXPEL, 0, &body, false);
    start_again(f);
    fixture_expect(&f->box, WIRE_DELIVER, 1); /* mail goes on */
    fixture_expect(&f->gate, WIRE_SESSION_WAKE, 2);
    assert_int_equal(f->gate.seen[0].type, WIRE_SESSION_OPEN_REPLY);
    assert_int_equal(f->gate.seen[0].status, WIRE_UNAVAILABLE);
}

/* Its aliases lead to another one: who meant it for this one is to ask again. */
static void test_no_mail_for_a_mailbox_that_was_given_up(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_expel body = {.mailbox = f->mailbox, .is_for_good = true};

    make_dormant(f, 0);
    fixture_open_session(f, GATE_TAG);
    fixture_turn(f);
    fixture_deliver(f, 7); /* waits for the process */
    fixture_turn(f);
    fixture_send(&f->keeper, WIRE_MAILBOX_EXPEL, 0, &body, false);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f->smtp.seen[0].status, WIRE_UNAVAILABLE);
    fixture_deliver(f, 8);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 2);
    assert_int_equal(f->smtp.seen[1].status, WIRE_UNAVAILABLE);
    for (size_t i = 0; i < f->sealer.seen_count; i++)
        assert_int_not_equal(f->sealer.seen[i].type, WIRE_DELIVER);
}

static void test_a_mailbox_is_removed_under_its_sleepers(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_remove body = {.mailbox = f->mailbox};

    make_dormant(f, FOLDER);
    fixture_send(&f->keeper, WIRE_MAILBOX_REMOVE, 9, &body, false);
    fixture_turn(f);
    fixture_expect(&f->gate, WIRE_SESSION_WAKE, 1);
    fixture_expect(&f->sealer, WIRE_LANE_RELEASE, 1);
    fixture_release(f);
    fixture_turn(f);
    assert_int_equal(f->nursery.seen[f->nursery.seen_count - 1].type, WIRE_MAILBOX_REMOVE);
}

/* A gate that dies answers an offer by its death. */
static void test_death_of_a_gate_that_was_asked(void **state)
{
    struct fixture *f = *state;

    fixture_make_live(f);
    answer_open(f, WIRE_OK);
    offer(f, FOLDER);
    store_asker_gone(f->store, f->gate.near);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_SESSION_HIBERNATE_REPLY, 2);
    assert_int_equal(f->box.seen[1].status, WIRE_UNAVAILABLE);
}

static void test_a_gate_that_dies_takes_its_sleepers_along(void **state)
{
    struct fixture *f = *state;

    make_dormant(f, FOLDER);
    store_asker_gone(f->store, f->gate.near);
    fixture_deliver(f, 7);
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 1);
}

static void test_a_stop_waits_for_no_sleeper(void **state)
{
    struct fixture *f = *state;

    make_dormant(f, FOLDER);
    fixture_stop(f);
    assert_true(f->is_done);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_mail_for_a_sleeper_goes_straight_in),
        TEST(test_who_does_not_watch_sleeps_on),
        TEST(test_a_sleeper_that_speaks_starts_a_process),
        TEST(test_a_refused_offer_leaves_all_as_it_was),
        TEST(test_a_sleeper_that_closes_is_forgotten),
        TEST(test_death_of_the_process_wakes_who_watches),
        TEST(test_a_mailbox_that_does_not_open_ends_its_sleepers),
        TEST(test_expelled_sleepers_are_told),
        TEST(test_a_session_that_closes_while_it_is_offered),
        TEST(test_an_expelled_session_does_not_come_back),
        TEST(test_no_mail_for_a_mailbox_that_was_given_up),
        TEST(test_a_mailbox_is_removed_under_its_sleepers),
        TEST(test_death_of_a_gate_that_was_asked),
        TEST(test_a_gate_that_dies_takes_its_sleepers_along),
        TEST(test_a_stop_waits_for_no_sleeper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
