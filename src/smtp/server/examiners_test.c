/* Turns with the examiners; what they are shown is not looked at here. */
#include "smtp/server/examiners.h"

#include "base/macros.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

enum { TURNS = 64 };

/* A channel is only told from another one: its address will do. */
static char channels[SMTP_EXAMINERS_MAX];

static struct wire_channel *channel(size_t index)
{
    return (struct wire_channel *)(void *)&channels[index];
}

struct message {
    struct smtp_turn turn;
    struct wire_channel *seen_by; /* NULL: nobody yet */
    unsigned order;               /* in which they were sent, from 1 */
    bool is_failed;
    bool cannot_be_sent;
};

static struct message messages[TURNS];
static unsigned sent_count;

static bool on_turn(struct smtp_turn *turn, struct wire_channel *to)
{
    struct message *message = CONTAINER_OF(turn, struct message, turn);

    if (message->cannot_be_sent)
        return false;
    message->seen_by = to;
    message->order = ++sent_count;
    return true;
}

static void on_failure(struct smtp_turn *turn)
{
    CONTAINER_OF(turn, struct message, turn)->is_failed = true;
}

static const struct smtp_examiners_events events = {.on_turn = on_turn, .on_failure = on_failure};

static struct smtp_examiners *begin(size_t examiner_count)
{
    struct smtp_examiners *examiners = smtp_examiners_new(&events);

    for (size_t i = 0; i < TURNS; i++)
        messages[i] = (struct message){.is_failed = false};
    sent_count = 0;
    for (size_t i = 0; i < examiner_count; i++)
        smtp_examiners_add(examiners, channel(i));
    return examiners;
}

static void answer(struct smtp_examiners *examiners, size_t index)
{
    (void)smtp_examiners_answered(examiners, channel(index));
    smtp_examiners_run(examiners, 0);
}

static void test_one_at_a_time(void **state)
{
    struct smtp_examiners *examiners = begin(2);

    (void)state;
    for (size_t i = 0; i < 3; i++)
        smtp_examiners_enter(examiners, &messages[i].turn, STR("a"), 0);
    assert_ptr_equal(messages[0].seen_by, channel(0));
    assert_ptr_equal(messages[1].seen_by, channel(1));
    assert_null(messages[2].seen_by);
    assert_ptr_equal(smtp_examiners_answered(examiners, channel(1)), &messages[1].turn);
    smtp_examiners_run(examiners, 0);
    assert_ptr_equal(messages[2].seen_by, channel(1));
    assert_null(smtp_examiners_answered(examiners, channel(5)));
    smtp_examiners_free(&examiners);
}

/* One with a single message is not behind all those of one with many. */
static void test_fairness(void **state)
{
    struct smtp_examiners *examiners = begin(1);

    (void)state;
    for (size_t i = 0; i < 10; i++)
        smtp_examiners_enter(examiners, &messages[i].turn, STR("many"), 0);
    smtp_examiners_enter(examiners, &messages[10].turn, STR("one"), 0);
    smtp_examiners_enter(examiners, &messages[11].turn, STR("other"), 0);
    for (size_t i = 0; i < 11; i++)
        answer(examiners, 0);
    assert_int_equal(messages[0].order, 1); /* nobody else was there */
    assert_int_equal(messages[1].order, 2);
    assert_int_equal(messages[10].order, 3);
    assert_int_equal(messages[11].order, 4);
    assert_int_equal(messages[9].order, 12);
    smtp_examiners_free(&examiners);
}

static void test_time(void **state)
{
    struct smtp_examiners *examiners = begin(1);

    (void)state;
    smtp_examiners_enter(examiners, &messages[0].turn, STR("a"), 0);
    smtp_examiners_enter(examiners, &messages[1].turn, STR("a"), 0);
    smtp_examiners_run(examiners, SMTP_EXAMINATION_MS - 1);
    assert_false(messages[0].is_failed);
    smtp_examiners_run(examiners, SMTP_EXAMINATION_MS);
    assert_true(messages[0].is_failed);
    /* It is at work still, whatever became of the message. */
    assert_null(messages[1].seen_by);
    assert_null(smtp_examiners_answered(examiners, channel(0)));
    smtp_examiners_run(examiners, SMTP_EXAMINATION_MS);
    assert_non_null(messages[1].seen_by);
    smtp_examiners_enter(examiners, &messages[2].turn, STR("a"), SMTP_EXAMINATION_MS);
    smtp_examiners_run(examiners, SMTP_EXAMINATION_MS + SMTP_EXAMINATION_WAIT_MS);
    assert_true(messages[1].is_failed && messages[2].is_failed);
    smtp_examiners_free(&examiners);
}

static void test_loss(void **state)
{
    struct smtp_examiners *examiners = begin(2);

    (void)state;
    for (size_t i = 0; i < 4; i++)
        smtp_examiners_enter(examiners, &messages[i].turn, STR("a"), 0);
    smtp_examiners_remove(examiners, channel(0), 1000);
    assert_true(messages[0].is_failed && !messages[1].is_failed && !messages[2].is_failed);
    answer(examiners, 1);
    assert_ptr_equal(messages[2].seen_by, channel(1));
    /* The last one: what waits, waits a moment for another. */
    smtp_examiners_remove(examiners, channel(1), 1000);
    assert_true(messages[2].is_failed);
    smtp_examiners_run(examiners, 1000 + SMTP_EXAMINER_ABSENCE_MS - 1);
    assert_false(messages[3].is_failed);
    smtp_examiners_add(examiners, channel(2));
    smtp_examiners_run(examiners, 2000);
    assert_ptr_equal(messages[3].seen_by, channel(2));
    smtp_examiners_enter(examiners, &messages[4].turn, STR("a"), 2000);
    smtp_examiners_remove(examiners, channel(2), 2000);
    smtp_examiners_run(examiners, 2000 + SMTP_EXAMINER_ABSENCE_MS);
    assert_true(messages[4].is_failed);
    smtp_examiners_free(&examiners);
}

static void test_leaving(void **state)
{
    struct smtp_examiners *examiners = begin(1);

    (void)state;
    for (size_t i = 0; i < 4; i++)
        smtp_examiners_enter(examiners, &messages[i].turn, STR("a"), 0);
    smtp_examiners_leave(&messages[2].turn); /* from the middle of the queue */
    smtp_examiners_leave(&messages[2].turn);
    smtp_examiners_leave(&messages[0].turn); /* in examination */
    assert_null(messages[1].seen_by);
    answer(examiners, 0);
    assert_non_null(messages[1].seen_by);
    smtp_examiners_leave(&messages[3].turn); /* the last */
    answer(examiners, 0);
    assert_null(messages[2].seen_by);
    assert_null(messages[3].seen_by);
    smtp_examiners_enter(examiners, &messages[5].turn, STR("a"), 0);
    assert_non_null(messages[5].seen_by);
    assert_false(messages[0].is_failed || messages[2].is_failed || messages[3].is_failed);
    smtp_examiners_free(&examiners);
}

static void test_not_sent(void **state)
{
    struct smtp_examiners *examiners = begin(1);

    (void)state;
    messages[0].cannot_be_sent = true;
    smtp_examiners_enter(examiners, &messages[0].turn, STR("a"), 0);
    smtp_examiners_enter(examiners, &messages[1].turn, STR("a"), 0);
    assert_false(messages[0].is_failed); /* never from within */
    assert_ptr_equal(messages[1].seen_by, channel(0));
    smtp_examiners_run(examiners, 0);
    assert_true(messages[0].is_failed);
    smtp_examiners_free(&examiners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time), cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_time),          cmocka_unit_test(test_loss),
        cmocka_unit_test(test_leaving),       cmocka_unit_test(test_not_sent),
    };

    return cmocka_run_group_tests_name("smtp/examiners", tests, NULL, NULL);
}
