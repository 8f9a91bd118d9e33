/* Rows that are patched, against the same rows changed by an UPDATE. */
#include "sqlite/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 3000, GAP_MAX = 3, ROUNDS = 150, RECORDS = 200000, LONG = 6000 };

static uint32_t seed = 11;

static uint32_t random_to(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

/* Of any width, and often one at which the width changes. */
static int64_t random_number(void)
{
    uint64_t power = UINT64_C(1) << random_to(64);

    switch (random_to(4)) {
    case 0:
        return (int64_t)random_to(3);
    case 1:
        return (int64_t)(power - random_to(2));
    case 2:
        return (int64_t)(0 - power - random_to(2));
    default:
        return (int64_t)(((uint64_t)random_to(1 << 24) << 40 | random_to(1 << 24)) >>
                         random_to(64));
    }
}

static int64_t number(struct db *db, struct task *task, const char *sql)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    assert_int_equal(db_prepare(db, task, sql, &statement), ERR_OK);
    assert_int_equal(db_step(db, task, statement, &has_row), ERR_OK);
    assert_true(has_row);
    return db_column_int(statement, 0);
}

static void assert_alike(struct db *db, struct task *task)
{
    assert_int_equal(
        number(db, task,
               "SELECT count(*) FROM (SELECT *, typeof(flags), typeof(modseq) FROM patched "
               "EXCEPT SELECT *, typeof(flags), typeof(modseq) FROM updated)"),
        0);
    assert_int_equal(number(db, task, "SELECT count(*) FROM patched"),
                     number(db, task, "SELECT count(*) FROM updated"));
    assert_int_equal(
        number(db, task,
               "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
        0);
}

#define COLUMNS                                                                                    \
    "(key INTEGER PRIMARY KEY, flags INTEGER NOT NULL, mark TEXT, modseq INTEGER NOT NULL, "       \
    "size INTEGER, is_expunged INTEGER NOT NULL DEFAULT 0, day TEXT NOT NULL, rest BLOB) STRICT;"

/* Both tables, with the same rows. `long_every`: each so many-th row is longer than a page; 0:
 * none. */
static void fill(struct db *db, struct task *task, unsigned long_every)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    int64_t key = (INT64_C(1) << 32) + 1;

    assert_int_equal(
        db_execute(db, task, "CREATE TABLE patched" COLUMNS "CREATE TABLE updated" COLUMNS),
        ERR_OK);
    assert_int_equal(db_begin(db, task), ERR_OK);
    assert_int_equal(
        db_prepare(db, task,
                   "INSERT INTO patched(key, flags, modseq, is_expunged, size, mark, day, rest) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, substr('0123456789', 1 + ?5 % 10), "
                   "'2026-11-27T05:00:00.000Z', CASE WHEN ?6 > 0 THEN randomblob(?6) END)",
                   &statement),
        ERR_OK);
    for (unsigned i = 0; i < ROWS; i++) {
        db_bind_int(statement, 1, key);
        db_bind_int(statement, 2, random_number());
        db_bind_int(statement, 3, random_number());
        db_bind_int(statement, 4, random_to(8) == 0 ? random_to(3) : 0);
        db_bind_int(statement, 5, random_number());
        db_bind_int(statement, 6,
                    long_every > 0 && i % long_every == long_every - 1 ? LONG : random_to(60));
        assert_int_equal(db_run(db, task, statement), ERR_OK);
        key += 1 + random_to(GAP_MAX);
    }
    db_release(&statement);
    assert_int_equal(db_execute(db, task, "INSERT INTO updated SELECT * FROM patched"), ERR_OK);
    assert_int_equal(db_commit(db, task, true), ERR_OK);
}

struct change {
    int64_t first, last;
    uint64_t keep, set;
    int64_t modseq;
};

static struct change random_change(void)
{
    struct change change = {.keep = (uint64_t)random_number(), .set = (uint64_t)random_number()};

    change.first = (INT64_C(1) << 32) + random_to(ROWS * GAP_MAX);
    change.last = change.first + random_to(random_to(2) == 0 ? 10 : ROWS * GAP_MAX);
    change.modseq = random_number();
    switch (random_to(4)) {
    case 0:
        change.keep = 0;
        break;
    case 1:
        change.keep = UINT64_MAX;
        break;
    case 2:
        change.set = 0;
        break;
    default:
        break;
    }
    return change;
}

static int64_t update(struct db *db, struct task *task, const char *sql,
                      const struct change *change)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    assert_int_equal(db_prepare(db, task, sql, &statement), ERR_OK);
    db_bind_int(statement, 1, change->first);
    db_bind_int(statement, 2, change->last);
    db_bind_int(statement, 3, (int64_t)change->keep);
    db_bind_int(statement, 4, (int64_t)change->set);
    db_bind_int(statement, 5, change->modseq);
    assert_int_equal(db_run(db, task, statement), ERR_OK);
    return sqlite3_changes64(db_handle(db));
}

#define UPDATE(table)                                                                              \
    "UPDATE " table " SET flags = flags & ?3 | ?4, modseq = ?5 "                                   \
    "WHERE key BETWEEN ?1 AND ?2 AND is_expunged = 0"

static struct db_patch_plan plan_of(const struct change *change, const char *table)
{
    return (struct db_patch_plan){
        .table = table,
        .columns = {{"flags", change->keep, change->set}, {"modseq", 0, (uint64_t)change->modseq}},
        .if_zero = "is_expunged"};
}

/* Both tables are changed. Gives whether the patched one was by the patch alone. */
static bool change_both(struct db *db, struct task *task, const struct change *change)
{
    CLEANUP(db_patch_close) struct db_patch *patch = NULL;
    struct db_patch_plan plan = plan_of(change, "patched");
    int64_t expected = update(db, task, UPDATE("updated"), change);
    int64_t before = sqlite3_total_changes64(db_handle(db));
    uint64_t count = 0;
    bool is_done = false;

    assert_int_equal(db_patch_open(db, task, &plan, &patch), ERR_OK);
    assert_non_null(patch);
    assert_int_equal(db_patch_rows(patch, task, change->first, change->last, &count, &is_done),
                     ERR_OK);
    assert_int_equal(sqlite3_total_changes64(db_handle(db)) - before, count);
    db_patch_close(&patch);
    if (is_done)
        assert_int_equal(count, expected);
    else
        assert_int_equal(update(db, task, UPDATE("patched"), change), expected);
    return is_done;
}

/* Rows grow and shrink, so that pages are split; some changes are taken back. */
static void test_as_updated(void **state)
{
    CLEANUP(db_close) struct db *db = NULL;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(db_open_memory(&task, &db), ERR_OK);
    fill(db, &task, 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct change change = random_change();

        assert_int_equal(db_begin(db, &task), ERR_OK);
        assert_true(change_both(db, &task, &change));
        if (random_to(4) == 0)
            db_rollback(db);
        else
            assert_int_equal(db_commit(db, &task, true), ERR_OK);
        assert_alike(db, &task);
    }
    task_done(&task);
}

/* Where a row fills more than its page the statement does what is left. */
static void test_long_rows(void **state)
{
    CLEANUP(db_close) struct db *db = NULL;
    struct task task;
    int done = 0;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(db_open_memory(&task, &db), ERR_OK);
    fill(db, &task, 20);
    for (int i = 0; i < ROUNDS; i++) {
        struct change change = random_change();

        assert_int_equal(db_begin(db, &task), ERR_OK);
        done += change_both(db, &task, &change);
        assert_int_equal(db_commit(db, &task, true), ERR_OK);
        assert_alike(db, &task);
    }
    assert_in_range(done, 1, ROUNDS - 1);
    task_done(&task);
}

/* Rows from before the column was added, which does not stand in them. */
static void test_short_rows(void **state)
{
    CLEANUP(db_close) struct db *db = NULL;
    struct change change = {.first = 1, .last = 10, .keep = UINT64_MAX, .set = 4, .modseq = 70000};
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(db_open_memory(&task, &db), ERR_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            db_execute(db, &task,
                       i == 0 ? "CREATE TABLE patched(key INTEGER PRIMARY KEY, "
                                "flags INTEGER, modseq INTEGER);"
                                "INSERT INTO patched VALUES (1, 2, 3), (2, 3, 4);"
                                "ALTER TABLE patched ADD COLUMN is_expunged INTEGER DEFAULT 0;"
                                "INSERT INTO patched VALUES (5, 6, 7, 0)"
                              : "CREATE TABLE updated AS SELECT * FROM patched"),
            ERR_OK);
    assert_int_equal(db_begin(db, &task), ERR_OK);
    assert_false(change_both(db, &task, &change));
    change.first = 5;
    assert_true(change_both(db, &task, &change));
    assert_int_equal(db_commit(db, &task, true), ERR_OK);
    assert_alike(db, &task);
    task_done(&task);
}

/* A NULL is none that bits could be changed of. */
static void test_null(void **state)
{
    CLEANUP(db_close) struct db *db = NULL;
    struct change change = {.first = 1, .last = 10, .keep = UINT64_MAX, .set = 4, .modseq = 5};
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(db_open_memory(&task, &db), ERR_OK);
    assert_int_equal(
        db_execute(db, &task,
                   "CREATE TABLE patched(key INTEGER PRIMARY KEY, flags INTEGER, "
                   "modseq INTEGER, is_expunged INTEGER);"
                   "INSERT INTO patched VALUES (1, 2, 3, 0), (2, NULL, 3, 0), (3, 2, 3, NULL);"
                   "CREATE TABLE updated AS SELECT * FROM patched"),
        ERR_OK);
    assert_int_equal(db_begin(db, &task), ERR_OK);
    assert_false(change_both(db, &task, &change));
    assert_int_equal(db_commit(db, &task, true), ERR_OK);
    assert_alike(db, &task);
    task_done(&task);
}

/* Tables whose rows something else depends on, and connections that may not write. */
static void test_left_to_statements(void **state)
{
    static const char *const tables[] = {
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, is_expunged "
        "INTEGER);"
        "CREATE INDEX i ON t(flags)",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, is_expunged "
        "INTEGER UNIQUE)",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER CHECK (flags < 9), modseq INTEGER, "
        "is_expunged INTEGER)",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, is_expunged "
        "INTEGER);"
        "CREATE TRIGGER r AFTER UPDATE ON t BEGIN DELETE FROM t; END",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER REFERENCES o(key), modseq INTEGER, "
        "is_expunged INTEGER)",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, is_expunged "
        "INTEGER, "
        "more INTEGER AS (flags + 1))",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, is_expunged "
        "INTEGER) "
        "WITHOUT ROWID",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags TEXT, modseq INTEGER, is_expunged INTEGER)",
        "CREATE TABLE t(flags INTEGER PRIMARY KEY, modseq INTEGER, is_expunged INTEGER)",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, modseq INTEGER, flags INTEGER, is_expunged "
        "INTEGER)",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER)",
        "CREATE VIEW t AS SELECT 1 AS key, 2 AS flags, 3 AS modseq, 0 AS is_expunged",
        "CREATE TABLE other(key INTEGER PRIMARY KEY)",
        /* and what would do, but for the connection */
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, is_expunged "
        "INTEGER);"
        "PRAGMA query_only=ON",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, is_expunged "
        "INTEGER);"
        "COMMIT",
        "CREATE TABLE t(key INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, is_expunged "
        "INTEGER)",
    };
    struct change change = {.keep = 0, .set = 4, .modseq = 5};
    struct db_patch_plan plan = plan_of(&change, "t");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        CLEANUP(db_patch_close) struct db_patch *patch = NULL;
        CLEANUP(db_close) struct db *db = NULL;
        struct task task;

        task_init(&task, 0);
        assert_int_equal(db_open_memory(&task, &db), ERR_OK);
        assert_int_equal(db_begin(db, &task), ERR_OK);
        assert_int_equal(db_execute(db, &task, tables[i]), ERR_OK);
        assert_int_equal(db_patch_open(db, &task, &plan, &patch), ERR_OK);
        if (i == ARRAY_LEN(tables) - 1)
            assert_non_null(patch);
        else
            assert_null(patch);
        db_patch_close(&patch);
        task_done(&task);
    }
}

/* Whatever the bytes are, nothing behind them is read (that is for ASan), and the header stays as
 * long. */
static void test_any_record(void **state)
{
    static unsigned char out[DB_PATCH_RECORD_MAX + DB_PATCH_GROWTH_MAX];
    struct change change = {.keep = UINT64_MAX, .set = INT64_MAX, .modseq = INT64_MAX};
    struct db_patch_plan plan = plan_of(&change, "t");
    const struct db_patch_positions positions = {.columns = {1, 2}, .if_zero = 3};
    size_t taken = 0;

    (void)state;
    for (int i = 0; i < RECORDS; i++) {
        size_t len = random_to(40), out_len = 0;
        unsigned char *record = malloc(len + 1); /* malloc(0) may be anything */
        bool has_changed;

        assert_non_null(record);
        for (size_t k = 0; k < len; k++)
            record[k] = (unsigned char)random_to(k < 5 ? 10 : 256);
        record = realloc(record, len > 0 ? len : 1);
        assert_non_null(record);
        if (db_patch_record(&plan, &positions, record, len, out, &out_len, &has_changed)) {
            taken++;
            assert_int_equal(out[0], record[0]);
            assert_in_range(record[0], positions.if_zero + 2, len);
            assert_in_range(out_len, len, len + DB_PATCH_GROWTH_MAX);
        }
        free(record);
    }
    assert_in_range(taken, RECORDS / 100, RECORDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_updated),         cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_short_rows),         cmocka_unit_test(test_null),
        cmocka_unit_test(test_left_to_statements), cmocka_unit_test(test_any_record),
    };

    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
