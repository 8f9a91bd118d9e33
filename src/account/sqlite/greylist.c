/* Table `greylist`. Nothing of it is worth a sync: what a crash takes is asked to come back again. */
#include "account/database_rules.h"
#include "account/sqlite/driver.h"

enum err account_grey_find(struct account_database *database, struct task *task, struct str hash,
                           struct account_grey *out_grey)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    *out_grey = (struct account_grey){.is_there = false};
    TRY(db_prepare(database->db, task,
                   "SELECT is_passed, since, ends FROM greylist WHERE hash = ?1", &statement));
    db_bind_blob(statement, 1, hash);
    TRY(db_step(database->db, task, statement, &out_grey->is_there));
    if (!out_grey->is_there)
        return ERR_OK;
    out_grey->is_passed = db_column_int(statement, 0) != 0;
    if (!clock_parse_iso(db_column_text(statement, 1), &out_grey->since_ms) ||
        !clock_parse_iso(db_column_text(statement, 2), &out_grey->ends_ms))
        return fail(task, ERR_CORRUPT, "account database: a date in `greylist` is none");
    return ERR_OK;
}

enum err account_grey_set(struct account_database *database, struct task *task, struct str hash,
                          const struct account_grey *grey)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char since[CLOCK_ISO_ROOM], ends[CLOCK_ISO_ROOM];

    TRY(account_sqlite_note(database, task));
    TRY(db_prepare(database->db, task,
                   "INSERT INTO greylist (hash, is_passed, since, ends) VALUES (?1, ?2, ?3, ?4)"
                   " ON CONFLICT (hash) DO UPDATE SET is_passed = excluded.is_passed,"
                   " since = excluded.since, ends = excluded.ends",
                   &statement));
    clock_format_iso(grey->since_ms, since);
    clock_format_iso(grey->ends_ms, ends);
    db_bind_blob(statement, 1, hash);
    db_bind_int(statement, 2, grey->is_passed);
    db_bind_text(statement, 3, str_from_c(since));
    db_bind_text(statement, 4, str_from_c(ends));
    return db_run(database->db, task, statement);
}

enum err account_grey_remove(struct account_database *database, struct task *task,
                             struct str hash)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(account_sqlite_note(database, task));
    TRY(db_prepare(database->db, task, "DELETE FROM greylist WHERE hash = ?1", &statement));
    db_bind_blob(statement, 1, hash);
    return db_run(database->db, task, statement);
}

enum err account_grey_count(struct account_database *database, struct task *task,
                            uint64_t *out_count)
{
    return account_sqlite_number(database, task, "SELECT count(*) FROM greylist", 0, out_count);
}

enum err account_grey_sweep(struct account_database *database, struct task *task, size_t limit,
                            bool is_forced)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(account_sqlite_note(database, task));
    TRY(db_prepare(database->db, task,
                   "DELETE FROM greylist WHERE hash IN (SELECT hash FROM greylist"
                   " WHERE ends <= ?1 OR ?3 ORDER BY ends LIMIT ?2)",
                   &statement));
    db_bind_text(statement, 1, account_sqlite_now(task, &now));
    db_bind_int(statement, 2, (int64_t)limit);
    db_bind_int(statement, 3, is_forced);
    return db_run(database->db, task, statement);
}
