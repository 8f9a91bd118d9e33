#include "net/loop.h"

#include "base/clock.h"
#include "base/macros.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct turn {
    struct net_loop *loop;
    struct net_timer *timer;
    struct net_watch *watch;
    int fd;
    int timer_count, read_count, write_count, signal_count, accept_count;
};

static void on_time(void *owner)
{
    struct turn *turn = owner;

    if (++turn->timer_count == 3)
        net_loop_stop(turn->loop);
    else
        net_timer_start(turn->timer, 5);
}

static void timers_fire_once_each_start(void **state)
{
    struct turn turn = {.loop = net_loop_new()};
    int64_t before_ms = clock_monotonic_ms();

    (void)state;
    turn.timer = net_timer_new(turn.loop, on_time, &turn);
    net_timer_start(turn.timer, 1000);
    net_timer_start(turn.timer, 5); /* the later start counts */
    net_loop_run(turn.loop);
    assert_int_equal(turn.timer_count, 3);
    assert_in_range(clock_monotonic_ms() - before_ms, 14, 900);
    net_timer_free(&turn.timer);
    net_loop_free(&turn.loop);
}

/*
 * A loop that waits for something that comes soon, and only to one that lingers: a look later. What
 * stands for others here is the C library's sched_yield, which the loop calls before it looks
 * again.
 */
enum { ROUND_MS = 2, SLEEPER_HAS_IT_MS = 10, CROWD_US = 1000 };

struct rounds {
    struct turn turn;
    struct net_timer *late;
    int writing_fd, left;
    bool is_due, is_crowded;
    int looks, soon;
};

static struct rounds *rounds;

static void write_byte(void *owner)
{
    struct rounds *r = owner;

    if (r->is_due)
        assert_int_equal(write(r->writing_fd, "x", 1), 1);
    r->is_due = false;
}

int sched_yield(void)
{
    rounds->looks++;
    rounds->soon += rounds->is_due;
    write_byte(rounds);
    return rounds->is_crowded ? usleep(CROWD_US) : 0;
}

static void on_byte(void *owner)
{
    struct rounds *r = owner;
    char byte;

    assert_int_equal(read(r->turn.fd, &byte, 1), 1);
    net_timer_stop(r->late);
    net_timer_start(r->turn.timer, ROUND_MS);
    if (--r->left == 0)
        net_loop_stop(r->turn.loop);
}

static void on_round(void *owner)
{
    struct rounds *r = owner;

    r->is_due = true;
    net_timer_start(r->late, SLEEPER_HAS_IT_MS);
}

static void run_rounds(struct rounds *r, bool may_linger, int count)
{
    int fds[2];

    rounds = r;
    r->left = count;
    r->turn.loop = net_loop_new();
    if (may_linger)
        net_loop_allow_linger(r->turn.loop);
    assert_int_equal(pipe(fds), 0);
    r->turn.fd = fds[0];
    r->writing_fd = fds[1];
    r->turn.watch = net_watch_new(r->turn.loop, fds[0], on_byte, NULL, r);
    net_watch_want(r->turn.watch, true, false);
    r->turn.timer = net_timer_new(r->turn.loop, on_round, r);
    r->late = net_timer_new(r->turn.loop, write_byte, r);
    net_timer_start(r->turn.timer, ROUND_MS);
    net_loop_run(r->turn.loop);
    net_watch_free(&r->turn.watch);
    net_timer_free(&r->turn.timer);
    net_timer_free(&r->late);
    net_loop_free(&r->turn.loop);
    close(fds[0]);
    close(fds[1]);
}

/* For the byte, and once it has learned not for the next round, where it would look a hundred
 * times. */
static void a_loop_lingers_where_something_may_come(void **state)
{
    struct rounds plain = {0}, lingering = {0};

    (void)state;
    run_rounds(&plain, false, 5);
    assert_int_equal(plain.looks, 0);
    run_rounds(&lingering, true, 200);
    assert_true(lingering.soon >= 100);
    assert_true(lingering.looks < 25 * 200);
}

/* Where others keep the processor that it gives away, it sleeps. */
static void a_loop_does_not_linger_in_a_crowd(void **state)
{
    struct rounds crowded = {.is_crowded = true};

    (void)state;
    run_rounds(&crowded, true, 30);
    assert_in_range(crowded.looks, 1, 3);
}

/* Whoever waited for long waits for long again. */
static void a_loop_sleeps_where_little_happens(void **state)
{
    struct turn turn = {.loop = net_loop_new()};
    struct rounds none = {0};

    (void)state;
    net_loop_allow_linger(turn.loop);
    turn.timer = net_timer_new(turn.loop, on_time, &turn);
    rounds = &none;
    for (int i = 0; i < 2; i++) {
        none.looks = turn.timer_count = 0;
        net_timer_start(turn.timer, 50);
        net_loop_run(turn.loop);
        assert_int_equal(turn.timer_count, 3);
    }
    assert_int_equal(none.looks, 0);
    net_timer_free(&turn.timer);
    net_loop_free(&turn.loop);
}

static void on_readable(void *owner)
{
    struct turn *turn = owner;

    turn->read_count++;
}

static void on_zero_time(void *owner)
{
    struct turn *turn = owner;

    if (++turn->timer_count == 100)
        net_loop_stop(turn->loop);
    else
        net_timer_start(turn->timer, 0);
}

static void starve_nobody(bool may_linger)
{
    struct turn turn = {.loop = net_loop_new()};
    struct rounds none = {0};
    int fds[2];

    rounds = &none;
    if (may_linger)
        net_loop_allow_linger(turn.loop);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    turn.watch = net_watch_new(turn.loop, fds[0], on_readable, NULL, &turn);
    net_watch_want(turn.watch, true, false);
    turn.timer = net_timer_new(turn.loop, on_zero_time, &turn);
    net_timer_start(turn.timer, 0);
    net_loop_run(turn.loop);
    assert_true(turn.read_count > 50); /* level-triggered, and each turn */
    net_watch_free(&turn.watch);
    net_timer_free(&turn.timer);
    net_loop_free(&turn.loop);
    close(fds[0]);
    close(fds[1]);
}

static void a_timer_of_no_delay_starves_nobody(void **state)
{
    (void)state;
    starve_nobody(false);
    starve_nobody(true);
}

static void on_signal(void *owner)
{
    struct turn *turn = owner;

    turn->signal_count++;
    net_loop_stop(turn->loop);
}

static void signals_come_through_the_loop(void **state)
{
    struct turn turn = {.loop = net_loop_new()};
    struct net_signal *hup = net_signal_new(turn.loop, SIGHUP, on_signal, &turn);

    (void)state;
    raise(SIGHUP);
    net_loop_run(turn.loop);
    assert_int_equal(turn.signal_count, 1);
    net_signal_free(&hup);
    net_loop_free(&turn.loop);
}

static void on_accept(void *owner, int fd)
{
    struct turn *turn = owner;

    turn->accept_count++;
    close(fd);
    net_loop_stop(turn->loop);
}

/* An accept that fails for want of descriptors is tried again, and not in a busy loop. */
static void a_listener_survives_the_descriptor_limit(void **state)
{
    struct turn turn = {.loop = net_loop_new()};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0), spare;
    struct net_listener *listener;
    struct rlimit before, now;
    int64_t start_ms, start_us;

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    listener = net_listener_new(turn.loop, fd, on_accept, &turn);
    assert_int_equal(connect(client, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    spare = dup(0);
    now = before;
    now.rlim_cur = (rlim_t)spare; /* the next descriptor is one too many */
    close(spare);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    turn.timer_count = 2;
    turn.timer = net_timer_new(turn.loop, on_time, &turn);
    net_timer_start(turn.timer, 30);
    start_ms = clock_monotonic_ms();
    start_us = clock_processor_us();
    net_loop_run(turn.loop);
    assert_true(clock_processor_us() - start_us < (clock_monotonic_ms() - start_ms) * 100);
    assert_int_equal(turn.accept_count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    net_loop_run(turn.loop);
    assert_int_equal(turn.accept_count, 1);
    close(client);
    net_listener_free(&listener);
    net_timer_free(&turn.timer);
    net_loop_free(&turn.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_once_each_start),
        cmocka_unit_test(a_loop_lingers_where_something_may_come),
        cmocka_unit_test(a_loop_does_not_linger_in_a_crowd),
        cmocka_unit_test(a_loop_sleeps_where_little_happens),
        cmocka_unit_test(a_timer_of_no_delay_starves_nobody),
        cmocka_unit_test(signals_come_through_the_loop),
        cmocka_unit_test(a_listener_survives_the_descriptor_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
