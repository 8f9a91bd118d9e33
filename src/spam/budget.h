/*
 * How much work one message may cost: bytes that are worked on are counted, and as a last resort
 * the processor time is looked at. What does not fit is left undone and the verdict says so.
 */
#ifndef SPAM_BUDGET_H
#define SPAM_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPAM_WORK_BYTES = 192 * 1024 * 1024, /* decoded, unpacked, read: all together */
    SPAM_WORK_US = 1200 * 1000,          /* of processor time; what is begun then is ended */
};

struct spam_budget {
    uint64_t bytes_left;
    uint64_t until_look; /* bytes, then the clock is looked at */
    int64_t end_us;      /* of clock_processor_us */
    bool is_spent;
};

void spam_budget_init(struct spam_budget *budget);
/* Before working on so many bytes. False: there is no more to spend; stays so. */
bool spam_budget_take(struct spam_budget *budget, size_t bytes);

#endif
