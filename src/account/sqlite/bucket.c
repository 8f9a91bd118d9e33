/* Table `backup_buckets`. */
#include "account/bucket.h"
#include "account/sqlite/driver.h"

enum err account_bucket_put(struct account_database *database, struct task *task,
                            const struct account_bucket *bucket)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO backup_buckets (object_id, place, region, key_id, sealed, created)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (object_id) DO UPDATE SET"
                   " place = ?2, region = ?3, key_id = ?4, sealed = ?5, created = ?6",
                   &statement));
    db_bind_text(statement, 1, id_str(&bucket->mailbox));
    db_bind_text(statement, 2, bucket->place);
    db_bind_text(statement, 3, bucket->region);
    db_bind_text(statement, 4, bucket->key_id);
    db_bind_blob(statement, 5, bucket->sealed);
    db_bind_text(statement, 6, account_sqlite_now(task, &now));
    return db_run(database->db, task, statement);
}

/* The row that the statement gives. */
static enum err read_row(struct account_database *database, struct task *task,
                         sqlite3_stmt *statement, struct account_bucket *out)
{
    bool has_row = false;

    *out = (struct account_bucket){0};
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return ERR_OK;
    out->row = db_column_int(statement, 0);
    if (!id_parse(db_column_text(statement, 1), &out->mailbox))
        return fail(task, ERR_CORRUPT, "account database: a bucket's mailbox has no valid id");
    out->place = account_sqlite_column_text(task, statement, 2);
    out->region = account_sqlite_column_text(task, statement, 3);
    out->key_id = account_sqlite_column_text(task, statement, 4);
    out->sealed = arena_copy(&task->arena, db_column_blob(statement, 5));
    out->created = account_sqlite_column_text(task, statement, 6);
    return ERR_OK;
}

enum err account_bucket_find(struct account_database *database, struct task *task,
                             const struct id *mailbox, struct account_bucket *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   "SELECT id, object_id, place, region, key_id, sealed, created"
                   " FROM backup_buckets WHERE object_id = ?1",
                   &statement));
    db_bind_text(statement, 1, id_str(mailbox));
    TRY(read_row(database, task, statement, out));
    return out->row != 0 ? ERR_OK : fail(task, ERR_NOT_FOUND, "no bucket of its own");
}

enum err account_bucket_next(struct account_database *database, struct task *task, int64_t after,
                             struct account_bucket *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   "SELECT id, object_id, place, region, key_id, sealed, created"
                   " FROM backup_buckets WHERE id > ?1 ORDER BY id LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, after);
    return read_row(database, task, statement, out);
}

enum err account_bucket_remove(struct account_database *database, struct task *task,
                               const struct id *mailbox)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, "DELETE FROM backup_buckets WHERE object_id = ?1",
                   &statement));
    db_bind_text(statement, 1, id_str(mailbox));
    return db_run(database->db, task, statement);
}
