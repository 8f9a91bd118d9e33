/* Helpers for many messages at once: sets of UIDs as ranges, hiding, purging later. */
#include "vault/rows.h"

#include "base/clock.h"
#include "vault/vanished.h"

#include <stdlib.h>
#include <string.h>

static int compare_uids(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

void rows_sort(struct task *task, const uint32_t *uids, size_t uid_count, uint32_t **out_uids,
               size_t *out_count)
{
    uint32_t *sorted = ARENA_ARRAY(&task->arena, uint32_t, uid_count + 1);
    bool is_sorted = true;
    size_t count = 0;

    for (size_t i = 0; i < uid_count; i++) {
        sorted[i] = uids[i];
        is_sorted = is_sorted && (i == 0 || uids[i - 1] < uids[i]);
    }
    if (!is_sorted)
        qsort(sorted, uid_count, sizeof(*sorted), compare_uids);
    for (size_t i = 0; i < uid_count; i++) {
        if (i == 0 || sorted[i] != sorted[count - 1])
            sorted[count++] = sorted[i];
    }
    *out_uids = sorted;
    *out_count = count;
}

bool rows_next_range(const uint32_t *uids, size_t uid_count, size_t *position,
                     struct vault_uid_range *out)
{
    size_t i = *position;

    if (i >= uid_count)
        return false;
    out->first = uids[i];
    out->last = uids[i];
    for (i++; i < uid_count && uids[i] == out->last + 1; i++)
        out->last = uids[i];
    *position = i;
    return true;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct vault_uid_range *left = a, *right = b;

    return left->first < right->first ? -1 : left->first > right->first;
}

void rows_join(struct vault_uid_range *ranges, size_t *count)
{
    size_t kept = 0;

    if (*count < 2)
        return;
    qsort(ranges, *count, sizeof(*ranges), compare_ranges);
    for (size_t i = 1; i < *count; i++) {
        if (ranges[i].first <= ranges[kept].last || ranges[i].first - ranges[kept].last == 1) {
            if (ranges[i].last > ranges[kept].last)
                ranges[kept].last = ranges[i].last;
        } else {
            ranges[++kept] = ranges[i];
        }
    }
    *count = kept + 1;
}

enum err rows_read(struct vault *vault, struct task *task, const char *sql, int64_t folder_id,
                   struct vault_uid_range range, sqlite3_stmt **out_statement)
{
    TRY(db_prepare(vault->db, task, sql, out_statement));
    db_bind_int(*out_statement, 1, message_key(folder_id, range.first));
    db_bind_int(*out_statement, 2, message_key(folder_id, range.last));
    return ERR_OK;
}

enum err rows_live_uids(struct vault *vault, struct task *task, int64_t folder_id,
                        uint32_t **out_uids, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    const struct folder *folder = vault_folder_get(vault, folder_id);
    size_t room = folder == NULL ? 0 : (size_t)folder->message_count, count = 0;
    uint32_t *uids = ARENA_ARRAY(&task->arena, uint32_t, room + 1);
    bool has_row;

    TRY(rows_read(vault, task, ROWS_LIVE(""), folder_id, ALL_UIDS, &statement));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == room)
            return fail(task, ERR_CORRUPT, "vault: a folder has more messages than it counted");
        uids[count++] = key_uid(db_column_int(statement, 0));
    }
    *out_uids = uids;
    *out_count = count;
    return ERR_OK;
}

enum err rows_purge_later(struct vault *vault, struct task *task, int64_t folder_id,
                          uint32_t first_uid, uint32_t last_uid)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char now[CLOCK_ISO_ROOM];

    clock_format_iso(task->now_ms, now);
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO purge(first_key, last_key, expunged) VALUES (?1, ?2, ?3)",
                   &statement));
    db_bind_int(statement, 1, message_key(folder_id, first_uid));
    db_bind_int(statement, 2, message_key(folder_id, last_uid));
    db_bind_text(statement, 3, str_from_c(now));
    TRY(db_run(vault->db, task, statement));
    vault->has_purges = true;
    return ERR_OK;
}

static enum err hide_range(struct vault *vault, struct task *task, int64_t folder_id,
                           uint64_t modseq, struct vault_uid_range range, enum row_state state)
{
    CLEANUP(db_release) sqlite3_stmt *hide = NULL;

    TRY(db_prepare(vault->db, task,
                   "UPDATE message SET is_expunged = ?4, modseq = ?3 WHERE key BETWEEN ?1 AND ?2 "
                   "AND is_expunged = 0",
                   &hide));
    db_bind_int(hide, 1, message_key(folder_id, range.first));
    db_bind_int(hide, 2, message_key(folder_id, range.last));
    db_bind_int(hide, 3, (int64_t)modseq);
    db_bind_int(hide, 4, state);
    TRY(db_run(vault->db, task, hide));
    return vanished_note(vault, task, folder_id, modseq, range.first, range.last);
}

enum err rows_hide(struct vault *vault, struct task *task, int64_t folder_id, uint64_t modseq,
                   const uint32_t *uids, size_t uid_count, enum row_state state)
{
    struct vault_uid_range range;
    size_t position = 0;

    while (rows_next_range(uids, uid_count, &position, &range))
        TRY(hide_range(vault, task, folder_id, modseq, range, state));
    /* One note for all: purging looks at the rows themselves. */
    if (uid_count > 0)
        TRY(rows_purge_later(vault, task, folder_id, uids[0], uids[uid_count - 1]));
    return ERR_OK;
}
