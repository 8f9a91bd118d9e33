#include "backup/retention.h"

enum { HOUR_MS = 60 * 60 * 1000, DAY_MS = 24 * HOUR_MS };

/* The newest of each of the last `most` periods. */
static void keep(int64_t period_ms, uint64_t most, const int64_t *times, size_t count,
                 bool *out_is_kept)
{
    int64_t last = INT64_MIN;

    for (size_t i = count; i > 0 && most > 0; i--) {
        int64_t period = times[i - 1] / period_ms;

        if (period == last)
            continue;
        last = period;
        out_is_kept[i - 1] = true;
        most--;
    }
}

void backup_retain(const struct backup_policy *policy, const int64_t *times, size_t count,
                   bool *out_is_kept)
{
    for (size_t i = 0; i < count; i++)
        out_is_kept[i] = i + 1 == count;
    keep(DAY_MS, policy->daily, times, count, out_is_kept);
    keep(HOUR_MS, policy->hourly, times, count, out_is_kept);
}
