/*
 * The log of what was expunged, kept within bounds as RFC 7162 §5.3 advises: when a folder's log
 * grows too long, its older half goes and one row stays in its place, (folder, modseq, 0, 0): what
 * vanished up to that modseq is no longer known. It is the folder's first row, if it is there.
 */
#include "vault/vanished.h"

#include "vault/change.h"
#include "vault/rows.h"

enum {
    TRIM_FOLDERS = 50, /* looked at in one slice */
    TRIM_AFTER = 1000, /* rows written since the last look */
};

enum err vanished_note(struct vault *vault, struct task *task, int64_t folder_id, uint64_t modseq,
                       uint32_t first_uid, uint32_t last_uid)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "INSERT INTO expunge VALUES (?1, ?2, ?3, ?4)", &statement));
    db_bind_int(statement, 1, folder_id);
    db_bind_int(statement, 2, (int64_t)modseq);
    db_bind_int(statement, 3, first_uid);
    db_bind_int(statement, 4, last_uid);
    vault->vanished_written++;
    return db_run(vault->db, task, statement);
}

enum err vanished_floor(struct vault *vault, struct task *task, int64_t folder_id,
                        uint64_t *out_modseq)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    *out_modseq = 0;
    TRY(db_prepare(vault->db, task,
                   "SELECT modseq, first_uid FROM expunge WHERE folder_id = ?1 "
                   "ORDER BY modseq, first_uid LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, folder_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (has_row && db_column_int(statement, 1) == 0)
        *out_modseq = (uint64_t)db_column_int(statement, 0);
    return ERR_OK;
}

/* ---- Reading ---- */

static enum err read_ranges(struct vault *vault, struct task *task, int64_t folder_id,
                            uint64_t since, struct vault_uid_range **out_ranges, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault_uid_range *ranges = NULL;
    size_t count = 0, room = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT first_uid, last_uid FROM expunge WHERE folder_id = ?1 AND modseq > ?2",
                   &statement));
    db_bind_int(statement, 1, folder_id);
    db_bind_int(statement, 2, (int64_t)since);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == room)
            ranges = arena_grow(&task->arena, ranges, &room, 16, sizeof(*ranges));
        ranges[count] = (struct vault_uid_range){(uint32_t)db_column_int(statement, 0),
                                                 (uint32_t)db_column_int(statement, 1)};
        if (ranges[count].first == 0 || ranges[count].last < ranges[count].first)
            return fail(task, ERR_CORRUPT, "vault: an impossible expunge range");
        count++;
    }
    rows_join(ranges, &count);
    *out_ranges = ranges;
    *out_count = count;
    return ERR_OK;
}

enum err vault_vanished_since(struct vault *vault, struct task *task, int64_t folder_id,
                              uint64_t since, bool *out_is_known,
                              struct vault_uid_range **out_ranges, size_t *out_count)
{
    uint64_t floor;

    TRY(vault_check(vault, task));
    TRY(vanished_floor(vault, task, folder_id, &floor));
    *out_ranges = NULL;
    *out_count = 0;
    *out_is_known = since >= floor;
    return *out_is_known ? read_ranges(vault, task, folder_id, since, out_ranges, out_count)
                         : ERR_OK;
}

/* ---- Shortening ---- */

/* The modseq in the middle of a log that is too long; 0: it is not. */
static enum err find_middle(struct vault *vault, struct task *task, int64_t folder_id,
                            uint64_t *out_modseq)
{
    CLEANUP(db_release) sqlite3_stmt *last = NULL;
    CLEANUP(db_release) sqlite3_stmt *middle = NULL;
    bool has_row;

    *out_modseq = 0;
    TRY(db_prepare(vault->db, task, "SELECT 1 FROM expunge WHERE folder_id = ?1 LIMIT 1 OFFSET ?2",
                   &last));
    db_bind_int(last, 1, folder_id);
    db_bind_int(last, 2, VANISHED_ROWS_MAX);
    TRY(db_step(vault->db, task, last, &has_row));
    if (!has_row)
        return ERR_OK;
    TRY(db_prepare(vault->db, task,
                   "SELECT modseq FROM expunge WHERE folder_id = ?1 "
                   "ORDER BY modseq, first_uid LIMIT 1 OFFSET ?2",
                   &middle));
    db_bind_int(middle, 1, folder_id);
    db_bind_int(middle, 2, VANISHED_ROWS_MAX / 2);
    TRY(db_step(vault->db, task, middle, &has_row));
    *out_modseq = (uint64_t)db_column_int(middle, 0);
    return ERR_OK;
}

static enum err shorten(struct vault *vault, struct task *task, int64_t folder_id, uint64_t modseq)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    vault_touch_quietly(vault);
    TRY(db_prepare(vault->db, task, "DELETE FROM expunge WHERE folder_id = ?1 AND modseq <= ?2",
                   &statement));
    db_bind_int(statement, 1, folder_id);
    db_bind_int(statement, 2, (int64_t)modseq);
    TRY(db_run(vault->db, task, statement));
    return vanished_note(vault, task, folder_id, modseq, 0, 0);
}

enum err vanished_trim(struct vault *vault, struct task *task, bool *out_did)
{
    size_t end = vault->vanished_next + TRIM_FOLDERS;

    if (vault->vanished_next == 0 && vault->vanished_written < TRIM_AFTER && vault->vanished_looked)
        return ERR_OK;
    if (vault->vanished_next == 0)
        vault->vanished_written = 0;
    for (; vault->vanished_next < vault->folder_count && vault->vanished_next < end;
         vault->vanished_next++) {
        int64_t folder_id = vault->folders[vault->vanished_next]->id;
        uint64_t modseq;

        TRY(find_middle(vault, task, folder_id, &modseq));
        if (modseq != 0)
            TRY(shorten(vault, task, folder_id, modseq));
    }
    *out_did = vault->vanished_next < vault->folder_count;
    if (!*out_did)
        vault->vanished_next = 0;
    vault->vanished_looked = true;
    return ERR_OK;
}
