/*
 * Sort keys: a message's own row, and beside it the row of what is compared of its content; where
 * that is not there yet, the content's.
 */
#include "vault/sort.h"

#include "base/clock.h"
#include "vault/sort_keep.h"
#include "vault/state.h"

enum {
    ADDRESS_FIELDS = VAULT_SORT_FROM | VAULT_SORT_TO | VAULT_SORT_CC,
    CONTENT_FIELDS = VAULT_SORT_SENT | VAULT_SORT_SUBJECT | ADDRESS_FIELDS | VAULT_SORT_THREAD,
};

/* The columns are those of `enum column` in all: what SQLite does not read it does not copy. */
#define ROW "SELECT m.key, m.internal_date, m.size_bytes, m.content_id, k.content_id, k.sent_ms"
/* A LEFT JOIN: the order of the loops is ours. Rows from ?3 on are of another form. */
#define FROM_BOTH                                                                                  \
    " FROM message AS m LEFT JOIN sort_key AS k ON k.content_id = m.content_id "                   \
    "AND m.content_id < ?3 WHERE m.key BETWEEN ?1 AND ?2"

/* The narrower ones first; fields of the message's own row are in all. */
static const struct shape {
    unsigned fields; /* of the content */
    const char *sql;
} SHAPES[] = {
    {0, "SELECT key, internal_date, size_bytes FROM message WHERE key BETWEEN ?1 AND ?2"},
    {VAULT_SORT_SENT, ROW FROM_BOTH},
    {VAULT_SORT_SENT | VAULT_SORT_SUBJECT, ROW ", k.is_reply, k.base_subject" FROM_BOTH},
    {VAULT_SORT_SENT | VAULT_SORT_SUBJECT | VAULT_SORT_THREAD,
     ROW ", k.is_reply, k.base_subject, k.message_id, k.ancestors" FROM_BOTH},
    {CONTENT_FIELDS,
     ROW ", k.is_reply, k.base_subject, k.message_id, k.ancestors, k.sender, k.display_sender, "
         "k.recipient, k.display_recipient, k.cc" FROM_BOTH},
};

#undef ROW
#undef FROM_BOTH

enum column {
    COLUMN_KEY,
    COLUMN_INTERNAL_DATE,
    COLUMN_SIZE,
    COLUMN_CONTENT_ID,
    COLUMN_KEPT,
    COLUMN_SENT,
    COLUMN_IS_REPLY,
    COLUMN_BASE_SUBJECT,
    COLUMN_MESSAGE_ID,
    COLUMN_ANCESTORS,
    COLUMN_FROM,
    COLUMN_DISPLAY_FROM,
    COLUMN_TO,
    COLUMN_DISPLAY_TO,
    COLUMN_CC,
};

static void read_kept(sqlite3_stmt *statement, unsigned fields, struct vault_sort_key *key)
{
    if ((fields & VAULT_SORT_SENT) != 0 && !db_column_is_null(statement, COLUMN_SENT))
        key->sent_ms = db_column_int(statement, COLUMN_SENT);
    if ((fields & VAULT_SORT_SUBJECT) != 0) {
        key->is_reply = db_column_int(statement, COLUMN_IS_REPLY) != 0;
        key->base_subject = db_column_blob(statement, COLUMN_BASE_SUBJECT);
    }
    if ((fields & VAULT_SORT_THREAD) != 0) {
        key->message_id = db_column_blob(statement, COLUMN_MESSAGE_ID);
        key->ancestors = db_column_blob(statement, COLUMN_ANCESTORS);
        key->text_bytes = key->message_id.len + key->ancestors.len;
    }
    if ((fields & VAULT_SORT_FROM) != 0) {
        key->from = db_column_blob(statement, COLUMN_FROM);
        key->display_from = db_column_blob(statement, COLUMN_DISPLAY_FROM);
    }
    if ((fields & VAULT_SORT_TO) != 0) {
        key->to = db_column_blob(statement, COLUMN_TO);
        key->display_to = db_column_blob(statement, COLUMN_DISPLAY_TO);
    }
    if ((fields & VAULT_SORT_CC) != 0)
        key->cc = db_column_blob(statement, COLUMN_CC);
}

/* Whether the internal date is compared, or stands in for the one that is. */
static bool needs_arrival(sqlite3_stmt *statement, unsigned fields)
{
    if ((fields & VAULT_SORT_ARRIVAL) != 0)
        return true;
    return (fields & VAULT_SORT_SENT) != 0 && db_column_is_null(statement, COLUMN_SENT);
}

/* `made` has what is not in the rows. */
static enum err read_row(struct vault *vault, sqlite3_stmt *statement, struct task *task,
                         struct task *made, unsigned fields, struct vault_sort_key *key)
{
    *key = (struct vault_sort_key){.uid = key_uid(db_column_int(statement, COLUMN_KEY))};
    if ((fields & VAULT_SORT_SIZE) != 0)
        key->size_bytes = (uint64_t)db_column_int(statement, COLUMN_SIZE);
    if (needs_arrival(statement, fields) &&
        !clock_parse_iso(db_column_text(statement, COLUMN_INTERNAL_DATE), &key->arrival_ms))
        return fail(task, ERR_CORRUPT, "vault: message %u has no valid date", (unsigned)key->uid);
    key->sent_ms = key->arrival_ms;
    if ((fields & CONTENT_FIELDS) == 0)
        return ERR_OK;
    if (db_column_is_null(statement, COLUMN_KEPT)) {
        enum err err;

        key->was_made = true;
        err = sort_make(vault, made, db_column_int(statement, COLUMN_CONTENT_ID), fields, key);

        return err == ERR_OK ? ERR_OK : fail(task, err, "%s", made->words);
    }
    read_kept(statement, fields, key);
    return ERR_OK;
}

static const char *sql_for(unsigned fields)
{
    const struct shape *shape = SHAPES;

    while ((fields & CONTENT_FIELDS & ~shape->fields) != 0)
        shape++; /* the last one has all */
    return shape->sql;
}

static enum err read_rows(struct vault *vault, sqlite3_stmt *statement, struct task *task,
                          unsigned fields,
                          bool (*on_key)(void *owner, const struct vault_sort_key *key),
                          void *owner, bool *out_is_end)
{
    CLEANUP(task_done) struct task made;
    bool goes_on = true, has_row;

    task_init(&made, task->now_ms);
    while (goes_on) {
        struct vault_sort_key key;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        TRY(read_row(vault, statement, task, &made, fields, &key));
        goes_on = on_key(owner, &key);
        if (key.was_made) {
            task_done(&made);
            task_init(&made, task->now_ms);
        }
    }
    *out_is_end = goes_on;
    return ERR_OK;
}

enum err vault_sort_keys(struct vault *vault, struct task *task, int64_t folder_id,
                         uint32_t first_uid, uint32_t last_uid, unsigned fields,
                         bool (*on_key)(void *owner, const struct vault_sort_key *key), void *owner,
                         bool *out_is_end)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(vault_check(vault, task));
    if (vault_folder_get(vault, folder_id) == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    TRY(db_prepare(vault->db, task, sql_for(fields), &statement));
    db_bind_int(statement, 1, message_key(folder_id, first_uid));
    db_bind_int(statement, 2, message_key(folder_id, last_uid));
    if ((fields & CONTENT_FIELDS) != 0)
        db_bind_int(statement, 3, vault->sort_next_id);
    return read_rows(vault, statement, task, fields, on_key, owner, out_is_end);
}
