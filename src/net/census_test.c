#include "net/census.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "secret/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ADDRESSES = 500, PROCESSES = 3 };

static struct str address(size_t i, char room[static 32])
{
    return str_make(room, (size_t)snprintf(room, 32, "192.0.%zu.%zu", i / 250, i % 250));
}

struct fixture {
    struct task task;
    int fd;
    struct net_census *processes[PROCESSES];
};

static void set_up(struct fixture *f)
{
    task_init(&f->task, clock_now_ms());
    assert_int_equal(net_census_make(&f->task, &f->fd), ERR_OK);
    for (unsigned i = 0; i < PROCESSES; i++)
        assert_int_equal(net_census_open(&f->task, f->fd, i, &f->processes[i]), ERR_OK);
}

static void tear_down(struct fixture *f)
{
    for (size_t i = 0; i < PROCESSES; i++)
        net_census_close(&f->processes[i]);
    fd_close(&f->fd);
    task_done(&f->task);
}

/* Against plain counters, with many comings and goings in several processes. With so few clients no
 * two of them share both of their places (the key is a random one, and then it is one in 500,000). */
static void it_counts_for_all_processes(void **state)
{
    size_t counts[PROCESSES][ADDRESSES] = {{0}}, totals[ADDRESSES] = {0};
    char room[32];
    struct fixture f;

    (void)state;
    set_up(&f);
    srand(1);
    for (int step = 0; step < 100000; step++) {
        size_t i = (size_t)rand() % ADDRESSES, process = (size_t)rand() % PROCESSES;

        if (counts[process][i] > 0 && rand() % 2 == 0) {
            net_census_remove(f.processes[process], address(i, room));
            counts[process][i]--;
            totals[i]--;
        } else {
            counts[process][i]++;
            totals[i]++;
            assert_true(net_census_add(f.processes[process], address(i, room)) >= totals[i]);
        }
    }
    for (size_t i = 0; i < ADDRESSES; i++) {
        for (size_t process = 0; process < PROCESSES; process++)
            assert_true(net_census_count(f.processes[process], address(i, room)) >= totals[i]);
    }
    for (size_t i = 0; i < ADDRESSES; i++) {
        for (size_t process = 0; process < PROCESSES; process++) {
            for (; counts[process][i] > 0; counts[process][i]--)
                net_census_remove(f.processes[process], address(i, room));
        }
    }
    for (size_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(net_census_count(f.processes[0], address(i, room)), 0);
    tear_down(&f);
}

static void who_counts_as_one(void **state)
{
    static const struct {
        const char *rule, *first, *second;
        size_t count; /* of the second's client when both are there */
    } rows[] = {
        {"the same address", "192.0.2.1", "192.0.2.1", 2},
        {"its neighbour is another", "192.0.2.1", "192.0.2.2", 1},
        {"a /64 is one subscriber's", "2001:db8::1", "2001:db8::ffff:1", 2},
        {"the next /64 is another's", "2001:db8::1", "2001:db8:0:1::1", 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        size_t count;

        set_up(&f);
        assert_int_equal(net_census_add(f.processes[0], str_from_c(rows[i].first)), 1);
        count = net_census_add(f.processes[1], str_from_c(rows[i].second));
        if (count != rows[i].count)
            fail_msg("%s: %zu", rows[i].rule, count);
        tear_down(&f);
    }
}

static void a_dead_process_has_no_connections(void **state)
{
    struct str one = STR("192.0.2.1");
    struct fixture f;

    (void)state;
    set_up(&f);
    (void)net_census_add(f.processes[0], one);
    (void)net_census_add(f.processes[1], one);
    (void)net_census_add(f.processes[1], one);
    assert_int_equal(net_census_forget(&f.task, f.fd, 1), ERR_OK);
    assert_int_equal(net_census_count(f.processes[0], one), 1);
    tear_down(&f);
}

/* Without shared memory, and beyond the last row. */
static void it_counts_by_itself(void **state)
{
    struct net_census *census = NULL;
    struct task task;

    (void)state;
    task_init(&task, clock_now_ms());
    assert_int_equal(net_census_open(&task, -1, 0, &census), ERR_OK);
    assert_int_equal(net_census_add(census, STR("192.0.2.1")), 1);
    net_census_close(&census);
    assert_int_equal(net_census_open(&task, -1, NET_CENSUS_PROCESSES_MAX, &census), ERR_LIMIT);
    task_done(&task);
}

static int set_up_library(void **state)
{
    (void)state;
    secret_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_counts_for_all_processes),
        cmocka_unit_test(who_counts_as_one),
        cmocka_unit_test(a_dead_process_has_no_connections),
        cmocka_unit_test(it_counts_by_itself),
    };

    return cmocka_run_group_tests(tests, set_up_library, NULL);
}
