#include "vault/undelete_keep.h"

#include "base/clock.h"
#include "vault/parts.h"
#include "vault/undelete.h"

void vault_set_undelete(struct vault *vault, int64_t keep_ms, uint64_t limit_bytes)
{
    vault->undelete_keep_ms = limit_bytes > 0 ? keep_ms : 0;
    vault->undelete_limit_bytes = limit_bytes;
}

enum row_state undelete_state(const struct vault *vault)
{
    /* With 0 it is not kept when it is purged. */
    return vault->undelete_keep_ms >= 0 ? ROW_HIDDEN : ROW_GOING;
}

bool undelete_keeps(const struct vault *vault)
{
    return vault->undelete_keep_ms != 0;
}

enum err undelete_load(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    vault->hidden_oldest_ms = INT64_MAX;
    TRY(db_prepare(vault->db, task, "SELECT expunged FROM hidden WHERE id > 0 ORDER BY id LIMIT 1",
                   &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    if (has_row && !clock_parse_iso(db_column_text(statement, 0), &vault->hidden_oldest_ms))
        return fail(task, ERR_CORRUPT, "vault: a hidden message has no valid date");
    return ERR_OK;
}

/* --- Keeping --- */

enum err undelete_keep(struct vault *vault, struct task *task, int64_t key, int64_t expunged_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char expunged[CLOCK_ISO_ROOM];
    bool has_row;

    clock_format_iso(expunged_ms, expunged);
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO hidden(folder_id, flags, content_id, size_bytes, internal_date, "
                   "internal_zone, save_date, sent_day, line_end_octets, uidl, expunged) "
                   "SELECT key >> 32, flags, content_id, size_bytes, internal_date, "
                   "internal_zone, save_date, sent_day, line_end_octets, "
                   "(SELECT uidl FROM given_uidl WHERE given_uidl.key = message.key), ?2 "
                   "FROM message WHERE key = ?1 RETURNING size_bytes",
                   &statement));
    db_bind_int(statement, 1, key);
    db_bind_text(statement, 2, str_from_c(expunged));
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_CORRUPT, "vault: an expunged message is gone");
    vault->hidden_bytes += (uint64_t)db_column_int(statement, 0);
    vault->hidden_count++;
    vault->is_mailbox_dirty = true;
    if (vault->hidden_oldest_ms == INT64_MAX)
        vault->hidden_oldest_ms = expunged_ms;
    /* To its end, which is what writes. */
    return db_step(vault->db, task, statement, &has_row);
}

enum err undelete_note_folder(struct vault *vault, struct task *task, const struct folder *folder)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char now[CLOCK_ISO_ROOM];

    /* Without a message ever there is nothing to bring back. */
    if (folder->uidnext == 1 || (vault->undelete_keep_ms <= 0 && vault->hidden_count == 0))
        return ERR_OK;
    clock_format_iso(task->now_ms, now);
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO former_folder VALUES (?1, ?2, ?3, ?4) ON CONFLICT(id) DO UPDATE "
                   "SET name = excluded.name, special_use = excluded.special_use, "
                   "deleted = excluded.deleted",
                   &statement));
    db_bind_int(statement, 1, folder->id);
    db_bind_text(statement, 2, folder->name);
    db_bind_int(statement, 3, folder->use);
    db_bind_text(statement, 4, str_from_c(now));
    return db_run(vault->db, task, statement);
}

/* --- Letting go --- */

struct kept {
    int64_t id, content_id;
    uint64_t size_bytes;
    int64_t expunged_ms;
};

static enum err read_oldest(struct vault *vault, struct task *task,
                            struct kept out[static UNDELETE_ROWS_IN_SLICE + 1], size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    size_t count = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT id, content_id, size_bytes, expunged FROM hidden WHERE id > 0 "
                   "ORDER BY id LIMIT ?1",
                   &statement));
    db_bind_int(statement, 1, UNDELETE_ROWS_IN_SLICE + 1);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count > UNDELETE_ROWS_IN_SLICE ||
            !clock_parse_iso(db_column_text(statement, 3), &out[count].expunged_ms))
            return fail(task, ERR_CORRUPT, "vault: a hidden message has no valid date");
        out[count].id = db_column_int(statement, 0);
        out[count].content_id = db_column_int(statement, 1);
        out[count].size_bytes = (uint64_t)db_column_int(statement, 2);
        count++;
    }
    *out_count = count;
    return ERR_OK;
}

static enum err let_go(struct vault *vault, struct task *task, const struct kept *kept)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "DELETE FROM hidden WHERE id = ?1", &statement));
    db_bind_int(statement, 1, kept->id);
    TRY(db_run(vault->db, task, statement));
    vault->hidden_bytes -= kept->size_bytes;
    vault->hidden_count--;
    vault->is_mailbox_dirty = true;
    return content_release(vault, task, kept->content_id);
}

static bool must_go(const struct vault *vault, const struct task *task, int64_t expunged_ms)
{
    if (vault->undelete_keep_ms < 0 || vault->hidden_count == 0)
        return false;
    return vault->hidden_bytes > vault->undelete_limit_bytes ||
           task->now_ms - expunged_ms >= vault->undelete_keep_ms;
}

bool vault_undelete_is_due(const struct vault *vault, const struct task *task)
{
    return vault->hidden_oldest_ms != INT64_MAX && must_go(vault, task, vault->hidden_oldest_ms);
}

enum err undelete_expire_slice(struct vault *vault, struct task *task, bool *out_did)
{
    struct kept rows[UNDELETE_ROWS_IN_SLICE + 1];
    size_t count = 0, i = 0;

    if (!vault_undelete_is_due(vault, task))
        return ERR_OK;
    *out_did = true;
    vault_touch_quietly(vault);
    TRY(read_oldest(vault, task, rows, &count));
    while (i < count && i < UNDELETE_ROWS_IN_SLICE && must_go(vault, task, rows[i].expunged_ms))
        TRY(let_go(vault, task, &rows[i++]));
    vault->hidden_oldest_ms = i < count ? rows[i].expunged_ms : INT64_MAX;
    return ERR_OK;
}

enum err undelete_forget_folders(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char before[CLOCK_ISO_ROOM];
    int64_t oldest_ms =
        vault->hidden_oldest_ms < task->now_ms ? vault->hidden_oldest_ms : task->now_ms;

    /* What is not moved to `hidden` yet was expunged a moment ago. */
    clock_format_iso(oldest_ms - VAULT_DELIVERY_MEMORY_MS, before);
    TRY(db_prepare(vault->db, task, "DELETE FROM former_folder WHERE deleted < ?1", &statement));
    db_bind_text(statement, 1, str_from_c(before));
    return db_run(vault->db, task, statement);
}
