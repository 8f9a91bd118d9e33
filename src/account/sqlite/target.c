/* Tables `alias_targets` and `alias_vacations`. aliases.has_routes follows what they hold. */
#include "account/database_rules.h"
#include "account/sqlite/driver.h"

/* In the order of enum account_target_kind. */
static const char *const kind_names[] = {"forward", "webhook"};

static struct str kind_name(enum account_target_kind kind)
{
    return str_from_c(kind_names[kind]);
}

static enum err note_routes(struct account_database *database, struct task *task, int64_t alias)
{
    return account_sqlite_run(
        database, task,
        "UPDATE aliases SET has_routes = EXISTS (SELECT 1 FROM alias_targets WHERE alias_id = ?1)"
        " OR EXISTS (SELECT 1 FROM alias_vacations WHERE alias_id = ?1) WHERE id = ?1",
        &alias, 1);
}

enum err account_target_list(struct account_database *database, struct task *task, int64_t alias,
                             struct account_target_row **out_targets, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_target_row *targets =
        ARENA_ARRAY(&task->arena, struct account_target_row, ACCOUNT_TARGETS_MAX);
    size_t count = 0;

    TRY(db_prepare(database->db, task,
                   "SELECT id, kind, target, secret, is_raw, created FROM alias_targets"
                   " WHERE alias_id = ?1 ORDER BY id LIMIT ?2",
                   &statement));
    db_bind_int(statement, 1, alias);
    db_bind_int(statement, 2, ACCOUNT_TARGETS_MAX);
    for (;;) {
        bool has_row = false;

        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            break;
        targets[count++] = (struct account_target_row){
            .row = db_column_int(statement, 0),
            .kind = str_equal(db_column_text(statement, 1), kind_name(ACCOUNT_TARGET_FORWARD))
                        ? ACCOUNT_TARGET_FORWARD
                        : ACCOUNT_TARGET_WEBHOOK,
            .text = account_sqlite_column_text(task, statement, 2),
            .secret = account_sqlite_column_text(task, statement, 3),
            .is_raw = db_column_int(statement, 4) != 0,
            .created = account_sqlite_column_text(task, statement, 5),
        };
    }
    *out_targets = targets;
    *out_count = count;
    return ERR_OK;
}

static enum err insert_target(struct account_database *database, struct task *task, int64_t alias,
                              const struct account_target_row *target)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO alias_targets (alias_id, kind, target, secret, is_raw, created)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                   &statement));
    db_bind_int(statement, 1, alias);
    db_bind_text(statement, 2, kind_name(target->kind));
    db_bind_text(statement, 3, target->text);
    if (target->secret.len > 0)
        db_bind_text(statement, 4, target->secret);
    db_bind_int(statement, 5, target->is_raw);
    db_bind_text(statement, 6, account_sqlite_now(task, &now));
    return db_run(database->db, task, statement);
}

enum err account_target_add(struct account_database *database, struct task *task, int64_t alias,
                            const struct account_target_row *target)
{
    uint64_t count = 0;

    TRY(account_sqlite_number(database, task,
                              "SELECT count(*) FROM alias_targets WHERE alias_id = ?1", alias,
                              &count));
    if (count >= ACCOUNT_TARGETS_MAX)
        return fail(task, ERR_LIMIT, "the alias has %d targets already", ACCOUNT_TARGETS_MAX);
    TRY(insert_target(database, task, alias, target));
    return note_routes(database, task, alias);
}

enum err account_target_remove(struct account_database *database, struct task *task, int64_t alias,
                               enum account_target_kind kind, struct str text)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   "DELETE FROM alias_targets WHERE alias_id = ?1 AND kind = ?2 AND target = ?3",
                   &statement));
    db_bind_int(statement, 1, alias);
    db_bind_text(statement, 2, kind_name(kind));
    db_bind_text(statement, 3, text);
    TRY(db_run(database->db, task, statement));
    if (sqlite3_changes(db_handle(database->db)) == 0)
        return fail(task, ERR_NOT_FOUND, "no such target");
    return note_routes(database, task, alias);
}

/* A time, NULL for `otherwise`. */
static int64_t column_time(sqlite3_stmt *statement, int column, int64_t otherwise)
{
    int64_t ms;

    if (db_column_is_null(statement, column) ||
        !clock_parse_iso(db_column_text(statement, column), &ms))
        return otherwise;
    return ms;
}

enum err account_vacation_find(struct account_database *database, struct task *task, int64_t alias,
                               struct account_vacation *out_vacation)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT subject, body, starts, ends FROM alias_vacations WHERE alias_id = ?1",
                   &statement));
    db_bind_int(statement, 1, alias);
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no vacation reply");
    *out_vacation = (struct account_vacation){
        .subject = account_sqlite_column_text(task, statement, 0),
        .text = account_sqlite_column_text(task, statement, 1),
        .starts_ms = column_time(statement, 2, INT64_MIN),
        .ends_ms = column_time(statement, 3, INT64_MAX),
    };
    return ERR_OK;
}

enum err account_vacation_set(struct account_database *database, struct task *task, int64_t alias,
                              const struct account_vacation *vacation)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char starts[CLOCK_ISO_ROOM], ends[CLOCK_ISO_ROOM];

    TRY(db_prepare(database->db, task,
                   "INSERT INTO alias_vacations (alias_id, subject, body, starts, ends)"
                   " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (alias_id) DO UPDATE SET"
                   " subject = excluded.subject, body = excluded.body,"
                   " starts = excluded.starts, ends = excluded.ends",
                   &statement));
    db_bind_int(statement, 1, alias);
    db_bind_text(statement, 2, vacation->subject);
    db_bind_text(statement, 3, vacation->text);
    if (vacation->starts_ms != INT64_MIN) {
        clock_format_iso(vacation->starts_ms, starts);
        db_bind_text(statement, 4, str_from_c(starts));
    }
    if (vacation->ends_ms != INT64_MAX) {
        clock_format_iso(vacation->ends_ms, ends);
        db_bind_text(statement, 5, str_from_c(ends));
    }
    TRY(db_run(database->db, task, statement));
    return note_routes(database, task, alias);
}

enum err account_vacation_remove(struct account_database *database, struct task *task,
                                 int64_t alias)
{
    TRY(account_sqlite_run(database, task, "DELETE FROM alias_vacations WHERE alias_id = ?1",
                           &alias, 1));
    return note_routes(database, task, alias);
}
