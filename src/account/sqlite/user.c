/* Table `users`. */
#include "account/sqlite/driver.h"

enum err account_user_add(struct account_database *database, struct task *task, struct str name,
                          uint64_t quota_bytes, int64_t *out_row)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO users (name, quota_bytes, created) VALUES (?1, ?2, ?3)",
                   &statement));
    db_bind_text(statement, 1, name);
    account_sqlite_bind_quota(statement, 2, quota_bytes);
    db_bind_text(statement, 3, account_sqlite_now(task, &now));
    TRY(db_run(database->db, task, statement));
    *out_row = sqlite3_last_insert_rowid(db_handle(database->db));
    return ERR_OK;
}

/* Columns of every query here: id, name, quota_bytes, used_bytes, created. */
static struct account_user read_row(struct task *task, sqlite3_stmt *statement)
{
    return (struct account_user){
        .row = db_column_int(statement, 0),
        .name = account_sqlite_column_text(task, statement, 1),
        .quota_bytes = account_sqlite_column_quota(statement, 2),
        .used_bytes = account_sqlite_column_size(statement, 3),
        .created = account_sqlite_column_text(task, statement, 4),
    };
}

enum err account_user_find(struct account_database *database, struct task *task, struct str name,
                           struct account_user *out_user)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT id, name, quota_bytes, used_bytes, created FROM users WHERE name = ?1",
                   &statement));
    db_bind_text(statement, 1, name);
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such user");
    *out_user = read_row(task, statement);
    return ERR_OK;
}

enum err account_user_count(struct account_database *database, struct task *task, int64_t user,
                            uint64_t *out_domains, uint64_t *out_mailboxes)
{
    TRY(account_sqlite_number(database, task, "SELECT count(*) FROM domains WHERE user_id = ?1",
                              user, out_domains));
    return account_sqlite_number(database, task,
                                 "SELECT count(*) FROM mailboxes WHERE user_id = ?1", user,
                                 out_mailboxes);
}

enum err account_user_list(struct account_database *database, struct task *task, struct str after,
                           struct account_user **out_users, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_user *users = ARENA_ARRAY(&task->arena, struct account_user, ACCOUNT_PAGE_MAX);
    size_t count = 0;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT id, name, quota_bytes, used_bytes, created FROM users"
                   " WHERE name > ?1 ORDER BY name LIMIT ?2",
                   &statement));
    db_bind_text(statement, 1, after);
    db_bind_int(statement, 2, ACCOUNT_PAGE_MAX);
    for (;;) {
        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            break;
        users[count++] = read_row(task, statement);
    }
    *out_users = users;
    *out_count = count;
    return ERR_OK;
}

enum err account_user_set_quota(struct account_database *database, struct task *task, int64_t user,
                                uint64_t quota_bytes)
{
    return account_sqlite_set_quota(
        database, task, "UPDATE users SET quota_bytes = ?2 WHERE id = ?1", user, quota_bytes);
}
