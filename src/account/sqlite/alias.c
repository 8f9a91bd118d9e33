/* Table `aliases`: addresses, and the mailboxes that they lead to. */
#include "account/sqlite/driver.h"

static enum err insert(struct account_database *database, struct task *task, int64_t domain,
                       struct str local, int64_t mailbox, int64_t pattern_order)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO aliases (domain_id, local_part, mailbox_id, created,"
                   " pattern_order) VALUES (?1, ?2, ?3, ?4, ?5)",
                   &statement));
    db_bind_int(statement, 1, domain);
    db_bind_text(statement, 2, local);
    if (mailbox != 0)
        db_bind_int(statement, 3, mailbox);
    db_bind_text(statement, 4, account_sqlite_now(task, &now));
    if (pattern_order != 0)
        db_bind_int(statement, 5, pattern_order);
    return db_run(database->db, task, statement);
}

enum err account_alias_add(struct account_database *database, struct task *task, int64_t domain,
                           struct str local, int64_t mailbox)
{
    return insert(database, task, domain, local, mailbox, 0);
}

enum err account_alias_add_pattern(struct account_database *database, struct task *task,
                                   int64_t domain, struct str local, int64_t mailbox)
{
    uint64_t count = 0, last = 0;

    TRY(account_sqlite_number(database, task,
                              "SELECT count(*) FROM aliases"
                              " WHERE domain_id = ?1 AND pattern_order IS NOT NULL",
                              domain, &count));
    if (count >= ACCOUNT_PATTERNS_MAX)
        return fail(task, ERR_LIMIT, "the domain has %d regular expressions already",
                    ACCOUNT_PATTERNS_MAX);
    TRY(account_sqlite_number(database, task,
                              "SELECT max(pattern_order) FROM aliases"
                              " WHERE domain_id = ?1 AND pattern_order IS NOT NULL",
                              domain, &last));
    return insert(database, task, domain, local, mailbox, account_sqlite_size(last) + 1);
}

#define ALIAS_COLUMNS                                                                              \
    "SELECT a.id, a.domain_id, a.local_part, d.name, a.mailbox_id, m.object_id, a.is_enabled,"     \
    " a.created, a.pattern_order IS NOT NULL, a.is_storing, a.has_routes, a.files_junk,"           \
    " a.disabled_answer FROM aliases a JOIN domains d ON d.id = a.domain_id"                       \
    " LEFT JOIN mailboxes m ON m.id = a.mailbox_id"

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
        .is_pattern = db_column_int(statement, 8) != 0,
        .is_storing = db_column_int(statement, 9) != 0,
        .has_routes = db_column_int(statement, 10) != 0,
        .files_junk = db_column_int(statement, 11) != 0,
        .disabled_answer = (unsigned)db_column_int(statement, 12),
    };

    if (alias.mailbox != 0 && !id_parse(db_column_text(statement, 5), &alias.mailbox_id))
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

/* `sql` takes domain and local part. */
static enum err find(struct account_database *database, struct task *task, const char *sql,
                     int64_t domain, struct str local, struct account_alias *out_alias)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task, sql, &statement));
    db_bind_int(statement, 1, domain);
    db_bind_text(statement, 2, local);
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such alias");
    return read_row(task, statement, out_alias);
}

enum err account_alias_find(struct account_database *database, struct task *task, int64_t domain,
                            struct str local, struct account_alias *out_alias)
{
    return find(database, task,
                ALIAS_COLUMNS " WHERE a.domain_id = ?1 AND a.local_part = ?2"
                              " AND a.pattern_order IS NULL",
                domain, local, out_alias);
}

enum err account_alias_find_pattern(struct account_database *database, struct task *task,
                                    int64_t domain, struct str local,
                                    struct account_alias *out_alias)
{
    return find(database, task,
                ALIAS_COLUMNS " WHERE a.domain_id = ?1 AND a.local_part = ?2"
                              " AND a.pattern_order IS NOT NULL",
                domain, local, out_alias);
}

_Static_assert((int)ACCOUNT_PATTERNS_MAX <= (int)ACCOUNT_PAGE_MAX, "they fit into a page");

enum err account_alias_patterns(struct account_database *database, struct task *task,
                                int64_t domain, struct account_alias **out_aliases,
                                size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   ALIAS_COLUMNS " WHERE a.domain_id = ?1 AND a.pattern_order IS NOT NULL"
                                 " ORDER BY a.pattern_order LIMIT ?2",
                   &statement));
    db_bind_int(statement, 1, domain);
    db_bind_int(statement, 2, ACCOUNT_PATTERNS_MAX);
    return read_page(database, task, statement, out_aliases, out_count);
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
                                   int64_t row, bool is_enabled, unsigned answer)
{
    return account_sqlite_run(
        database, task, "UPDATE aliases SET is_enabled = ?2, disabled_answer = ?3 WHERE id = ?1",
        (int64_t[]){row, is_enabled, answer}, 3);
}

enum err account_alias_set_mailbox(struct account_database *database, struct task *task,
                                   int64_t row, int64_t mailbox)
{
    return account_sqlite_run(database, task, "UPDATE aliases SET mailbox_id = ?2 WHERE id = ?1",
                              (int64_t[]){row, mailbox}, 2);
}

enum err account_alias_set_storing(struct account_database *database, struct task *task,
                                   int64_t row, bool is_storing)
{
    return account_sqlite_run(database, task, "UPDATE aliases SET is_storing = ?2 WHERE id = ?1",
                              (int64_t[]){row, is_storing}, 2);
}

enum err account_alias_set_junk(struct account_database *database, struct task *task, int64_t row,
                                bool files_junk)
{
    return account_sqlite_run(database, task, "UPDATE aliases SET files_junk = ?2 WHERE id = ?1",
                              (int64_t[]){row, files_junk}, 2);
}

enum err account_alias_remove(struct account_database *database, struct task *task, int64_t row)
{
    static const char *const statements[] = {
        "DELETE FROM alias_targets WHERE alias_id = ?1",
        "DELETE FROM alias_vacations WHERE alias_id = ?1",
        "DELETE FROM list_entries WHERE alias_id = ?1",
        "DELETE FROM aliases WHERE id = ?1",
    };

    for (size_t i = 0; i < ARRAY_LEN(statements); i++)
        TRY(account_sqlite_run(database, task, statements[i], &row, 1));
    return ERR_OK;
}
