/*
 * Inside the vault only: rows that are about to be read are asked for, all at once, where the
 * kernel has their pages not in memory. SQLite reads one page after the other, and of a file that
 * was not used for long it would wait for the disk each time.
 */
#ifndef VAULT_AHEAD_H
#define VAULT_AHEAD_H

#include "sqlite/leaves.h"
#include "vault/state.h"

/* How much of the file is asked for with a row. */
enum ahead_extent {
    AHEAD_PAGE,   /* its page */
    AHEAD_AROUND, /* what stands behind its beginning, too */
};

/*
 * Ascending ranges of keys, none over another. *out_is_cold: something was not in memory; else this
 * cost next to nothing. Within a reading, or between two. Nothing but time depends on it: whatever is
 * wrong, a damaged page too, is for the reading itself to find, if it comes there at all.
 */
void ahead_of_rows(struct vault *vault, struct task *task, const char *table,
                   const struct db_keys *ranges, size_t range_count, enum ahead_extent extent,
                   bool *out_is_cold);
/* Ascending, as that wants them. */
void ahead_sort(struct db_keys *ranges, size_t range_count);

#endif
