/* Table `dkim_keys`. */
#include "account/database_rules.h"
#include "account/sqlite/driver.h"

/* In the order of their enumerations. */
static const char *const algorithm_names[] = {"rsa", "ed25519"};
static const char *const state_names[] = {"waiting", "active", "retired"};

static size_t index_of(const char *const *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_equal(name, str_from_c(names[i])))
            return i;
    }
    return 0;
}

static enum err insert(struct account_database *database, struct task *task, int64_t domain,
                       const struct account_key *key)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO dkim_keys (domain_id, algorithm, selector, sealed, record, state,"
                   " created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                   &statement));
    db_bind_int(statement, 1, domain);
    db_bind_text(statement, 2, str_from_c(algorithm_names[key->algorithm]));
    db_bind_text(statement, 3, key->selector);
    db_bind_blob(statement, 4, key->sealed);
    db_bind_text(statement, 5, key->record);
    db_bind_text(statement, 6, str_from_c(state_names[key->state]));
    db_bind_text(statement, 7, account_sqlite_now(task, &now));
    return db_run(database->db, task, statement);
}

enum err account_key_add(struct account_database *database, struct task *task, int64_t domain,
                         const struct account_key *key)
{
    uint64_t count = 0;

    TRY(account_sqlite_number(database, task,
                              "SELECT count(*) FROM dkim_keys WHERE domain_id = ?1", domain,
                              &count));
    if (count >= ACCOUNT_KEYS_MAX)
        return fail(task, ERR_LIMIT, "the domain has %d keys already", ACCOUNT_KEYS_MAX);
    return insert(database, task, domain, key);
}

enum err account_key_list(struct account_database *database, struct task *task, int64_t domain,
                          struct account_key **out_keys, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_key *keys = ARENA_ARRAY(&task->arena, struct account_key, ACCOUNT_KEYS_MAX);
    size_t count = 0;

    TRY(db_prepare(database->db, task,
                   "SELECT id, algorithm, selector, sealed, record, state, created FROM dkim_keys"
                   " WHERE domain_id = ?1 ORDER BY id LIMIT ?2",
                   &statement));
    db_bind_int(statement, 1, domain);
    db_bind_int(statement, 2, ACCOUNT_KEYS_MAX);
    for (;;) {
        bool has_row = false;

        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            break;
        keys[count++] = (struct account_key){
            .row = db_column_int(statement, 0),
            .algorithm = (enum account_key_algorithm)index_of(
                algorithm_names, ARRAY_LEN(algorithm_names), db_column_text(statement, 1)),
            .selector = account_sqlite_column_text(task, statement, 2),
            .sealed = arena_copy(&task->arena, db_column_blob(statement, 3)),
            .record = account_sqlite_column_text(task, statement, 4),
            .state = (enum account_key_state)index_of(state_names, ARRAY_LEN(state_names),
                                                      db_column_text(statement, 5)),
            .created = account_sqlite_column_text(task, statement, 6),
        };
    }
    *out_keys = keys;
    *out_count = count;
    return ERR_OK;
}

enum err account_key_set_state(struct account_database *database, struct task *task, int64_t row,
                               enum account_key_state state)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, "UPDATE dkim_keys SET state = ?2 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, row);
    db_bind_text(statement, 2, str_from_c(state_names[state]));
    return db_run(database->db, task, statement);
}

enum err account_key_remove(struct account_database *database, struct task *task, int64_t row)
{
    return account_sqlite_run(database, task, "DELETE FROM dkim_keys WHERE id = ?1", &row, 1);
}

enum err account_key_missing(struct account_database *database, struct task *task, int64_t after,
                             int64_t *out_row, struct str *out_name)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT d.id, d.name FROM domains d WHERE d.id > ?1 AND NOT EXISTS"
                   " (SELECT 1 FROM dkim_keys k WHERE k.domain_id = d.id) ORDER BY d.id LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, after);
    TRY(db_step(database->db, task, statement, &has_row));
    *out_row = has_row ? db_column_int(statement, 0) : 0;
    if (has_row)
        *out_name = account_sqlite_column_text(task, statement, 1);
    return ERR_OK;
}
