/* Routing of sessions, mail and jobs: the arrows of store.h, one test each. */
#include "store/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void answer_delivery(struct fixture_peer *from, uint64_t tag, enum wire_status status)
{
    struct wire_deliver_reply reply = {.status = status};

    fixture_send(from, WIRE_DELIVER_REPLY, tag, &reply, false);
}

static void test_absent_owner_is_sealed(void **state)
{
    struct fixture *f = *state;

    fixture_deliver(f, 77);
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 1);
    assert_true(f->sealer.seen[0].fd >= 0);
    answer_delivery(&f->sealer, f->sealer.seen[0].tag, WIRE_DISK_FULL);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f->smtp.seen[0].tag, 77);
    assert_int_equal(f->smtp.seen[0].status, WIRE_DISK_FULL);
}

/* It is being restarted: nobody has to send again because of that. */
static void test_delivery_waits_for_a_sealer(void **state)
{
    struct fixture *f = *state;

    store_set_peer(f->store, WIRE_ROLE_SEALER, NULL);
    fixture_deliver(f, 77);
    fixture_deliver(f, 78);
    fixture_turn(f);
    assert_int_equal(f->smtp.seen_count, 0);
    store_asker_gone(f->store, f->gate.near);
    store_set_peer(f->store, WIRE_ROLE_SEALER, f->sealer.near);
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 2);
    assert_true(f->sealer.seen[0].fd >= 0);
    answer_delivery(&f->sealer, f->sealer.seen[0].tag, WIRE_OK);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f->smtp.seen[0].tag, 77);
    /* What the second one was asked is in flight when it dies: nobody knows whether it was done. */
    store_set_peer(f->store, WIRE_ROLE_SEALER, NULL);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 2);
    assert_int_equal(f->smtp.seen[1].status, WIRE_UNAVAILABLE);
    fixture_deliver(f, 79); /* and is freed with the store */
    fixture_turn(f);
}

/* When the store has no descriptor free, the kernel passes the message on, its file not. */
static void test_request_without_its_descriptor_is_answered(void **state)
{
    struct fixture *f = *state;
    struct wire_deliver mail = {.mailbox = f->mailbox, .sender = STR("a@example.org")};
    struct wire_session_open session = {.mailbox = f->mailbox, .tag = STR("a1")};

    fixture_send(&f->smtp, WIRE_DELIVER, 7, &mail, false);
    fixture_send(&f->gate, WIRE_SESSION_OPEN, 8, &session, false);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f->smtp.seen[0].status, WIRE_UNAVAILABLE);
    fixture_expect(&f->gate, WIRE_SESSION_OPEN_REPLY, 1);
    assert_int_equal(f->gate.seen[0].status, WIRE_UNAVAILABLE);
    assert_int_equal(f->sealer.seen_count, 0);
    fixture_make_live(f);
}

static void test_session_takes_the_drop_box_over_first(void **state)
{
    struct fixture *f = *state;

    fixture_open_session(f, 5);
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_LANE_RELEASE, 1);
    assert_int_equal(f->nursery.seen_count, 0);
    fixture_deliver(f, 6); /* waits: neither the sealer's any more, nor the mailbox's yet */
    fixture_turn(f);
    assert_int_equal(f->sealer.seen_count, 1);
    fixture_release(f);
    fixture_turn(f);
    fixture_start_box(f);
    fixture_turn(f);
    assert_int_equal(f->box.seen_count, 0);
    fixture_opened(f, WIRE_OK);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_DELIVER, 2);
    assert_int_equal(f->box.seen[0].type, WIRE_SESSION_OPEN);
    answer_delivery(&f->box, f->box.seen[1].tag, WIRE_OK);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f->smtp.seen[0].tag, 6);
}

static void test_mailbox_that_does_not_open_loses_no_mail(void **state)
{
    struct fixture *f = *state;

    fixture_open_session(f, 5);
    fixture_deliver(f, 6);
    fixture_turn(f);
    fixture_start_process(f, WIRE_DAMAGED);
    fixture_expect(&f->gate, WIRE_SESSION_OPEN_REPLY, 1);
    assert_int_equal(f->gate.seen[0].status, WIRE_DAMAGED);
    fixture_expect(&f->sealer, WIRE_DELIVER, 2);
}

static void test_death_of_the_process_is_answered(void **state)
{
    struct fixture *f = *state;

    fixture_make_live(f);
    fixture_deliver(f, 8);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_DELIVER, 2);
    fixture_end_process(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f->smtp.seen[0].status, WIRE_UNAVAILABLE);
    fixture_deliver(f, 9); /* absent again */
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 2);
}

static void test_mail_between_stop_and_end_is_kept(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_idle idle = {.mailbox = f->mailbox};
    struct wire_session_open_reply reply = {.status = WIRE_OK};

    fixture_make_live(f);
    fixture_send(&f->box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    fixture_turn(f);
    assert_int_equal(f->box.seen_count, 1); /* not yet: the session's answer is outstanding */
    fixture_send(&f->box, WIRE_SESSION_OPEN_REPLY, f->box.seen[0].tag, &reply, false);
    fixture_send(&f->box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_STOP, 2);
    fixture_deliver(f, 9);
    fixture_turn(f);
    assert_int_equal(f->box.seen_count, 2);
    fixture_end_process(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 2);
}

static void test_session_that_comes_while_ending_starts_anew(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_expel expel = {.mailbox = f->mailbox};

    fixture_make_live(f);
    fixture_send(&f->keeper, WIRE_MAILBOX_EXPEL, 0, &expel, false);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_STOP, 2);
    fixture_open_session(f, 2);
    fixture_turn(f);
    fixture_end_process(f);
    fixture_expect(&f->sealer, WIRE_LANE_RELEASE, 2);
}

static void test_new_mailbox_is_answered_when_it_is_open(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_create create = {.mailbox = f->mailbox};

    fixture_send(&f->keeper, WIRE_MAILBOX_CREATE, 3, &create, false);
    fixture_turn(f);
    assert_int_equal(f->sealer.seen_count, 0); /* there is no drop box to let go of */
    fixture_start_box(f);
    assert_int_equal(f->keeper.seen_count, 0);
    fixture_opened(f, WIRE_OK);
    fixture_turn(f);
    fixture_expect(&f->keeper, WIRE_MAILBOX_CREATE_REPLY, 1);
    assert_int_equal(f->keeper.seen[0].status, WIRE_OK);
    fixture_expect(&f->box, WIRE_STOP, 1);
    /* The file is there now: mail that comes while its first process ends is sealed. */
    fixture_deliver(f, 9);
    fixture_turn(f);
    fixture_end_process(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 1);
    assert_int_equal(f->smtp.seen_count, 0);
}

static void test_removal_ends_process_sealer_and_files_in_order(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_remove remove = {.mailbox = f->mailbox};
    struct wire_mailbox_remove_reply reply = {.mailbox = f->mailbox, .status = WIRE_OK};

    fixture_make_live(f);
    fixture_send(&f->keeper, WIRE_MAILBOX_REMOVE, 4, &remove, false);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_STOP, 2);
    fixture_deliver(f, 9);
    fixture_turn(f);
    assert_int_equal(f->smtp.seen[0].status, WIRE_UNKNOWN);
    fixture_end_process(f);
    fixture_expect(&f->sealer, WIRE_LANE_RELEASE, 2);
    assert_int_equal(f->nursery.seen_count, 1);
    fixture_release(f);
    fixture_turn(f);
    fixture_expect(&f->nursery, WIRE_MAILBOX_REMOVE, 2);
    fixture_send(&f->nursery, WIRE_MAILBOX_REMOVE_REPLY, 0, &reply, false);
    fixture_turn(f);
    fixture_expect(&f->keeper, WIRE_MAILBOX_REMOVE_REPLY, 1);
    assert_int_equal(f->keeper.seen[0].tag, 4);
}

static void test_sealer_that_dies_has_let_go(void **state)
{
    struct fixture *f = *state;

    fixture_deliver(f, 1);
    fixture_turn(f);
    fixture_open_session(f, 2);
    fixture_turn(f);
    store_set_peer(f->store, WIRE_ROLE_SEALER, NULL);
    fixture_turn(f);
    assert_int_equal(f->smtp.seen[0].status, WIRE_UNAVAILABLE);
    fixture_expect(&f->nursery, WIRE_MAILBOX_SPAWN, 1);
}

static void test_queue_is_bounded(void **state)
{
    struct fixture *f = *state;

    fixture_open_session(f, 1);
    fixture_turn(f);
    for (uint64_t i = 0; i < STORE_QUEUE_MAX; i++) {
        fixture_deliver(f, i);
        if (i % 50 == 0)
            fixture_turn(f);
    }
    fixture_turn(f);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 1); /* the session waits too: one too many */
    assert_int_equal(f->smtp.seen[0].status, WIRE_UNAVAILABLE);
}

static void test_stop_waits_for_every_process(void **state)
{
    struct fixture *f = *state;

    fixture_make_live(f);
    fixture_stop(f);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_STOP, 2);
    assert_false(f->is_done);
    fixture_end_process(f);
    assert_true(f->is_done);
}

/* A process was taken over: it cannot say that somebody else's mail is stored. */
static void test_only_who_was_asked_can_answer(void **state)
{
    struct fixture *f = *state;
    struct id live;

    fixture_make_live(f);
    live = f->mailbox;
    f->mailbox = id_random();
    fixture_deliver(f, 8); /* of an absent owner */
    fixture_turn(f);
    fixture_expect(&f->sealer, WIRE_DELIVER, 2);
    answer_delivery(&f->box, f->sealer.seen[1].tag, WIRE_OK);
    fixture_turn(f);
    assert_int_equal(f->smtp.seen_count, 0);
    answer_delivery(&f->sealer, f->sealer.seen[1].tag, WIRE_DISK_FULL);
    fixture_turn(f);
    fixture_expect(&f->smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f->smtp.seen[0].status, WIRE_DISK_FULL);
    f->mailbox = live;
    fixture_deliver(f, 9);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_DELIVER, 2);
    answer_delivery(&f->sealer, f->box.seen[1].tag, WIRE_OK);
    fixture_turn(f);
    assert_int_equal(f->smtp.seen_count, 1);
}

/* ---- Jobs ---- */

static void ask_job(struct fixture *f, uint64_t tag)
{
    struct wire_job body = {
        .session = f->session, .mailbox = f->mailbox, .kind = STR("alias check")};

    fixture_send(&f->keeper, WIRE_JOB, tag, &body, true);
}

static void cancel_job(struct fixture *f)
{
    struct wire_job_cancel body = {.session = f->session, .mailbox = f->mailbox};

    fixture_send(&f->keeper, WIRE_JOB_CANCEL, 0, &body, false);
}

static void reply_job(struct fixture *f, enum wire_status status, bool is_last)
{
    struct wire_job_reply body = {.session = f->session,
                                  .mailbox = f->mailbox,
                                  .status = status,
                                  .json = STR("{}"),
                                  .is_last = is_last};

    fixture_send(&f->box, WIRE_JOB_REPLY, f->box.seen[0].tag, &body, false);
}

/* To LIVE, with a job that was handed on. */
static void make_busy(struct fixture *f)
{
    ask_job(f, 9);
    fixture_turn(f);
    fixture_start_process(f, WIRE_OK);
    fixture_expect(&f->box, WIRE_JOB, 1);
    assert_true(f->box.seen[0].fd >= 0);
}

static void test_a_job_keeps_its_process(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_idle idle = {.mailbox = f->mailbox};

    make_busy(f);
    fixture_send(&f->box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    reply_job(f, WIRE_OK, false);
    reply_job(f, WIRE_OK, false);
    fixture_turn(f);
    fixture_expect(&f->keeper, WIRE_JOB_REPLY, 2); /* how far it is */
    assert_int_equal(f->keeper.seen[1].tag, 9);
    assert_int_equal(f->box.seen_count, 1); /* no STOP */
    reply_job(f, WIRE_DAMAGED, true);
    reply_job(f, WIRE_OK, true); /* once is enough */
    fixture_turn(f);
    fixture_expect(&f->keeper, WIRE_JOB_REPLY, 3);
    assert_int_equal(f->keeper.seen[2].status, WIRE_DAMAGED);
    fixture_send(&f->box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_STOP, 2);
}

static void test_a_job_whose_process_dies(void **state)
{
    struct fixture *f = *state;

    make_busy(f);
    fixture_end_process(f);
    fixture_expect(&f->keeper, WIRE_JOB_REPLY, 1);
    assert_int_equal(f->keeper.seen[0].status, WIRE_UNAVAILABLE);
}

static void test_a_job_is_cancelled_while_it_waits(void **state)
{
    struct fixture *f = *state;

    ask_job(f, 9);
    fixture_turn(f);
    cancel_job(f);
    fixture_turn(f);
    fixture_start_process(f, WIRE_OK);
    assert_int_equal(f->box.seen_count, 0);
    fixture_expect(&f->keeper, WIRE_JOB_REPLY, 1);
    assert_int_equal(f->keeper.seen[0].status, WIRE_UNAVAILABLE);
}

static void test_a_job_is_cancelled_while_it_runs(void **state)
{
    struct fixture *f = *state;

    make_busy(f);
    cancel_job(f);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_JOB_CANCEL, 2);
    reply_job(f, WIRE_UNAVAILABLE, true);
    fixture_turn(f);
    assert_int_equal(f->keeper.seen_count, 1);
}

static void test_a_job_goes_with_the_keeper(void **state)
{
    struct fixture *f = *state;

    make_busy(f);
    store_set_peer(f->store, WIRE_ROLE_KEEPER, NULL);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_JOB_CANCEL, 2);
    reply_job(f, WIRE_UNAVAILABLE, true);
    fixture_turn(f);
    assert_int_equal(f->keeper.seen_count, 0);
}

static void test_only_who_asked_cancels_a_job(void **state)
{
    struct fixture *f = *state;
    struct wire_job_cancel body = {.session = id_random(), .mailbox = f->mailbox};

    make_busy(f);
    fixture_send(&f->keeper, WIRE_JOB_CANCEL, 0, &body, false);
    fixture_turn(f);
    assert_int_equal(f->box.seen_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_absent_owner_is_sealed),
        TEST(test_request_without_its_descriptor_is_answered),
        TEST(test_session_takes_the_drop_box_over_first),
        TEST(test_mailbox_that_does_not_open_loses_no_mail),
        TEST(test_death_of_the_process_is_answered),
        TEST(test_mail_between_stop_and_end_is_kept),
        TEST(test_session_that_comes_while_ending_starts_anew),
        TEST(test_new_mailbox_is_answered_when_it_is_open),
        TEST(test_removal_ends_process_sealer_and_files_in_order),
        TEST(test_sealer_that_dies_has_let_go),
        TEST(test_delivery_waits_for_a_sealer),
        TEST(test_queue_is_bounded),
        TEST(test_stop_waits_for_every_process),
        TEST(test_only_who_was_asked_can_answer),
        TEST(test_a_job_keeps_its_process),
        TEST(test_a_job_whose_process_dies),
        TEST(test_a_job_is_cancelled_while_it_waits),
        TEST(test_a_job_is_cancelled_while_it_runs),
        TEST(test_a_job_goes_with_the_keeper),
        TEST(test_only_who_asked_cancels_a_job),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
