/* The daily limits and counts in `users` and `domains`: two tables, the same three columns. */
#include "account/database_rules.h"
#include "account/sqlite/driver.h"

static enum err daily(struct account_database *database, struct task *task, const char *sql,
                      int64_t row, struct account_daily *out_daily)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    *out_daily = (struct account_daily){.limit = ACCOUNT_LIMIT_NONE};
    if (row == 0)
        return ERR_OK;
    TRY(db_prepare(database->db, task, sql, &statement));
    db_bind_int(statement, 1, row);
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such user or domain");
    out_daily->limit = db_column_is_null(statement, 0) ? ACCOUNT_LIMIT_DEFAULT
                                                       : db_column_int(statement, 0);
    out_daily->day = db_column_int(statement, 1);
    out_daily->count = db_column_int(statement, 2);
    return ERR_OK;
}

enum err account_user_daily(struct account_database *database, struct task *task, int64_t row,
                            struct account_daily *out_daily)
{
    return daily(database, task,
                 "SELECT daily_limit, sent_day, sent_count FROM users WHERE id = ?1", row,
                 out_daily);
}

enum err account_domain_daily(struct account_database *database, struct task *task, int64_t row,
                              struct account_daily *out_daily)
{
    return daily(database, task,
                 "SELECT daily_limit, sent_day, sent_count FROM domains WHERE id = ?1", row,
                 out_daily);
}

static enum err set_limit(struct account_database *database, struct task *task, const char *sql,
                          int64_t row, int64_t limit)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, sql, &statement));
    db_bind_int(statement, 1, row);
    if (limit != ACCOUNT_LIMIT_DEFAULT)
        db_bind_int(statement, 2, limit);
    return db_run(database->db, task, statement);
}

enum err account_user_set_limit(struct account_database *database, struct task *task, int64_t row,
                                int64_t limit)
{
    return set_limit(database, task, "UPDATE users SET daily_limit = ?2 WHERE id = ?1", row,
                     limit);
}

enum err account_domain_set_limit(struct account_database *database, struct task *task,
                                  int64_t row, int64_t limit)
{
    return set_limit(database, task, "UPDATE domains SET daily_limit = ?2 WHERE id = ?1", row,
                     limit);
}

enum err account_user_count_sent(struct account_database *database, struct task *task, int64_t row,
                                 int64_t day)
{
    TRY(account_sqlite_note(database, task));
    return account_sqlite_run(
        database, task,
        "UPDATE users SET sent_count = CASE WHEN sent_day = ?2 THEN sent_count + 1 ELSE 1 END,"
        " sent_day = ?2 WHERE id = ?1",
        (int64_t[]){row, day}, 2);
}

enum err account_domain_count_sent(struct account_database *database, struct task *task,
                                   int64_t row, int64_t day)
{
    TRY(account_sqlite_note(database, task));
    return account_sqlite_run(
        database, task,
        "UPDATE domains SET sent_count = CASE WHEN sent_day = ?2 THEN sent_count + 1 ELSE 1 END,"
        " sent_day = ?2 WHERE id = ?1",
        (int64_t[]){row, day}, 2);
}

enum err account_user_count_unsent(struct account_database *database, struct task *task,
                                   int64_t row, int64_t day, int64_t count)
{
    TRY(account_sqlite_note(database, task));
    return account_sqlite_run(database, task,
                              "UPDATE users SET sent_count = max(sent_count - ?3, 0)"
                              " WHERE id = ?1 AND sent_day = ?2",
                              (int64_t[]){row, day, count}, 3);
}

enum err account_domain_count_unsent(struct account_database *database, struct task *task,
                                     int64_t row, int64_t day, int64_t count)
{
    TRY(account_sqlite_note(database, task));
    return account_sqlite_run(database, task,
                              "UPDATE domains SET sent_count = max(sent_count - ?3, 0)"
                              " WHERE id = ?1 AND sent_day = ?2",
                              (int64_t[]){row, day, count}, 3);
}
