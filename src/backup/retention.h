/* Which of a series of backups are kept (docs/backups.md). */
#ifndef BACKUP_RETENTION_H
#define BACKUP_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backup_policy {
    uint64_t daily;  /* of so many days that have any, the newest of each */
    uint64_t hourly; /* and of so many hours */
};

/*
 * `times` ascend (Unix milliseconds). The newest is always kept. Days and hours are those of UTC, and
 * only those with a backup count: a mailbox that changes once a month keeps seven months.
 */
void backup_retain(const struct backup_policy *policy, const int64_t *times, size_t count,
                   bool *out_is_kept);

#endif
