/* How long to wait before a process that ended is started again. */
#ifndef ROLE_BACKOFF_H
#define ROLE_BACKOFF_H

#include <stdint.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_LARGEST_MS = 10 * 1000,
    BACKOFF_STABLE_MS = 10 * 1000, /* who ran this long has recovered */
};

struct backoff {
    unsigned failures; /* in a row */
};

/* It ended after `ran_ms`: the first time at once, then 100 ms, 200 ms … 10 s. */
int64_t backoff_next_ms(struct backoff *backoff, int64_t ran_ms);

#endif
