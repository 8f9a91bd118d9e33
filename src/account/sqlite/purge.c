/* Table `backup_purges`: removed mailboxes whose backups are still to go. */
#include "account/sqlite/driver.h"

enum err account_purge_add(struct account_database *database, struct task *task, int64_t mailbox,
                           int64_t due_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char due[CLOCK_ISO_ROOM];

    clock_format_iso(due_ms, due);
    TRY(db_prepare(database->db, task,
                   "INSERT INTO backup_purges (object_id, due) SELECT object_id, ?2"
                   " FROM mailboxes WHERE id = ?1 ON CONFLICT (object_id) DO NOTHING",
                   &statement));
    db_bind_int(statement, 1, mailbox);
    db_bind_text(statement, 2, str_from_c(due));
    return db_run(database->db, task, statement);
}

enum err account_purge_next(struct account_database *database, struct task *task,
                            struct account_purge_row *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;
    bool has_row = false;

    *out = (struct account_purge_row){0};
    TRY(db_prepare(database->db, task,
                   "SELECT id, object_id, is_empty FROM backup_purges AS p WHERE due <= ?1 AND"
                   " NOT EXISTS (SELECT 1 FROM mailboxes WHERE object_id = p.object_id)"
                   " ORDER BY due LIMIT 1",
                   &statement));
    db_bind_text(statement, 1, account_sqlite_now(task, &now));
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return ERR_OK;
    out->row = db_column_int(statement, 0);
    out->is_empty = db_column_int(statement, 2) != 0;
    if (!id_parse(db_column_text(statement, 1), &out->mailbox))
        return fail(task, ERR_CORRUPT, "account database: a removed mailbox has no valid id");
    return ERR_OK;
}

enum err account_purge_put_off(struct account_database *database, struct task *task, int64_t row,
                               int64_t due_ms, bool is_empty)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char due[CLOCK_ISO_ROOM];

    clock_format_iso(due_ms, due);
    TRY(db_prepare(database->db, task,
                   "UPDATE backup_purges SET due = ?2, is_empty = ?3 WHERE id = ?1", &statement));
    db_bind_int(statement, 1, row);
    db_bind_text(statement, 2, str_from_c(due));
    db_bind_int(statement, 3, is_empty);
    return db_run(database->db, task, statement);
}

enum err account_purge_done(struct account_database *database, struct task *task, int64_t row)
{
    TRY(account_sqlite_run(database, task,
                           "DELETE FROM backup_buckets WHERE object_id ="
                           " (SELECT object_id FROM backup_purges WHERE id = ?1)",
                           &row, 1));
    return account_sqlite_run(database, task, "DELETE FROM backup_purges WHERE id = ?1", &row, 1);
}

enum err account_purge_count(struct account_database *database, struct task *task,
                             uint64_t *out_count)
{
    return account_sqlite_number(database, task,
                                 "SELECT count(*) FROM backup_purges WHERE id > ?1", 0, out_count);
}
