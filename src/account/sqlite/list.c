/* Table `list_entries`: who is let in or kept out, by the host, a domain or an alias. */
#include "account/database_rules.h"
#include "account/sqlite/driver.h"

/* In the order of enum account_list_kind. */
static const char *const kind_names[] = {"address", "domain", "network"};

static struct str verdict_name(enum account_list_verdict verdict)
{
    return verdict == ACCOUNT_LIST_ALLOW ? STR("allow") : STR("deny");
}

static enum account_list_verdict parse_verdict(struct str name)
{
    return str_equal(name, STR("allow")) ? ACCOUNT_LIST_ALLOW : ACCOUNT_LIST_DENY;
}

static enum account_list_kind parse_kind(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(kind_names); i++) {
        if (str_equal(name, str_from_c(kind_names[i])))
            return (enum account_list_kind)i;
    }
    return ACCOUNT_LIST_ADDRESS;
}

/* The rows of one scope; the index on the value has these very terms. */
#define IN_SCOPE " coalesce(domain_id, 0) = ?1 AND coalesce(alias_id, 0) = ?2"

/* Of a network's normal form; 0 when it has none. */
static uint32_t prefix_of(struct str value)
{
    ptrdiff_t slash = str_last_index(value, '/');
    uint32_t bits = 0;

    return slash >= 0 && parse_u32(str_from(value, (size_t)slash + 1), &bits) ? bits : 0;
}

enum err account_list_set(struct account_database *database, struct task *task,
                          const struct account_list_scope *scope,
                          const struct account_list_entry *entry)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO list_entries (domain_id, alias_id, verdict, kind, value, created,"
                   " prefix_bits) VALUES (nullif(?1, 0), nullif(?2, 0), ?3, ?4, ?5, ?6, ?7)"
                   " ON CONFLICT (value, coalesce(domain_id, 0), coalesce(alias_id, 0))"
                   " DO UPDATE SET verdict = excluded.verdict, created = excluded.created",
                   &statement));
    db_bind_int(statement, 1, scope->domain);
    db_bind_int(statement, 2, scope->alias);
    db_bind_text(statement, 3, verdict_name(entry->verdict));
    db_bind_text(statement, 4, str_from_c(kind_names[entry->kind]));
    db_bind_text(statement, 5, entry->value);
    db_bind_text(statement, 6, account_sqlite_now(task, &now));
    if (entry->kind == ACCOUNT_LIST_NETWORK)
        db_bind_int(statement, 7, prefix_of(entry->value));
    return db_run(database->db, task, statement);
}

enum err account_list_remove(struct account_database *database, struct task *task,
                             const struct account_list_scope *scope,
                             enum account_list_verdict verdict, struct str value)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   "DELETE FROM list_entries WHERE value = ?3 AND verdict = ?4 AND" IN_SCOPE,
                   &statement));
    db_bind_int(statement, 1, scope->domain);
    db_bind_int(statement, 2, scope->alias);
    db_bind_text(statement, 3, value);
    db_bind_text(statement, 4, verdict_name(verdict));
    TRY(db_run(database->db, task, statement));
    return sqlite3_changes(db_handle(database->db)) > 0
               ? ERR_OK
               : fail(task, ERR_NOT_FOUND, "no such entry");
}

/* Three texts, so that each scope is read by its own index. */
static const char *page_sql(const struct account_list_scope *scope)
{
    if (scope->alias != 0)
        return "SELECT id, verdict, kind, value, created FROM list_entries"
               " WHERE alias_id = ?1 AND verdict = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
    if (scope->domain != 0)
        return "SELECT id, verdict, kind, value, created FROM list_entries"
               " WHERE domain_id = ?1 AND verdict = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
    return "SELECT id, verdict, kind, value, created FROM list_entries WHERE domain_id IS NULL"
           " AND alias_id IS NULL AND ?1 = 0 AND verdict = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
}

enum err account_list_page(struct account_database *database, struct task *task,
                           const struct account_list_scope *scope,
                           enum account_list_verdict verdict, int64_t after,
                           struct account_list_entry **out_entries, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_list_entry *entries =
        ARENA_ARRAY(&task->arena, struct account_list_entry, ACCOUNT_PAGE_MAX);
    size_t count = 0;

    TRY(db_prepare(database->db, task, page_sql(scope), &statement));
    db_bind_int(statement, 1, scope->alias != 0 ? scope->alias : scope->domain);
    db_bind_text(statement, 2, verdict_name(verdict));
    db_bind_int(statement, 3, after);
    db_bind_int(statement, 4, ACCOUNT_PAGE_MAX);
    for (;;) {
        bool has_row = false;

        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            break;
        entries[count++] = (struct account_list_entry){
            .row = db_column_int(statement, 0),
            .verdict = parse_verdict(db_column_text(statement, 1)),
            .kind = parse_kind(db_column_text(statement, 2)),
            .value = account_sqlite_column_text(task, statement, 3),
            .created = account_sqlite_column_text(task, statement, 4),
        };
    }
    *out_entries = entries;
    *out_count = count;
    return ERR_OK;
}

enum err account_list_look_up(struct account_database *database, struct task *task,
                              const struct account_list_scope *of, struct str value,
                              struct account_list_verdicts *out_verdicts)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    *out_verdicts = (struct account_list_verdicts){ACCOUNT_LIST_NONE, ACCOUNT_LIST_NONE,
                                                   ACCOUNT_LIST_NONE};
    TRY(db_prepare(database->db, task,
                   "SELECT verdict, coalesce(domain_id, 0), coalesce(alias_id, 0)"
                   " FROM list_entries WHERE value = ?3"
                   " AND coalesce(domain_id, 0) IN (0, ?1) AND coalesce(alias_id, 0) IN (0, ?2)",
                   &statement));
    db_bind_int(statement, 1, of->domain);
    db_bind_int(statement, 2, of->alias);
    db_bind_text(statement, 3, value);
    for (;;) {
        enum account_list_verdict verdict;
        bool has_row = false;

        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        verdict = parse_verdict(db_column_text(statement, 0));
        if (db_column_int(statement, 2) != 0)
            out_verdicts->of_alias = verdict;
        else if (db_column_int(statement, 1) != 0)
            out_verdicts->of_domain = verdict;
        else
            out_verdicts->of_host = verdict;
    }
}

/* From one length to the next by the index, however many entries there are of each. */
enum err account_list_prefixes(struct account_database *database, struct task *task,
                               unsigned out_bits[ACCOUNT_PREFIXES_MAX], size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    size_t count = 0;

    TRY(db_prepare(database->db, task,
                   "WITH RECURSIVE lengths (bits) AS ("
                   " SELECT max(prefix_bits) FROM list_entries WHERE prefix_bits IS NOT NULL"
                   " UNION ALL SELECT (SELECT max(prefix_bits) FROM list_entries"
                   " WHERE prefix_bits < lengths.bits) FROM lengths WHERE bits IS NOT NULL)"
                   " SELECT bits FROM lengths WHERE bits IS NOT NULL LIMIT ?1",
                   &statement));
    db_bind_int(statement, 1, ACCOUNT_PREFIXES_MAX);
    for (;;) {
        bool has_row = false;

        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            break;
        out_bits[count++] = (unsigned)db_column_int(statement, 0);
    }
    *out_count = count;
    return ERR_OK;
}
