/* Opening, transactions and the small things all tables need. */
#include "account/sqlite/driver.h"

#include "base/memory.h"
#include "secret/crypt.h"

#include <assert.h>
#include <string.h>

static const char schema_0001[] =
#include "0001.sql.inc"
    ;

static const char schema_0002[] =
#include "0002.sql.inc"
    ;

static const char schema_0003[] =
#include "0003.sql.inc"
    ;

static const char schema_0004[] =
#include "0004.sql.inc"
    ;
static const char schema_0005[] =
#include "0005.sql.inc"
    ;

static const char schema_0006[] =
#include "0006.sql.inc"
    ;

static const char *const migrations[] = {schema_0001, schema_0002, schema_0003,
                                         schema_0004, schema_0005, schema_0006};

struct secret *account_database_key(const struct secret *host_key)
{
    /* The salt is derived like the key, not random: so it is known even where a crash left a log
     * and no first page yet. */
    CLEANUP(secret_free) struct secret *key = crypt_derive(host_key, STR("account"), STR("key"));
    CLEANUP(secret_free) struct secret *salt = crypt_derive(host_key, STR("account"), STR("salt"));
    struct secret *both = secret_new(MAILBOX_KEY_BYTES);

    memcpy(secret_bytes(both), secret_str(key).ptr, CRYPT_KEY_BYTES);
    memcpy(secret_bytes(both) + CRYPT_KEY_BYTES, secret_str(salt).ptr, MAILBOX_SALT_BYTES);
    return both;
}

enum err account_database_open(struct task *task, const char *path, const struct secret *key,
                               struct account_database **out_database)
{
    CLEANUP(account_database_close) struct account_database *database =
        NEW(struct account_database);

    database->path = mem_copy_text(path, strlen(path));
    database->key = secret_copy(secret_str(key));
    TRY(db_open(task, path, DB_OPEN_CREATE, key, &database->db));
    TRY(db_migrate(database->db, task, migrations, ARRAY_LEN(migrations)));
    *out_database = database;
    database = NULL;
    return ERR_OK;
}

void account_database_close(struct account_database **database)
{
    if (*database == NULL)
        return;
    if ((*database)->db != NULL) {
        if ((*database)->is_transacting)
            account_rollback(*database);
        if ((*database)->is_noting) {
            struct task task;

            task_init(&task, clock_now_ms());
            if (account_flush(*database, &task) != ERR_OK)
                db_rollback((*database)->db); /* bookkeeping: reported again */
            task_done(&task);
        }
        db_close(&(*database)->db);
    }
    mem_free(&(*database)->path);
    secret_free(&(*database)->key);
    mem_free(database);
}

enum err account_database_recover(struct account_database *database, struct task *task)
{
    struct db *fresh = NULL;

    if (!db_is_broken(database->db))
        return ERR_OK;
    /* The old one stays until then: it refuses everything, which is what callers expect. */
    TRY(db_open(task, database->path, DB_OPEN, database->key, &fresh));
    database->is_noting = false;
    database->is_transacting = false;
    db_close(&database->db);
    database->db = fresh;
    return ERR_OK;
}

enum err account_begin(struct account_database *database, struct task *task)
{
    assert(!database->is_transacting);
    TRY(account_flush(database, task));
    TRY(db_begin(database->db, task));
    database->is_transacting = true;
    return ERR_OK;
}

enum err account_commit(struct account_database *database, struct task *task)
{
    enum err err;

    assert(database->is_transacting);
    err = db_commit(database->db, task, true);
    if (err != ERR_OK)
        db_rollback(database->db);
    database->is_transacting = false;
    return err;
}

void account_rollback(struct account_database *database)
{
    if (!database->is_transacting)
        return;
    db_rollback(database->db);
    database->is_transacting = false;
}

enum err account_flush(struct account_database *database, struct task *task)
{
    enum err err;

    if (!database->is_noting)
        return ERR_OK;
    database->is_noting = false;
    err = db_commit(database->db, task, false);
    if (err != ERR_OK)
        db_rollback(database->db);
    return err;
}

enum err account_sqlite_note(struct account_database *database, struct task *task)
{
    if (database->is_noting || database->is_transacting)
        return ERR_OK;
    TRY(db_begin(database->db, task));
    database->is_noting = true;
    return ERR_OK;
}

struct str account_sqlite_now(const struct task *task, struct account_sqlite_time *room)
{
    clock_format_iso(task->now_ms, room->text);
    return str_from_c(room->text);
}

int64_t account_sqlite_size(uint64_t bytes)
{
    return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

void account_sqlite_bind_quota(sqlite3_stmt *statement, int index, uint64_t quota_bytes)
{
    if (quota_bytes == ACCOUNT_UNLIMITED)
        db_bind_null(statement, index);
    else
        db_bind_int(statement, index, account_sqlite_size(quota_bytes));
}

enum err account_sqlite_set_quota(struct account_database *database, struct task *task,
                                  const char *sql, int64_t row, uint64_t quota_bytes)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, sql, &statement));
    db_bind_int(statement, 1, row);
    account_sqlite_bind_quota(statement, 2, quota_bytes);
    return db_run(database->db, task, statement);
}

uint64_t account_sqlite_column_quota(sqlite3_stmt *statement, int column)
{
    if (db_column_is_null(statement, column))
        return ACCOUNT_UNLIMITED;
    return account_sqlite_column_size(statement, column);
}

uint64_t account_sqlite_column_size(sqlite3_stmt *statement, int column)
{
    int64_t value = db_column_int(statement, column);

    return value < 0 ? 0 : (uint64_t)value;
}

struct str account_sqlite_column_text(struct task *task, sqlite3_stmt *statement, int column)
{
    return arena_copy(&task->arena, db_column_text(statement, column));
}

enum err account_sqlite_run(struct account_database *database, struct task *task, const char *sql,
                            const int64_t *values, size_t count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, sql, &statement));
    for (size_t i = 0; i < count; i++)
        db_bind_int(statement, (int)i + 1, values[i]);
    return db_run(database->db, task, statement);
}

enum err account_sqlite_number(struct account_database *database, struct task *task,
                               const char *sql, int64_t value, uint64_t *out_number)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task, sql, &statement));
    if (sqlite3_bind_parameter_count(statement) > 0)
        db_bind_int(statement, 1, value);
    TRY(db_step(database->db, task, statement, &has_row));
    *out_number = has_row ? account_sqlite_column_size(statement, 0) : 0;
    return ERR_OK;
}

enum err account_totals(struct account_database *database, struct task *task,
                        struct account_totals *out_totals)
{
    struct account_totals totals;

    TRY(account_sqlite_number(database, task, "SELECT count(*) FROM users", 0, &totals.users));
    TRY(account_sqlite_number(database, task, "SELECT count(*) FROM domains", 0,
                              &totals.domains));
    TRY(account_sqlite_number(database, task, "SELECT count(*) FROM aliases", 0,
                              &totals.aliases));
    TRY(account_sqlite_number(database, task, "SELECT count(*) FROM mailboxes", 0,
                              &totals.mailboxes));
    TRY(account_sqlite_number(database, task,
                              "SELECT count(*) FROM mailboxes WHERE state <> 'active'", 0,
                              &totals.unfinished));
    TRY(account_sqlite_number(database, task, "SELECT coalesce(sum(used_bytes), 0) FROM users", 0,
                              &totals.used_bytes));
    *out_totals = totals;
    return ERR_OK;
}
