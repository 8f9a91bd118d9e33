/* Table `domains`. */
#include "account/sqlite/driver.h"

enum err account_domain_add(struct account_database *database, struct task *task, struct str name,
                            int64_t user, uint64_t quota_bytes)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO domains (name, user_id, quota_bytes, created)"
                   " VALUES (?1, ?2, ?3, ?4)",
                   &statement));
    db_bind_text(statement, 1, name);
    db_bind_int(statement, 2, user);
    account_sqlite_bind_quota(statement, 3, quota_bytes);
    db_bind_text(statement, 4, account_sqlite_now(task, &now));
    return db_run(database->db, task, statement);
}

#define DOMAIN_COLUMNS                                                                             \
    "SELECT d.id, d.name, d.user_id, u.name, d.quota_bytes, d.used_bytes, d.created,"              \
    " d.requires_tls FROM domains d JOIN users u ON u.id = d.user_id"

static struct account_domain read_row(struct task *task, sqlite3_stmt *statement)
{
    return (struct account_domain){
        .row = db_column_int(statement, 0),
        .name = account_sqlite_column_text(task, statement, 1),
        .user = db_column_int(statement, 2),
        .user_name = account_sqlite_column_text(task, statement, 3),
        .quota_bytes = account_sqlite_column_quota(statement, 4),
        .used_bytes = account_sqlite_column_size(statement, 5),
        .created = account_sqlite_column_text(task, statement, 6),
        .requires_tls = db_column_int(statement, 7) != 0,
    };
}

enum err account_domain_find(struct account_database *database, struct task *task,
                             struct str name, struct account_domain *out_domain)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task, DOMAIN_COLUMNS " WHERE d.name = ?1", &statement));
    db_bind_text(statement, 1, name);
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such domain");
    *out_domain = read_row(task, statement);
    return ERR_OK;
}

enum err account_domain_count(struct account_database *database, struct task *task, int64_t domain,
                              uint64_t *out_aliases)
{
    return account_sqlite_number(database, task,
                                 "SELECT count(*) FROM aliases WHERE domain_id = ?1", domain,
                                 out_aliases);
}

enum err account_domain_row(struct account_database *database, struct task *task, struct str name,
                            int64_t *out_row)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task, "SELECT id FROM domains WHERE name = ?1", &statement));
    db_bind_text(statement, 1, name);
    TRY(db_step(database->db, task, statement, &has_row));
    *out_row = has_row ? db_column_int(statement, 0) : 0;
    return ERR_OK;
}

enum err account_domain_facts(struct account_database *database, struct task *task,
                              struct str name, struct account_domain_facts *out_facts)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT d.id, d.requires_tls, EXISTS (SELECT 1 FROM aliases a"
                   " WHERE a.domain_id = d.id AND a.pattern_order IS NOT NULL),"
                   " EXISTS (SELECT 1 FROM list_entries) FROM domains d WHERE d.name = ?1",
                   &statement));
    db_bind_text(statement, 1, name);
    TRY(db_step(database->db, task, statement, &has_row));
    *out_facts = (struct account_domain_facts){.row = 0};
    if (has_row) {
        out_facts->row = db_column_int(statement, 0);
        out_facts->requires_tls = db_column_int(statement, 1) != 0;
        out_facts->has_patterns = db_column_int(statement, 2) != 0;
        out_facts->has_lists = db_column_int(statement, 3) != 0;
    }
    return ERR_OK;
}

enum err account_domain_first(struct account_database *database, struct task *task,
                              struct str *out_name)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task, "SELECT name FROM domains ORDER BY id LIMIT 1",
                   &statement));
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "there is no domain");
    *out_name = account_sqlite_column_text(task, statement, 0);
    return ERR_OK;
}

enum err account_domain_set_requires_tls(struct account_database *database, struct task *task,
                                         int64_t domain, bool requires_tls)
{
    return account_sqlite_run(database, task,
                              "UPDATE domains SET requires_tls = ?2 WHERE id = ?1",
                              (int64_t[]){domain, requires_tls}, 2);
}

enum err account_domain_list(struct account_database *database, struct task *task,
                             struct str after, struct account_domain **out_domains,
                             size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_domain *domains =
        ARENA_ARRAY(&task->arena, struct account_domain, ACCOUNT_PAGE_MAX);
    size_t count = 0;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   DOMAIN_COLUMNS " WHERE d.name > ?1 ORDER BY d.name LIMIT ?2", &statement));
    db_bind_text(statement, 1, after);
    db_bind_int(statement, 2, ACCOUNT_PAGE_MAX);
    for (;;) {
        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            break;
        domains[count++] = read_row(task, statement);
    }
    *out_domains = domains;
    *out_count = count;
    return ERR_OK;
}

enum err account_domain_set_quota(struct account_database *database, struct task *task,
                                  int64_t domain, uint64_t quota_bytes)
{
    return account_sqlite_set_quota(
        database, task, "UPDATE domains SET quota_bytes = ?2 WHERE id = ?1", domain, quota_bytes);
}
