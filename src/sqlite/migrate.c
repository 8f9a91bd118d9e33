/*
 * Migrations, and the comparison of the live schema with the expected one.
 *
 * The expected schema is what all migrations give on an empty database in memory. Building that
 * costs more than all else about opening, so a schema that passed leaves its mark: PRAGMA
 * application_id holds a hash over the schema's own text and the migrations, and while it still
 * fits nothing needs to be compared.
 *
 * Comparing works on what SQLite reports of the tables (columns, types, NOT NULL, defaults, keys,
 * indexes, foreign keys), and on the normalised text for what it does not report (CHECK,
 * collations, virtual tables, triggers). A missing index, and a missing column that may be NULL,
 * are added.
 */
#include "sqlite/db.h"

#include "base/buf.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static enum err query_int(struct db *db, struct task *task, const char *sql, int64_t *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(db, task, sql, &statement));
    TRY(db_step(db, task, statement, &has_row));
    *out = has_row ? db_column_int(statement, 0) : 0;
    return ERR_OK;
}

/* PRAGMAs take no parameters, so the number is printed into the text; nothing else ever is. */
static enum err set_pragma(struct db *db, struct task *task, const char *format, int64_t value)
{
    char sql[64];

    snprintf(sql, sizeof(sql), format, value);
    return db_execute(db, task, sql);
}

/* FNV-1a. Against mistakes, not against an adversary: the file is authenticated. */
static uint64_t hash_add(uint64_t hash, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * UINT64_C(0x100000001b3);
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

/* The mark of the present schema under these migrations: 31 bits, not zero. */
static enum err schema_mark(struct db *db, struct task *task, const char *const *migrations,
                            size_t migration_count, int64_t *out_mark)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    bool has_row;

    for (size_t i = 0; i < migration_count; i++)
        hash = hash_add(hash, str_from_c(migrations[i]));
    TRY(db_prepare(db, task,
                   "SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY name, type",
                   &statement));
    for (;;) {
        TRY(db_step(db, task, statement, &has_row));
        if (!has_row)
            break;
        for (int column = 0; column < 3; column++)
            hash = hash_add(hash, db_column_text(statement, column));
    }
    *out_mark = (int64_t)((hash ^ hash >> 32) & 0x7fffffff) | 1;
    return ERR_OK;
}

/* --- Comparing --- */

struct comparison {
    struct db *live;
    struct db *expected;
    struct task *task;
    size_t added;
    bool is_reading; /* nothing is added: what is missing is an error */
};

/* The text of a statement without white space, quotes and case, in which two spellings agree. */
static struct str normalise(struct arena *arena, struct str sql)
{
    char *out = arena_alloc(arena, sql.len + 1, 1);
    size_t len = 0;

    for (size_t i = 0; i < sql.len; i++) {
        char c = sql.ptr[i];

        if (c == '-' && i + 1 < sql.len && sql.ptr[i + 1] == '-') {
            while (i < sql.len && sql.ptr[i] != '\n')
                i++;
            continue;
        }
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '"')
            continue;
        out[len++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return str_make(out, len);
}

/* All rows of a query with one text parameter, each as one text "a|b|c", in the task's arena. */
static enum err rows_of(struct db *db, struct task *task, const char *sql, struct str parameter,
                        struct str **out_rows, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct str *rows = NULL;
    size_t count = 0, room = 0;
    bool has_row;

    TRY(db_prepare(db, task, sql, &statement));
    db_bind_text(statement, 1, parameter);
    for (;;) {
        TRY(db_step(db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == room)
            rows = arena_grow(&task->arena, rows, &room, 16, sizeof(*rows));
        rows[count++] = arena_copy(&task->arena, db_column_text(statement, 0));
    }
    *out_rows = rows;
    *out_count = count;
    return ERR_OK;
}

static bool has_row_text(const struct str *rows, size_t count, struct str text)
{
    for (size_t i = 0; i < count; i++) {
        if (str_equal(rows[i], text))
            return true;
    }
    return false;
}

static const char column_names_sql[] = "SELECT name FROM pragma_table_xinfo(?1) ORDER BY cid";
static const char column_facts_sql[] =
    "SELECT name || '|' || upper(type) || '|' || \"notnull\" || '|' || coalesce(dflt_value, '') "
    "|| '|' || pk || '|' || hidden FROM pragma_table_xinfo(?1) ORDER BY cid";
static const char column_addable_sql[] =
    "SELECT name FROM pragma_table_xinfo(?1) WHERE \"notnull\" = 0 AND pk = 0 AND hidden = 0";
static const char column_type_sql[] =
    "SELECT name || ' ' || type || CASE WHEN dflt_value IS NULL THEN '' ELSE ' DEFAULT ' "
    "|| dflt_value END FROM pragma_table_xinfo(?1) WHERE name = ?2";
static const char foreign_keys_sql[] =
    "SELECT \"from\" || '|' || \"table\" || '|' || coalesce(\"to\", '') || '|' || on_delete "
    "FROM pragma_foreign_key_list(?1)";
static const char objects_sql[] =
    "SELECT name FROM sqlite_schema WHERE type = ?1 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    "ORDER BY name";
static const char object_sql[] = "SELECT coalesce(sql, '') FROM sqlite_schema WHERE name = ?1";

static enum err add_column(struct comparison *c, struct str table, struct str column)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct str alter;
    bool has_row;

    TRY(db_prepare(c->expected, c->task, column_type_sql, &statement));
    db_bind_text(statement, 1, table);
    db_bind_text(statement, 2, column);
    TRY(db_step(c->expected, c->task, statement, &has_row));
    if (!has_row)
        return fail(c->task, ERR_CORRUPT, "schema: column vanished");
    /* The names are those of our own schema files. */
    alter = arena_printf(&c->task->arena, "ALTER TABLE %.*s ADD COLUMN %.*s", STR_ARG(table),
                         STR_ARG(db_column_text(statement, 0)));
    TRY(db_execute(c->live, c->task, alter.ptr));
    c->added++;
    return ERR_OK;
}

static enum err compare_columns(struct comparison *c, struct str table)
{
    struct str *expected, *live, *names, *live_names, *addable;
    size_t expected_count, live_count, name_count, live_name_count, addable_count;

    TRY(rows_of(c->expected, c->task, column_facts_sql, table, &expected, &expected_count));
    TRY(rows_of(c->expected, c->task, column_names_sql, table, &names, &name_count));
    TRY(rows_of(c->expected, c->task, column_addable_sql, table, &addable, &addable_count));
    TRY(rows_of(c->live, c->task, column_names_sql, table, &live_names, &live_name_count));
    for (size_t i = 0; i < name_count; i++) {
        if (has_row_text(live_names, live_name_count, names[i]))
            continue;
        if (c->is_reading || !has_row_text(addable, addable_count, names[i]))
            return fail(c->task, ERR_CORRUPT, "schema: table %.*s lacks column %.*s",
                        STR_ARG(table), STR_ARG(names[i]));
        TRY(add_column(c, table, names[i]));
    }
    for (size_t i = 0; i < live_name_count; i++) {
        if (!has_row_text(names, name_count, live_names[i]))
            return fail(c->task, ERR_CORRUPT, "schema: table %.*s has an unknown column %.*s",
                        STR_ARG(table), STR_ARG(live_names[i]));
    }
    TRY(rows_of(c->live, c->task, column_facts_sql, table, &live, &live_count));
    for (size_t i = 0; i < expected_count; i++) {
        if (!has_row_text(live, live_count, expected[i]))
            return fail(c->task, ERR_CORRUPT, "schema: table %.*s column %.*s is not as expected",
                        STR_ARG(table), STR_ARG(names[i]));
    }
    return ERR_OK;
}

static enum err compare_foreign_keys(struct comparison *c, struct str table)
{
    struct str *expected, *live;
    size_t expected_count, live_count;

    TRY(rows_of(c->expected, c->task, foreign_keys_sql, table, &expected, &expected_count));
    TRY(rows_of(c->live, c->task, foreign_keys_sql, table, &live, &live_count));
    for (size_t i = 0; i < expected_count; i++) {
        if (!has_row_text(live, live_count, expected[i]))
            return fail(c->task, ERR_CORRUPT, "schema: table %.*s lacks the foreign key %.*s",
                        STR_ARG(table), STR_ARG(expected[i]));
    }
    if (live_count != expected_count)
        return fail(c->task, ERR_CORRUPT, "schema: table %.*s has an unknown foreign key",
                    STR_ARG(table));
    return ERR_OK;
}

static enum err text_of(struct db *db, struct task *task, struct str name, struct str *out_sql)
{
    struct str *rows;
    size_t count;

    TRY(rows_of(db, task, object_sql, name, &rows, &count));
    *out_sql = count > 0 ? rows[0] : STR("");
    return ERR_OK;
}

/* Takes the next clause off a statement's text: up to a comma inside one pair of parentheses. */
static struct str next_clause(struct str *rest)
{
    struct str clause = *rest;
    int depth = 0;

    for (size_t i = 0; i < rest->len; i++) {
        depth += rest->ptr[i] == '(' ? 1 : rest->ptr[i] == ')' ? -1 : 0;
        if ((depth == 1 && i > 0 && (rest->ptr[i] == ',' || rest->ptr[i] == '(')) ||
            (depth == 0 && rest->ptr[i] == ')') || (depth == 0 && rest->ptr[i] == ',')) {
            clause = str_upto(*rest, i);
            *rest = str_from(*rest, i + 1);
            return clause;
        }
    }
    *rest = str_from(*rest, rest->len);
    return clause;
}

/* Whether every clause of `part` is one of `whole`. */
static bool clauses_are_in(struct arena *arena, struct str part, struct str whole)
{
    struct str left = normalise(arena, part);

    while (left.len > 0) {
        struct str clause = next_clause(&left), right = normalise(arena, whole);
        bool is_found = false;

        while (right.len > 0 && !is_found)
            is_found = str_equal(next_clause(&right), clause);
        if (!is_found)
            return false;
    }
    return true;
}

/*
 * CHECK, UNIQUE, COLLATE and virtual tables show in the text only. An added column stands at the
 * end there, so the order of the clauses does not count.
 */
static enum err compare_text(struct comparison *c, const char *type, struct str name)
{
    struct arena *arena = &c->task->arena;
    struct str expected, live;

    TRY(text_of(c->expected, c->task, name, &expected));
    TRY(text_of(c->live, c->task, name, &live));
    if (!clauses_are_in(arena, expected, live) || !clauses_are_in(arena, live, expected))
        return fail(c->task, ERR_CORRUPT, "schema: %s %.*s is not as expected", type,
                    STR_ARG(name));
    return ERR_OK;
}

static enum err compare_objects(struct comparison *c, const char *type)
{
    struct str *expected, *live;
    size_t expected_count, live_count, added;

    TRY(rows_of(c->expected, c->task, objects_sql, str_from_c(type), &expected, &expected_count));
    TRY(rows_of(c->live, c->task, objects_sql, str_from_c(type), &live, &live_count));
    for (size_t i = 0; i < live_count; i++) {
        if (!has_row_text(expected, expected_count, live[i]))
            return fail(c->task, ERR_CORRUPT, "schema: unknown %s %.*s", type, STR_ARG(live[i]));
    }
    for (size_t i = 0; i < expected_count; i++) {
        struct str sql;

        if (has_row_text(live, live_count, expected[i])) {
            added = c->added;
            /* Of a table that is not ours, not even the columns are asked for: a virtual one would
             * be brought to life by that. */
            if (c->is_reading)
                TRY(compare_text(c, type, expected[i]));
            if (strcmp(type, "table") == 0) {
                TRY(compare_columns(c, expected[i]));
                TRY(compare_foreign_keys(c, expected[i]));
            }
            if (added == c->added)
                TRY(compare_text(c, type, expected[i]));
            continue;
        }
        if (c->is_reading || strcmp(type, "index") != 0)
            return fail(c->task, ERR_CORRUPT, "schema: %s %.*s is missing", type,
                        STR_ARG(expected[i]));
        TRY(text_of(c->expected, c->task, expected[i], &sql));
        TRY(db_execute(c->live, c->task, sql.ptr));
        c->added++;
    }
    return ERR_OK;
}

static enum err compare_schemas(struct db *live, struct task *task, const char *const *migrations,
                                size_t migration_count, bool is_reading)
{
    static const char *const types[] = {"table", "index", "trigger", "view"};
    CLEANUP(db_close) struct db *expected = NULL;
    struct comparison comparison = {.live = live, .task = task, .is_reading = is_reading};

    TRY(db_open_memory(task, &expected));
    for (size_t i = 0; i < migration_count; i++)
        TRY(db_execute(expected, task, migrations[i]));
    comparison.expected = expected;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        TRY(compare_objects(&comparison, types[i]));
    return ERR_OK;
}

/* --- Migrating --- */

static enum err migrate_in_transaction(struct db *db, struct task *task,
                                       const char *const *migrations, size_t migration_count)
{
    int64_t version, mark, object_count;

    TRY(query_int(db, task, "PRAGMA user_version", &version));
    TRY(query_int(db, task, "SELECT count(*) FROM sqlite_schema", &object_count));
    for (size_t i = (size_t)version; i < migration_count; i++)
        TRY(db_execute(db, task, migrations[i]));
    if (version > 0 || object_count > 0) /* a new file has just what the migrations gave it */
        TRY(compare_schemas(db, task, migrations, migration_count, false));
    TRY(schema_mark(db, task, migrations, migration_count, &mark));
    TRY(set_pragma(db, task, "PRAGMA user_version=%" PRId64, (int64_t)migration_count));
    return set_pragma(db, task, "PRAGMA application_id=%" PRId64, mark);
}

enum err db_migrate(struct db *db, struct task *task, const char *const *migrations,
                    size_t migration_count)
{
    int64_t version, mark, expected_mark;
    enum err err;

    TRY(query_int(db, task, "PRAGMA user_version", &version));
    if (version < 0 || (uint64_t)version > migration_count)
        return fail(task, ERR_INVALID, "schema: version %" PRId64 " is newer than this program",
                    version);
    TRY(query_int(db, task, "PRAGMA application_id", &mark));
    TRY(schema_mark(db, task, migrations, migration_count, &expected_mark));
    if ((size_t)version == migration_count && mark == expected_mark)
        return ERR_OK;
    TRY(db_begin(db, task));
    err = migrate_in_transaction(db, task, migrations, migration_count);
    if (err != ERR_OK) {
        db_rollback(db);
        return err;
    }
    return db_commit(db, task, true);
}

enum err db_check_schema(struct db *db, struct task *task, const char *const *migrations,
                         size_t migration_count, size_t *out_version)
{
    int64_t version;

    TRY(query_int(db, task, "PRAGMA user_version", &version));
    if (version < 1)
        return fail(task, ERR_INVALID, "schema: it has no version of ours");
    if ((uint64_t)version > migration_count)
        return fail(task, ERR_INVALID, "schema: version %" PRId64 " is newer than this program",
                    version);
    TRY(compare_schemas(db, task, migrations, (size_t)version, true));
    *out_version = (size_t)version;
    return ERR_OK;
}
