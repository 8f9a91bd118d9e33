#include "net/loop.h"

#include "base/clock.h"
#include "base/memory.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    SCRATCH_BYTES = 64 * 1024,
    HISTORY_BITS = 4,
    WAKING_US = 10,   /* a sleeper has what came so much later */
    CROWDED_US = 500, /* a processor that is given away and not back for so long is wanted */
    CROWDED_FOR_US = 1000000, /* by somebody who computes, and goes on for a while */
    TRUST_MAX = 3,
};

/* Whether the next wait will be short, told by what followed the same few waits before: a gate
 * waits for its client and for the mailbox in turns, and only the one or the other may be quick. */
struct forecast {
    unsigned history;                       /* the last waits; a bit that is set was a short one */
    unsigned char trust[1 << HISTORY_BITS]; /* 0 to TRUST_MAX; the upper half: it will be short */
};

struct net_loop {
    struct event_base *base; /* own */
    char *scratch;           /* own; made when first needed */
    bool is_stopped;
    bool may_linger;
    bool is_waiting;          /* nothing has come since waiting_us */
    bool is_lingering;        /* or was, and sleeps now after all */
    int64_t waiting_us;       /* monotonic */
    int64_t crowded_until_us; /* no lingering until then */
    struct forecast forecast;
};

struct net_timer {
    struct event event;
    struct net_loop *loop; /* borrowed */
    net_callback on_time;
    void *owner; /* borrowed */
};

/* Reading and writing are events of their own, so that one is changed without the other. */
struct net_watch {
    struct event reading;
    struct event writing;
    struct net_loop *loop; /* borrowed */
    net_callback on_readable;
    net_callback on_writable;
    void *owner; /* borrowed */
    bool is_reading;
    bool is_writing;
};

/* A signalfd, not libevent's signals: those are one set for the whole process, which a process that
 * was forked from another loop would share with it. */
struct net_signal {
    struct net_watch *watch; /* own */
    int fd;                  /* own */
    net_callback on_signal;
    void *owner; /* borrowed */
};

static void must(bool is_done)
{
    if (!is_done) {
        fputs("sealpost: the event loop failed\n", stderr);
        abort();
    }
}

struct net_loop *net_loop_new(void)
{
    struct net_loop *loop = NEW(struct net_loop);
    struct event_config *config = event_config_new();

    signal(SIGPIPE, SIG_IGN);
    must(config != NULL);
    /* One thread: no locks. Not more than 64 events before the timers get a look. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    event_config_set_max_dispatch_interval(config, NULL, 64, 0);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    must(loop->base != NULL);
    return loop;
}

void net_loop_free(struct net_loop **loop)
{
    if (*loop == NULL)
        return;
    event_base_free((*loop)->base);
    mem_free(&(*loop)->scratch);
    mem_free(loop);
}

char *net_loop_scratch(struct net_loop *loop, size_t *out_size)
{
    if (loop->scratch == NULL)
        loop->scratch = NEW_ARRAY(char, SCRATCH_BYTES);
    *out_size = SCRATCH_BYTES;
    return loop->scratch;
}

void net_loop_allow_linger(struct net_loop *loop)
{
    memset(loop->forecast.trust, TRUST_MAX / 2 + 1, sizeof(loop->forecast.trust));
    loop->may_linger = true;
}

static bool forecast_is_short(const struct forecast *forecast)
{
    return forecast->trust[forecast->history] > TRUST_MAX / 2;
}

static void forecast_learn(struct forecast *forecast, bool is_short)
{
    unsigned char *trust = &forecast->trust[forecast->history];

    if (is_short && *trust < TRUST_MAX)
        (*trust)++;
    else if (!is_short && *trust > 0)
        (*trust)--;
    forecast->history = (forecast->history << 1 | is_short) % (1 << HISTORY_BITS);
}

static void dispatch(struct net_loop *loop, int flags)
{
    must(event_base_loop(loop->base, flags | EVLOOP_NO_EXIT_ON_EMPTY) >= 0);
}

static int64_t waited_us(const struct net_loop *loop)
{
    return clock_monotonic_us() - loop->waiting_us;
}

/*
 * Whoever wants this processor has it; false: it took long to come back. Who computes keeps what is
 * given to him for milliseconds, where a sleeper that wakes would be preferred to him.
 */
static bool yield(struct net_loop *loop)
{
    int64_t before_us = clock_monotonic_us(), after_us;

    sched_yield();
    after_us = clock_monotonic_us();
    if (after_us - before_us < CROWDED_US)
        return true;
    loop->crowded_until_us = after_us + CROWDED_FOR_US;
    return false;
}

static void linger(struct net_loop *loop)
{
    do
        dispatch(loop, EVLOOP_NONBLOCK);
    while (loop->is_waiting && !loop->is_stopped && waited_us(loop) < NET_LOOP_LINGER_US &&
           yield(loop));
}

static void wait_once(struct net_loop *loop)
{
    loop->is_waiting = true;
    loop->waiting_us = clock_monotonic_us();
    loop->is_lingering =
        loop->waiting_us >= loop->crowded_until_us && forecast_is_short(&loop->forecast);
    if (loop->is_lingering)
        linger(loop);
    if (loop->is_waiting && !loop->is_stopped)
        dispatch(loop, EVLOOP_ONCE);
}

/* Something came. */
static void end_wait(struct net_loop *loop)
{
    if (!loop->is_waiting)
        return;
    loop->is_waiting = false;
    forecast_learn(&loop->forecast,
                   waited_us(loop) < NET_LOOP_LINGER_US + (loop->is_lingering ? 0 : WAKING_US));
}

void net_loop_run(struct net_loop *loop)
{
    if (!loop->may_linger) {
        dispatch(loop, 0);
        return;
    }
    loop->is_stopped = false;
    while (!loop->is_stopped)
        wait_once(loop);
}

void net_loop_stop(struct net_loop *loop)
{
    loop->is_stopped = true;
    must(event_base_loopbreak(loop->base) == 0);
}

static void timer_fired(evutil_socket_t fd, short what, void *data)
{
    struct net_timer *timer = data;

    (void)fd;
    (void)what;
    end_wait(timer->loop);
    timer->on_time(timer->owner);
}

struct net_timer *net_timer_new(struct net_loop *loop, net_callback on_time, void *owner)
{
    struct net_timer *timer = NEW(struct net_timer);

    timer->loop = loop;
    timer->on_time = on_time;
    timer->owner = owner;
    must(event_assign(&timer->event, loop->base, -1, 0, timer_fired, timer) == 0);
    return timer;
}

void net_timer_free(struct net_timer **timer)
{
    if (*timer == NULL)
        return;
    event_del(&(*timer)->event);
    mem_free(timer);
}

void net_timer_start(struct net_timer *timer, int64_t delay_ms)
{
    struct timeval delay = {0};

    if (delay_ms > 0) {
        delay.tv_sec = delay_ms / 1000;
        delay.tv_usec = delay_ms % 1000 * 1000;
    }
    /* Also for no delay: a timer comes after the readiness found in the same turn, an activated
     * event would go before it and could starve it. */
    must(event_add(&timer->event, &delay) == 0);
}

void net_timer_stop(struct net_timer *timer)
{
    event_del(&timer->event);
}

static void watch_readable(evutil_socket_t fd, short what, void *data)
{
    struct net_watch *watch = data;

    (void)fd;
    (void)what;
    end_wait(watch->loop);
    watch->on_readable(watch->owner);
}

static void watch_writable(evutil_socket_t fd, short what, void *data)
{
    struct net_watch *watch = data;

    (void)fd;
    (void)what;
    end_wait(watch->loop);
    watch->on_writable(watch->owner);
}

struct net_watch *net_watch_new(struct net_loop *loop, int fd, net_callback on_readable,
                                net_callback on_writable, void *owner)
{
    struct net_watch *watch = NEW(struct net_watch);

    watch->loop = loop;
    watch->on_readable = on_readable;
    watch->on_writable = on_writable;
    watch->owner = owner;
    must(event_assign(&watch->reading, loop->base, fd, EV_READ | EV_PERSIST, watch_readable,
                      watch) == 0);
    must(event_assign(&watch->writing, loop->base, fd, EV_WRITE | EV_PERSIST, watch_writable,
                      watch) == 0);
    return watch;
}

void net_watch_free(struct net_watch **watch)
{
    if (*watch == NULL)
        return;
    event_del(&(*watch)->reading);
    event_del(&(*watch)->writing);
    mem_free(watch);
}

void net_watch_want(struct net_watch *watch, bool is_reading, bool is_writing)
{
    if (is_reading != watch->is_reading)
        must((is_reading ? event_add(&watch->reading, NULL) : event_del(&watch->reading)) == 0);
    if (is_writing != watch->is_writing)
        must((is_writing ? event_add(&watch->writing, NULL) : event_del(&watch->writing)) == 0);
    watch->is_reading = is_reading;
    watch->is_writing = is_writing;
}

static void signal_came(void *owner)
{
    struct net_signal *signal_event = owner;
    struct signalfd_siginfo info;

    if (read(signal_event->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        signal_event->on_signal(signal_event->owner);
}

struct net_signal *net_signal_new(struct net_loop *loop, int signal_number, net_callback on_signal,
                                  void *owner)
{
    struct net_signal *signal_event = NEW(struct net_signal);
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signal_number);
    must(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    signal_event->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    must(signal_event->fd >= 0);
    signal_event->on_signal = on_signal;
    signal_event->owner = owner;
    signal_event->watch = net_watch_new(loop, signal_event->fd, signal_came, NULL, signal_event);
    net_watch_want(signal_event->watch, true, false);
    return signal_event;
}

void net_signal_free(struct net_signal **signal_event)
{
    if (*signal_event == NULL)
        return;
    net_watch_free(&(*signal_event)->watch);
    close((*signal_event)->fd);
    mem_free(signal_event);
}
