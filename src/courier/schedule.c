#include "courier/schedule.h"

int64_t schedule_wait_ms(const struct schedule *schedule, uint64_t attempts, uint32_t chance)
{
    int64_t wait_ms = schedule->first_ms < 1 ? 1 : schedule->first_ms;

    for (uint64_t i = 1; i < attempts && wait_ms < schedule->most_ms; i++)
        wait_ms *= 2;
    if (wait_ms > schedule->most_ms)
        wait_ms = schedule->most_ms;
    /* 90 … 110 %, in thousandths */
    return wait_ms / 1000 * (900 + chance % 201) + wait_ms % 1000 * (900 + chance % 201) / 1000;
}
