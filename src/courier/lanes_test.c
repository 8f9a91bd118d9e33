/* Turns: fair among destinations, none for one that has all it may, and when the next is due. */
#include "courier/lanes.h"
#include "courier/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct lanes *lanes;

static int setup(void **state)
{
    (void)state;
    lanes = lanes_new(2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lanes_free(&lanes);
    return 0;
}

static void expect_turn(int64_t now_ms, const char *lane)
{
    struct str found;

    assert_true(lanes_next(lanes, now_ms, &found));
    assert_int_equal(found.len, strlen(lane));
    assert_memory_equal(found.ptr, lane, found.len);
}

static void the_longest_due_comes_first(void **state)
{
    struct str found;

    (void)state;
    assert_int_equal(lanes_first_due(lanes), INT64_MAX);
    lanes_wait(lanes, STR("late"), 30);
    lanes_wait(lanes, STR("early"), 10);
    lanes_wait(lanes, STR("middle"), 20);
    lanes_wait(lanes, STR("middle"), 25); /* no news */
    assert_int_equal(lanes_first_due(lanes), 10);
    assert_false(lanes_next(lanes, 9, &found));
    expect_turn(20, "early");
    lanes_set_due(lanes, STR("early"), INT64_MAX);
    expect_turn(20, "middle");
    lanes_set_due(lanes, STR("middle"), INT64_MAX);
    assert_false(lanes_next(lanes, 20, &found));
    assert_int_equal(lanes_count(lanes), 1);
}

/* One has a thousand waiting, the others one each: they alternate. */
static void a_long_lane_delays_nobody(void **state)
{
    (void)state;
    lanes_wait(lanes, STR("long"), 1);
    lanes_wait(lanes, STR("a"), 5);
    lanes_wait(lanes, STR("b"), 6);
    expect_turn(10, "long");
    expect_turn(10, "a");
    lanes_set_due(lanes, STR("a"), INT64_MAX);
    expect_turn(10, "b");
    lanes_set_due(lanes, STR("b"), INT64_MAX);
    expect_turn(10, "long");
}

static void a_full_lane_gets_no_turn(void **state)
{
    struct str found;

    (void)state;
    lanes_wait(lanes, STR("x"), 1);
    expect_turn(10, "x");
    lanes_begin(lanes, STR("x"));
    expect_turn(10, "x");
    lanes_begin(lanes, STR("x"));
    assert_false(lanes_next(lanes, 10, &found));
    assert_int_equal(lanes_first_due(lanes), INT64_MAX);
    lanes_end(lanes, STR("x"));
    expect_turn(10, "x");
    lanes_set_due(lanes, STR("x"), INT64_MAX);
    lanes_end(lanes, STR("x"));
    assert_int_equal(lanes_count(lanes), 0);
}

/* Against the obvious way, with many lanes: the order is by due time. */
static void many(void **state)
{
    enum { COUNT = 5000 };
    int64_t last = -1;
    struct str found;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        char name[16];

        snprintf(name, sizeof(name), "lane%d", i);
        lanes_wait(lanes, str_from_c(name), (i * 7919) % COUNT);
    }
    assert_int_equal(lanes_count(lanes), COUNT);
    for (int i = 0; i < COUNT; i++) {
        int64_t due = lanes_first_due(lanes);

        assert_true(due > last);
        last = due;
        assert_true(lanes_next(lanes, COUNT, &found));
        lanes_set_due(lanes, found, INT64_MAX);
    }
    assert_int_equal(lanes_count(lanes), 0);
}

static void waits_grow_up_to_a_bound(void **state)
{
    const struct schedule schedule = {.first_ms = 300000, .most_ms = 10800000};
    int64_t sum = 0;

    (void)state;
    assert_int_equal(schedule_wait_ms(&schedule, 1, 100), 300000);
    assert_int_equal(schedule_wait_ms(&schedule, 2, 100), 600000);
    assert_int_equal(schedule_wait_ms(&schedule, 6, 100), 9600000);
    assert_int_equal(schedule_wait_ms(&schedule, 7, 100), 10800000);
    assert_int_equal(schedule_wait_ms(&schedule, UINT64_MAX, 100), 10800000);
    assert_int_equal(schedule_wait_ms(&schedule, 1, 0), 270000);
    assert_int_equal(schedule_wait_ms(&schedule, 1, 200), 330000);
    for (uint32_t chance = 0; chance < 1000; chance++)
        sum += schedule_wait_ms(&schedule, 1, chance * 7);
    assert_in_range(sum / 1000, 295000, 305000);
    assert_int_equal(schedule_wait_ms(&(struct schedule){0}, 1, 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_longest_due_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_lane_delays_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_lane_gets_no_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(many, setup, teardown),
        cmocka_unit_test(waits_grow_up_to_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
