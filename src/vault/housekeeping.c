/*
 * What may be put off: purging expunged messages, shortening the log of them, letting
 * go what was kept of them long enough, learning what is junk, filling the search index and what
 * SORT compares, forgetting deliveries, writing the file's log back. Each call does one slice; everything
 * in it can be lost in a power cut and is done again, so its transactions are relaxed.
 */
#include "vault/vault.h"

#include "base/clock.h"
#include "vault/facts.h"
#include "vault/folder_contents.h"
#include "vault/parts.h"
#include "vault/index.h"
#include "vault/learn.h"
#include "vault/sort_keep.h"
#include "vault/undelete.h"
#include "vault/undelete_keep.h"
#include "vault/vanished.h"

enum {
    PURGES_IN_SLICE = 100,
    WAL_PAGES_IDLE = 500,   /* written back when there is nothing else to do */
    WAL_PAGES_SLICE = 1500, /* writing them back is a slice: some 7 us of processor time each */
    DELIVERY_PURGE_EVERY_MS = 60 * 60 * 1000,
};

/* --- Purging --- */

struct purge {
    int64_t id;
    int64_t first_key, last_key;
    int64_t expunged_ms;
};

struct expunged {
    int64_t key, content_id;
    enum row_state state;
};

/* The oldest note whose time has come. */
static enum err next_purge(struct vault *vault, struct task *task, struct purge *out,
                           bool *out_is_due)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    int64_t expunged_ms;
    bool has_row;

    *out_is_due = false;
    TRY(db_prepare(vault->db, task,
                   "SELECT id, first_key, last_key, expunged FROM purge ORDER BY id LIMIT 1",
                   &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    vault->has_purges = has_row;
    if (!has_row)
        return ERR_OK;
    out->id = db_column_int(statement, 0);
    out->first_key = db_column_int(statement, 1);
    out->last_key = db_column_int(statement, 2);
    if (!clock_parse_iso(db_column_text(statement, 3), &expunged_ms))
        return fail(task, ERR_CORRUPT, "vault: a purge note has no valid date");
    out->expunged_ms = expunged_ms < task->now_ms ? expunged_ms : task->now_ms;
    /* Those of an earlier session have no one left who could ask; a clock set back waits for none.
     */
    *out_is_due = out->id <= vault->purge_open_id || task->now_ms < expunged_ms ||
                  task->now_ms - expunged_ms >= VAULT_EXPUNGED_GRACE_MS;
    return ERR_OK;
}

void vault_keep_expunged(struct vault *vault)
{
    vault->purge_open_id = 0;
}

/* Takes the row away: with its content, or to where its owner can bring it back from. */
static enum err purge_row(struct vault *vault, struct task *task, const struct expunged *row,
                          int64_t expunged_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool is_kept = row->state == ROW_HIDDEN && undelete_keeps(vault);

    if (is_kept)
        TRY(undelete_keep(vault, task, row->key, expunged_ms));
    TRY(db_prepare(vault->db, task, "DELETE FROM message WHERE key = ?1", &statement));
    db_bind_int(statement, 1, row->key);
    TRY(db_run(vault->db, task, statement));
    return is_kept ? ERR_OK : content_release(vault, task, row->content_id);
}

static enum err delete_note(struct vault *vault, struct task *task, int64_t id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "DELETE FROM purge WHERE id = ?1", &statement));
    db_bind_int(statement, 1, id);
    return db_run(vault->db, task, statement);
}

/* The next slice goes on behind this key. */
static enum err shorten_note(struct vault *vault, struct task *task, int64_t id, int64_t key)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "UPDATE purge SET first_key = ?2 WHERE id = ?1", &statement));
    db_bind_int(statement, 1, id);
    db_bind_int(statement, 2, key + 1);
    return db_run(vault->db, task, statement);
}

static enum err read_expunged(struct vault *vault, struct task *task, const struct purge *purge,
                              struct expunged out[static PURGES_IN_SLICE], size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    size_t count = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT key, content_id, is_expunged FROM message "
                   "WHERE key BETWEEN ?1 AND ?2 AND is_expunged > 0 LIMIT ?3",
                   &statement));
    db_bind_int(statement, 1, purge->first_key);
    db_bind_int(statement, 2, purge->last_key);
    db_bind_int(statement, 3, PURGES_IN_SLICE);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row || count == PURGES_IN_SLICE)
            break;
        out[count].key = db_column_int(statement, 0);
        out[count].content_id = db_column_int(statement, 1);
        out[count].state = (enum row_state)db_column_int(statement, 2);
        count++;
    }
    *out_count = count;
    return ERR_OK;
}

static enum err purge_slice(struct vault *vault, struct task *task, bool *out_did)
{
    struct expunged rows[PURGES_IN_SLICE];
    struct purge purge;
    size_t count;
    bool is_due;

    TRY(next_purge(vault, task, &purge, &is_due));
    if (!is_due)
        return ERR_OK;
    *out_did = true;
    vault_touch_quietly(vault);
    TRY(read_expunged(vault, task, &purge, rows, &count));
    if (count > 0)
        folder_contents_forget(vault);
    for (size_t i = 0; i < count; i++)
        TRY(purge_row(vault, task, &rows[i], purge.expunged_ms));
    if (count == PURGES_IN_SLICE)
        return shorten_note(vault, task, purge.id, rows[count - 1].key);
    return delete_note(vault, task, purge.id);
}

/* --- Deliveries --- */

static enum err forget_deliveries(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char since[CLOCK_ISO_ROOM];

    clock_format_iso(task->now_ms - VAULT_DELIVERY_MEMORY_MS, since);
    vault_touch_quietly(vault);
    TRY(db_prepare(vault->db, task, "DELETE FROM delivery WHERE arrived < ?1", &statement));
    db_bind_text(statement, 1, str_from_c(since));
    TRY(db_run(vault->db, task, statement));
    TRY(undelete_forget_folders(vault, task));
    vault->delivery_purged_ms = task->now_ms;
    return ERR_OK;
}

static bool deliveries_are_due(const struct vault *vault, const struct task *task)
{
    return task->now_ms < vault->delivery_purged_ms ||
           task->now_ms - vault->delivery_purged_ms >= DELIVERY_PURGE_EVERY_MS;
}

/* --- One slice --- */

/* What contents from before a mailbox had it still want. */
static enum err facts_slice(struct vault *vault, struct task *task, bool *out_did)
{
    *out_did = true;
    if (!vault->has_identities)
        return facts_identity_slice(vault, task);
    return facts_preview_slice(vault, task);
}

static enum err slice(struct vault *vault, struct task *task, bool *out_did)
{
    /* Before a content goes, which is what many do with it next. */
    TRY(learn_slice(vault, task, out_did));
    if (!*out_did && vault->has_purges)
        TRY(purge_slice(vault, task, out_did));
    if (!*out_did)
        TRY(undelete_expire_slice(vault, task, out_did));
    if (!*out_did)
        TRY(vanished_trim(vault, task, out_did));
    if (*out_did)
        return ERR_OK;
    vault_touch_quietly(vault);
    /* The sort keys of many contents are made in the time that the index takes for one in twenty. */
    TRY(sort_slice(vault, task, out_did));
    if (!*out_did)
        TRY(index_slice(vault, task, out_did));
    if (*out_did)
        return ERR_OK;
    if (!vault->has_identities || vault->previews_from > 0)
        return facts_slice(vault, task, out_did);
    if (deliveries_are_due(vault, task))
        return forget_deliveries(vault, task);
    return ERR_OK;
}

bool vault_is_behind(const struct vault *vault, int64_t contents)
{
    return index_is_behind(vault, contents) || sort_is_behind(vault, contents);
}

bool vault_is_unfinished(const struct vault *vault)
{
    return index_is_unfinished(vault) || sort_is_behind(vault, VAULT_BEHIND_CONTENTS);
}

/* Before the log is so long that a commit, at the end of another slice, writes it back. What a
 * reader of the file holds back stays, and is not waited for. */
static enum err write_back(struct vault *vault, struct task *task, bool *out_did)
{
    int before = db_wal_pages(vault->db);

    if (before < WAL_PAGES_SLICE)
        return ERR_OK;
    TRY(db_checkpoint(vault->db, task));
    *out_did = db_wal_pages(vault->db) < before;
    return ERR_OK;
}

void vault_rest(struct vault *vault)
{
    db_shrink(vault->db);
    message_list_forget(vault);
}

enum err vault_housekeeping(struct vault *vault, struct task *task, bool *out_more)
{
    bool did = false;

    *out_more = false;
    if (vault->batch != VAULT_BATCH_NONE)
        return ERR_OK;
    TRY(write_back(vault, task, out_more));
    if (*out_more)
        return ERR_OK;
    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(vault, task, slice(vault, task, &did), VAULT_RELAXED));
    if (!did && db_wal_pages(vault->db) >= WAL_PAGES_IDLE)
        TRY(db_checkpoint(vault->db, task));
    if (!did)
        vault_rest(vault);
    *out_more = did;
    return ERR_OK;
}

/* --- Before an owner looks at what was expunged --- */

enum err vault_undelete_prepare(struct vault *vault, struct task *task, bool *out_is_done)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row, did = false;

    TRY(vault_check(vault, task));
    TRY(db_prepare(vault->db, task, "SELECT max(id) FROM purge", &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    /* Nobody is waited for any more: all notes count as those of an earlier session. */
    if (!db_column_is_null(statement, 0))
        vault->purge_open_id = db_column_int(statement, 0);
    db_release(&statement);
    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(vault, task, purge_slice(vault, task, &did), VAULT_RELAXED));
    *out_is_done = !did;
    return ERR_OK;
}
