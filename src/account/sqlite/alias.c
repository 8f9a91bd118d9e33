/* Table `aliases`: addresses and the mailboxes they lead to. */
#include "account/sqlite/driver.h"

enum err account_alias_add(struct account_database *database, struct task *task, int64_t domain,
                           struct str local, int64_t mailbox)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO aliases (domain_id, local_part, mailbox_id, created)"
                   " VALUES (?1, ?2, ?3, ?4)",
                   &statement));
    db_bind_int(statement, 1, domain);
    db_bind_text(statement, 2, local);
    db_bind_int(statement, 3, mailbox);
    db_bind_text(statement, 4, account_sqlite_now(task, &now));
    return db_run(database->db, task, statement);
}

#define ALIAS_COLUMNS                                                                              \
    "SELECT a.id, a.domain_id, a.local_part, d.name, a.mailbox_id, m.object_id, a.is_enabled,"     \
    " a.created FROM aliases a JOIN domains d ON d.id = a.domain_id"                               \
    " JOIN mailboxes m ON m.id = a.mailbox_id"

static enum err read_row(struct task *task, sqlite3_stmt *statement,
                         struct account_alias *out_alias)
{
    struct account_alias alias = {
        .row = db_column_int(statement, 0),
        .domain = db_column_int(statement, 1),
        .local = account_sqlite_column_text(task, statement, 2),
        .domain_name = account_sqlite_column_text(task, statement, 3),
        .mailbox = db_column_int(statement, 4),
        .is_enabled = db_column_int(statement, 6) != 0,
        .created = account_sqlite_column_text(task, statement, 7),
    };

    if (!id_parse(db_column_text(statement, 5), &alias.mailbox_id))
        return fail(task, ERR_CORRUPT, "account database: a mailbox has no valid id");
    *out_alias = alias;
    return ERR_OK;
}

/* All rows of a bound statement; the caller limited them to ACCOUNT_PAGE_MAX. */
static enum err read_page(struct account_database *database, struct task *task,
                          sqlite3_stmt *statement, struct account_alias **out_aliases,
                          size_t *out_count)
{
    struct account_alias *aliases =
        ARENA_ARRAY(&task->arena, struct account_alias, ACCOUNT_PAGE_MAX);
    size_t count = 0;
    bool has_row = false;

    for (;;) {
        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            break;
        TRY(read_row(task, statement, &aliases[count]));
        count++;
    }
    *out_aliases = aliases;
    *out_count = count;
    return ERR_OK;
}

enum err account_alias_find(struct account_database *database, struct task *task, int64_t domain,
                            struct str local, struct account_alias *out_alias)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   ALIAS_COLUMNS " WHERE a.domain_id = ?1 AND a.local_part = ?2", &statement));
    db_bind_int(statement, 1, domain);
    db_bind_text(statement, 2, local);
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such alias");
    return read_row(task, statement, out_alias);
}

static enum err list_domain(struct account_database *database, struct task *task, int64_t domain,
                            struct str after, struct account_alias **out_aliases,
                            size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   ALIAS_COLUMNS " WHERE a.domain_id = ?1 AND a.local_part > ?2"
                                 " ORDER BY a.local_part LIMIT ?3",
                   &statement));
    db_bind_int(statement, 1, domain);
    db_bind_text(statement, 2, after);
    db_bind_int(statement, 3, ACCOUNT_PAGE_MAX);
    return read_page(database, task, statement, out_aliases, out_count);
}

static enum err list_all(struct account_database *database, struct task *task, int64_t after,
                         struct account_alias **out_aliases, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, ALIAS_COLUMNS " WHERE a.id > ?1 ORDER BY a.id LIMIT ?2",
                   &statement));
    db_bind_int(statement, 1, after);
    db_bind_int(statement, 2, ACCOUNT_PAGE_MAX);
    return read_page(database, task, statement, out_aliases, out_count);
}

enum err account_alias_list(struct account_database *database, struct task *task, int64_t domain,
                            struct str after, struct account_alias **out_aliases,
                            size_t *out_count, struct str *out_next)
{
    struct str next = STR("");

    if (domain != 0) {
        TRY(list_domain(database, task, domain, after, out_aliases, out_count));
        if (*out_count == ACCOUNT_PAGE_MAX)
            next = (*out_aliases)[*out_count - 1].local;
    } else {
        int64_t row = 0;

        if (after.len > 0 && !parse_i64(after, &row))
            return fail(task, ERR_INVALID, "the list does not go on from there");
        TRY(list_all(database, task, row, out_aliases, out_count));
        if (*out_count == ACCOUNT_PAGE_MAX)
            next = arena_printf(&task->arena, "%lld",
                                (long long)(*out_aliases)[*out_count - 1].row);
    }
    *out_next = next;
    return ERR_OK;
}

enum err account_alias_list_mailbox(struct account_database *database, struct task *task,
                                    int64_t mailbox, struct account_alias **out_aliases,
                                    size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   ALIAS_COLUMNS " WHERE a.mailbox_id = ?1 ORDER BY a.id LIMIT ?2", &statement));
    db_bind_int(statement, 1, mailbox);
    db_bind_int(statement, 2, ACCOUNT_PAGE_MAX);
    return read_page(database, task, statement, out_aliases, out_count);
}

enum err account_alias_set_enabled(struct account_database *database, struct task *task,
                                   int64_t row, bool is_enabled)
{
    return account_sqlite_run(database, task, "UPDATE aliases SET is_enabled = ?2 WHERE id = ?1",
                              (int64_t[]){row, is_enabled}, 2);
}

enum err account_alias_set_mailbox(struct account_database *database, struct task *task,
                                   int64_t row, int64_t mailbox)
{
    return account_sqlite_run(database, task, "UPDATE aliases SET mailbox_id = ?2 WHERE id = ?1",
                              (int64_t[]){row, mailbox}, 2);
}

enum err account_alias_remove(struct account_database *database, struct task *task, int64_t row)
{
    return account_sqlite_run(database, task, "DELETE FROM aliases WHERE id = ?1", &row, 1);
}
