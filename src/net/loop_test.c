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
    int fd, other_fd;
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

enum { BYTES = 200 };

static void on_byte(void *owner)
{
    struct turn *turn = owner;
    char byte;

    assert_int_equal(read(turn->fd, &byte, 1), 1);
    if (++turn->read_count == BYTES)
        net_loop_stop(turn->loop);
    net_timer_start(turn->timer, 2);
}

static void on_time_for_a_byte(void *owner)
{
    struct turn *turn = owner;

    assert_int_equal(write(turn->other_fd, "x", 1), 1);
}

/* In the place of the C library's: the loop calls it before it looks again instead of sleeping. */
static int looks;

int sched_yield(void)
{
    looks++;
    return 0;
}

/* The looks of a loop to which things come by twos: a timer, and at once a byte. */
static int looks_of_loop(bool may_linger)
{
    struct turn turn = {.loop = net_loop_new()};
    int fds[2];

    if (may_linger)
        net_loop_allow_linger(turn.loop);
    assert_int_equal(pipe(fds), 0);
    turn.fd = fds[0];
    turn.other_fd = fds[1];
    turn.watch = net_watch_new(turn.loop, fds[0], on_byte, NULL, &turn);
    net_watch_want(turn.watch, true, false);
    turn.timer = net_timer_new(turn.loop, on_time_for_a_byte, &turn);
    net_timer_start(turn.timer, 0);
    looks = 0;
    net_loop_run(turn.loop);
    net_watch_free(&turn.watch);
    net_timer_free(&turn.timer);
    net_loop_free(&turn.loop);
    close(fds[0]);
    close(fds[1]);
    return looks;
}

/* For the byte, and once it has learned not for the timer, where it would look a hundred times. */
static void a_loop_lingers_where_something_may_come(void **state)
{
    (void)state;
    assert_int_equal(looks_of_loop(false), 0);
    assert_in_range(looks_of_loop(true), BYTES / 2, BYTES * 25);
}

/* Whoever waited for long waits for long again. */
static void a_loop_sleeps_where_little_happens(void **state)
{
    struct turn turn = {.loop = net_loop_new()};

    (void)state;
    net_loop_allow_linger(turn.loop);
    turn.timer = net_timer_new(turn.loop, on_time, &turn);
    for (int i = 0; i < 2; i++) {
        looks = turn.timer_count = 0;
        net_timer_start(turn.timer, 5);
        net_loop_run(turn.loop);
        assert_int_equal(turn.timer_count, 3);
    }
    assert_int_equal(looks, 0);
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
    int fds[2];

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
        cmocka_unit_test(a_loop_sleeps_where_little_happens),
        cmocka_unit_test(a_timer_of_no_delay_starves_nobody),
        cmocka_unit_test(signals_come_through_the_loop),
        cmocka_unit_test(a_listener_survives_the_descriptor_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
