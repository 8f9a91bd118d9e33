/* For tests: a loop that runs for a while, whatever comes. */
#ifndef NET_RUN_FOR_H
#define NET_RUN_FOR_H

#include "net/loop.h"

static inline void net_stop_loop(void *owner)
{
    net_loop_stop(owner);
}

/* Runs it until `ms` are over, or somebody stops it; 0: what is due now. */
static inline void net_run_for(struct net_loop *loop, int64_t ms)
{
    struct net_timer *timer = net_timer_new(loop, net_stop_loop, loop);

    net_timer_start(timer, ms);
    net_loop_run(loop);
    net_timer_free(&timer);
}

#endif
