#include "role/backoff.h"

int64_t backoff_next_ms(struct backoff *backoff, int64_t ran_ms)
{
    int64_t delay_ms = BACKOFF_FIRST_MS;

    if (ran_ms >= BACKOFF_STABLE_MS)
        backoff->failures = 0;
    backoff->failures++;
    if (backoff->failures == 1)
        return 0;
    for (unsigned i = 2; i < backoff->failures && delay_ms < BACKOFF_LARGEST_MS; i++)
        delay_ms *= 2;
    return delay_ms < BACKOFF_LARGEST_MS ? delay_ms : BACKOFF_LARGEST_MS;
}
