/* Inside the vault only: the rows of table message, in bulk. What writes, within a change
 * (state.h). */
#ifndef VAULT_ROWS_H
#define VAULT_ROWS_H

#include "vault/state.h"

/* Sorted copies of `uids` without repetitions, in the task's arena. */
void rows_sort(struct task *task, const uint32_t *uids, size_t uid_count, uint32_t **out_uids,
               size_t *out_count);
/* The next range of UIDs that are next to each other in ascending `uids` from *position on; false
 * at the end. */
bool rows_next_range(const uint32_t *uids, size_t uid_count, size_t *position,
                     struct vault_uid_range *out);
/* Ascending, in place, those that overlap or are next to each other made one. */
void rows_join(struct vault_uid_range *ranges, size_t *count);

/*
 * The rows of a range of UIDs, ascending, ready to be stepped through: the first column is the key.
 * A row of ROWS_ALL may be expunged, and not purged yet.
 */
#define ALL_UIDS ((struct vault_uid_range){1, UINT32_MAX})
#define ROWS_ALL(columns) "SELECT key" columns " FROM message WHERE key BETWEEN ?1 AND ?2"
#define ROWS_LIVE(columns) ROWS_ALL(columns) " AND is_expunged = 0"
MUST_CHECK enum err rows_read(struct vault *vault, struct task *task, const char *sql,
                              int64_t folder_id, struct vault_uid_range range,
                              sqlite3_stmt **out_statement);

/* The UIDs of all messages of the folder, ascending, in the task's arena. */
MUST_CHECK enum err rows_live_uids(struct vault *vault, struct task *task, int64_t folder_id,
                                   uint32_t **out_uids, size_t *out_count);

/* Copies or moves; the caller has begun the change. Checks the quota before it touches anything. */
MUST_CHECK enum err rows_copy(struct vault *vault, struct task *task, int64_t from_id,
                              int64_t to_id, const uint32_t *uids, size_t uid_count, bool is_move,
                              uint32_t **out_source_uids, uint32_t **out_uids, size_t *out_count);

/*
 * Hides the messages (ascending UIDs, all of them live), logs their vanishing under `modseq` and
 * has them purged later: `state` is ROW_GOING, or what undelete_state gives. Counters are the caller's.
 */
MUST_CHECK enum err rows_hide(struct vault *vault, struct task *task, int64_t folder_id,
                              uint64_t modseq, const uint32_t *uids, size_t uid_count,
                              enum row_state state);
/* Notes that expunged rows in this range wait for housekeeping. */
MUST_CHECK enum err rows_purge_later(struct vault *vault, struct task *task, int64_t folder_id,
                                     uint32_t first_uid, uint32_t last_uid);

#endif
