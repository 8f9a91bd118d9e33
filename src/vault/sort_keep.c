/* Filling, forgetting and checking the rows of what SORT compares. */
#include "vault/sort_keep.h"

#include "message/message.h"

enum {
    ALL_FIELDS = VAULT_SORT_SENT | VAULT_SORT_SUBJECT | VAULT_SORT_FROM | VAULT_SORT_TO |
                 VAULT_SORT_CC | VAULT_SORT_THREAD,
    SLICE_CONTENTS = 200,          /* some 15 us of processor time each */
    SLICE_TEXT_BYTES = 512 * 1024, /* no further content behind so many bytes: a few ms */
    WAITING_MIN = 32,              /* fewer contents are not worth a transaction of their own */
    /* Count it up with every change that makes other keys of the same content, but folding's. */
    FORM = 3,
};

/* No date is like this one: content.sent is of four-digit years. */
static const int64_t NO_DATE_MS = INT64_MIN;

static int64_t sort_form(void)
{
    return ((int64_t)FORM << 48) + message_fold_form();
}

enum err sort_load(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT form, next_content_id FROM sort_progress", &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_CORRUPT, "vault: a row of sort_progress is missing");
    vault->sort_next_id =
        db_column_int(statement, 0) == sort_form() ? db_column_int(statement, 1) : 1;
    return ERR_OK;
}

bool sort_is_behind(const struct vault *vault, int64_t contents)
{
    return vault->next_content_id - vault->sort_next_id > contents;
}

/* --- Forgetting and filling --- */

enum err sort_forget(struct vault *vault, struct task *task, int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "DELETE FROM sort_key WHERE content_id = ?1", &statement));
    db_bind_int(statement, 1, content_id);
    return db_run(vault->db, task, statement);
}

/* In the order of the table's columns. */
static void bind(sqlite3_stmt *statement, int64_t content_id, const struct vault_sort_key *key)
{
    db_bind_int(statement, 1, content_id);
    if (key->sent_ms != NO_DATE_MS)
        db_bind_int(statement, 2, key->sent_ms);
    else
        db_bind_null(statement, 2);
    db_bind_int(statement, 3, key->is_reply);
    db_bind_blob(statement, 4, key->base_subject);
    db_bind_blob(statement, 5, key->from);
    db_bind_blob(statement, 6, key->display_from);
    db_bind_blob(statement, 7, key->to);
    db_bind_blob(statement, 8, key->display_to);
    db_bind_blob(statement, 9, key->cc);
    db_bind_blob(statement, 10, key->message_id);
    db_bind_blob(statement, 11, key->ancestors);
}

static enum err make(struct vault *vault, struct task *task, int64_t content_id,
                     struct vault_sort_key *key)
{
    *key = (struct vault_sort_key){.sent_ms = NO_DATE_MS};
    return sort_make(vault, task, content_id, ALL_FIELDS, key);
}

/* OR REPLACE: a row of another form. */
static enum err insert(struct vault *vault, struct task *task, int64_t content_id,
                       const struct vault_sort_key *key)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "INSERT OR REPLACE INTO sort_key VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
                   "?10, ?11)",
                   &statement));
    bind(statement, content_id, key);
    return db_run(vault->db, task, statement);
}

static enum err keep(struct vault *vault, struct task *task, int64_t content_id, size_t *text_bytes)
{
    struct vault_sort_key key;
    struct task made;
    enum err err;

    task_init(&made, task->now_ms);
    err = make(vault, &made, content_id, &key);
    if (err == ERR_OK)
        err = insert(vault, &made, content_id, &key);
    *text_bytes += key.text_bytes;
    /* Who sorts the message is told, rather than given a row of another form; here it must not stop
     * the rest. */
    if (err == ERR_CORRUPT)
        err = sort_forget(vault, &made, content_id);
    if (err != ERR_OK)
        err = fail(task, err, "%s", made.words);
    task_done(&made);
    return err;
}

static enum err read_waiting(struct vault *vault, struct task *task,
                             int64_t out[static SLICE_CONTENTS], size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    *out_count = 0;
    TRY(db_prepare(vault->db, task, "SELECT id FROM content WHERE id >= ?1 ORDER BY id LIMIT ?2",
                   &statement));
    db_bind_int(statement, 1, vault->sort_next_id);
    db_bind_int(statement, 2, SLICE_CONTENTS);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        out[(*out_count)++] = db_column_int(statement, 0);
    }
}

static enum err note_progress(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "UPDATE sort_progress SET form = ?1, next_content_id = ?2",
                   &statement));
    db_bind_int(statement, 1, sort_form());
    db_bind_int(statement, 2, vault->sort_next_id);
    return db_run(vault->db, task, statement);
}

enum err sort_slice(struct vault *vault, struct task *task, bool *out_did)
{
    int64_t ids[SLICE_CONTENTS];
    size_t count, kept = 0, text_bytes = 0;

    if (vault->next_content_id - vault->sort_next_id < WAITING_MIN)
        return ERR_OK;
    *out_did = true;
    vault_touch_quietly(vault);
    TRY(read_waiting(vault, task, ids, &count));
    while (kept < count && text_bytes < SLICE_TEXT_BYTES)
        TRY(keep(vault, task, ids[kept++], &text_bytes));
    vault->sort_next_id =
        kept == count && count < SLICE_CONTENTS ? vault->next_content_id : ids[kept - 1] + 1;
    return note_progress(vault, task);
}

/* --- Checking --- */

enum err sort_check(struct vault *vault, struct task *task, int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault_sort_key key;
    bool has_row;

    if (content_id >= vault->sort_next_id)
        return ERR_OK;
    TRY(make(vault, task, content_id, &key));
    TRY(db_prepare(vault->db, task,
                   "SELECT sent_ms IS ?2 AND is_reply = ?3 AND base_subject = ?4 AND sender = ?5 "
                   "AND display_sender = ?6 AND recipient = ?7 AND display_recipient = ?8 "
                   "AND cc = ?9 AND message_id = ?10 AND ancestors = ?11 "
                   "FROM sort_key WHERE content_id = ?1",
                   &statement));
    bind(statement, content_id, &key);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (has_row && db_column_int(statement, 0) == 0)
        return fail(task, ERR_CORRUPT, "what SORT compares of a message is not the message's");
    return ERR_OK;
}
