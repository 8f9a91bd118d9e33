#include "spam/budget.h"

#include "base/clock.h"

enum { LOOK_EVERY = 256 * 1024 };

void spam_budget_init(struct spam_budget *budget)
{
    *budget = (struct spam_budget){
        .bytes_left = SPAM_WORK_BYTES,
        .until_look = LOOK_EVERY,
        .end_us = clock_processor_us() + SPAM_WORK_US,
    };
}

bool spam_budget_take(struct spam_budget *budget, size_t bytes)
{
    /* Small pieces have their price too. */
    uint64_t cost = (uint64_t)bytes + 64;

    if (budget->is_spent || bytes > budget->bytes_left || cost > budget->bytes_left) {
        budget->is_spent = true;
        return false;
    }
    budget->bytes_left -= cost;
    if (cost < budget->until_look) {
        budget->until_look -= cost;
        return true;
    }
    budget->until_look = LOOK_EVERY;
    budget->is_spent = clock_processor_us() >= budget->end_us;
    return !budget->is_spent;
}
