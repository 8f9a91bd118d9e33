/*
 * When to try again (RFC 5321 §4.5.4.1): soon at first, then ever more seldom, never all at once.
 * Pure arithmetic; clock and chance are the caller's.
 */
#ifndef COURIER_SCHEDULE_H
#define COURIER_SCHEDULE_H

#include <stdint.h>

struct schedule {
    int64_t first_ms;        /* behind the first attempt; doubles with each further one */
    int64_t most_ms;         /* up to this */
    int64_t lifetime_ms;     /* then the sender is told that it failed */
    int64_t delay_notice_ms; /* and before, once, that it takes longer; 0: never */
};

/* How long to wait behind the attempt of this number (from 1). `chance` is any random number: the
 * wait varies by a tenth either way, so that what failed together is not tried together. */
int64_t schedule_wait_ms(const struct schedule *schedule, uint64_t attempts, uint32_t chance);

#endif
