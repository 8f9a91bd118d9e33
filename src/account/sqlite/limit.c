/* The daily limits and counts in `users` and `domains`: two tables, the same three columns. */
#include "account/database_rules.h"
#include "account/sqlite/driver.h"

static const struct statements {
    const char *read, *set_limit, *count_sent, *count_unsent;
} statements[] = {
#define STATEMENTS_OF(table)                                                                       \
    {                                                                                              \
        .read = "SELECT daily_limit, sent_day, sent_count FROM " table " WHERE id = ?1",           \
        .set_limit = "UPDATE " table " SET daily_limit = ?2 WHERE id = ?1",                        \
        .count_sent = "UPDATE " table " SET sent_day = ?2, sent_count ="                           \
                      " CASE WHEN sent_day = ?2 THEN sent_count + 1 ELSE 1 END WHERE id = ?1",     \
        .count_unsent = "UPDATE " table " SET sent_count = max(sent_count - ?3, 0)"                \
                        " WHERE id = ?1 AND sent_day = ?2",                                        \
    }
    [ACCOUNT_DAILY_USER] = STATEMENTS_OF("users"),
    [ACCOUNT_DAILY_DOMAIN] = STATEMENTS_OF("domains"),
#undef STATEMENTS_OF
};

enum err account_daily(struct account_database *database, struct task *task,
                       enum account_daily_of whose, int64_t row, struct account_daily *out_daily)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    *out_daily = (struct account_daily){.limit = ACCOUNT_LIMIT_NONE};
    if (row == 0)
        return ERR_OK;
    TRY(db_prepare(database->db, task, statements[whose].read, &statement));
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

enum err account_daily_set_limit(struct account_database *database, struct task *task,
                                 enum account_daily_of whose, int64_t row, int64_t limit)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, statements[whose].set_limit, &statement));
    db_bind_int(statement, 1, row);
    if (limit != ACCOUNT_LIMIT_DEFAULT)
        db_bind_int(statement, 2, limit);
    return db_run(database->db, task, statement);
}

enum err account_daily_count_sent(struct account_database *database, struct task *task,
                                  enum account_daily_of whose, int64_t row, int64_t day)
{
    if (row == 0)
        return ERR_OK;
    TRY(account_sqlite_note(database, task));
    return account_sqlite_run(database, task, statements[whose].count_sent, (int64_t[]){row, day},
                              2);
}

enum err account_daily_count_unsent(struct account_database *database, struct task *task,
                                    enum account_daily_of whose, int64_t row, int64_t day,
                                    int64_t count)
{
    if (row == 0)
        return ERR_OK;
    TRY(account_sqlite_note(database, task));
    return account_sqlite_run(database, task, statements[whose].count_unsent,
                              (int64_t[]){row, day, count}, 3);
}
