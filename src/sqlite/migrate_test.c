/* Migrations, and what the comparison of schemas adds, accepts and names. */
#include "sqlite/db.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const migrations[] = {
    "CREATE TABLE folder(id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT, "
    "size INTEGER NOT NULL DEFAULT 0 CHECK(size >= 0)) STRICT;"
    "CREATE UNIQUE INDEX folder_name ON folder(name);",
    "CREATE TABLE message(id INTEGER PRIMARY KEY, folder INTEGER NOT NULL REFERENCES folder(id));"
    "CREATE INDEX message_folder ON message(folder);"
    "CREATE VIRTUAL TABLE words USING fts5(text, content='', detail=none);",
};

static void test_steps(void **state)
{
    CLEANUP(db_close) struct db *db = NULL;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(db_open_memory(&task, &db), ERR_OK);
    assert_int_equal(db_migrate(db, &task, migrations, 1), ERR_OK);
    assert_int_equal(db_execute(db, &task, "INSERT INTO folder(name) VALUES ('a')"), ERR_OK);
    assert_int_equal(db_migrate(db, &task, migrations, 2), ERR_OK);
    assert_int_equal(db_migrate(db, &task, migrations, 2), ERR_OK);
    assert_int_equal(db_execute(db, &task, "INSERT INTO message(folder) VALUES (1)"), ERR_OK);
    /* An older program does not touch a newer file. */
    assert_int_equal(db_migrate(db, &task, migrations, 1), ERR_INVALID);
    task_done(&task);
}

struct row {
    const char *name;
    const char *change;
    enum err err;
    const char *words;
};

static const struct row rows[] = {
    {"as made", "SELECT 1", ERR_OK, ""},
    {"a lost index is added", "DROP INDEX message_folder", ERR_OK, ""},
    {"a lost column that may be NULL is added", "ALTER TABLE folder DROP COLUMN note", ERR_OK, ""},
    {"other spelling is the same",
     "DROP INDEX message_folder; create index message_folder\non message ( folder )", ERR_OK, ""},
    {"a lost table", "DROP TABLE message", ERR_CORRUPT, "message"},
    {"a lost column that must not be NULL", "ALTER TABLE folder DROP COLUMN size", ERR_CORRUPT,
     "column size"},
    {"a column too many", "ALTER TABLE folder ADD COLUMN extra TEXT", ERR_CORRUPT, "extra"},
    {"a table too many", "CREATE TABLE other(a)", ERR_CORRUPT, "other"},
    {"an index too many", "CREATE INDEX other ON folder(note)", ERR_CORRUPT, "other"},
    {"a trigger too many", "CREATE TRIGGER other AFTER INSERT ON folder BEGIN SELECT 1; END",
     ERR_CORRUPT, "other"},
    {"an index that is another", "DROP INDEX folder_name; CREATE INDEX folder_name ON folder(name)",
     ERR_CORRUPT, "folder_name"},
    {"a check that is gone",
     "DROP TABLE folder; CREATE TABLE folder(id INTEGER PRIMARY KEY, name TEXT NOT NULL, note "
     "TEXT, "
     "size INTEGER NOT NULL DEFAULT 0) STRICT; CREATE UNIQUE INDEX folder_name ON folder(name)",
     ERR_CORRUPT, "folder"},
    {"another type",
     "DROP TABLE folder; CREATE TABLE folder(id INTEGER PRIMARY KEY, name TEXT NOT NULL, note "
     "BLOB, "
     "size INTEGER NOT NULL DEFAULT 0 CHECK(size >= 0)) STRICT;"
     "CREATE UNIQUE INDEX folder_name ON folder(name)",
     ERR_CORRUPT, "column note"},
    {"another default",
     "DROP TABLE folder; CREATE TABLE folder(id INTEGER PRIMARY KEY, name TEXT NOT NULL, note "
     "TEXT, "
     "size INTEGER NOT NULL DEFAULT 1 CHECK(size >= 0)) STRICT;"
     "CREATE UNIQUE INDEX folder_name ON folder(name)",
     ERR_CORRUPT, "column size"},
    {"a foreign key that is gone",
     "DROP TABLE message; CREATE TABLE message(id INTEGER PRIMARY KEY, folder INTEGER NOT NULL);"
     "CREATE INDEX message_folder ON message(folder)",
     ERR_CORRUPT, "foreign key"},
    {"a word index of another kind",
     "DROP TABLE words; CREATE VIRTUAL TABLE words USING fts5(text, content='', detail=full)",
     ERR_CORRUPT, "words"},
};

static void test_comparison(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(db_close) struct db *db = NULL;
        struct task task;
        enum err err;

        task_init(&task, 0);
        assert_int_equal(db_open_memory(&task, &db), ERR_OK);
        assert_int_equal(db_migrate(db, &task, migrations, 2), ERR_OK);
        assert_int_equal(db_execute(db, &task, "PRAGMA foreign_keys=OFF"), ERR_OK);
        if (db_execute(db, &task, rows[i].change) != ERR_OK)
            fail_msg("%s: %s", rows[i].name, task.words);
        err = db_migrate(db, &task, migrations, 2);
        if (err != rows[i].err || strstr(task.words, rows[i].words) == NULL)
            fail_msg("%s: %s, \"%s\"", rows[i].name, err_name(err), task.words);
        /* What was mended stays so, and is not compared again. */
        if (err == ERR_OK)
            assert_int_equal(db_migrate(db, &task, migrations, 2), ERR_OK);
        task_done(&task);
    }
}

/* A failing migration leaves nothing behind. */
static void test_failure_leaves_nothing(void **state)
{
    static const char *const broken[] = {"CREATE TABLE a(x); CREATE TABLE b(y)",
                                         "CREATE TABLE c(z); CREATE TABLE a(x)"};
    CLEANUP(db_close) struct db *db = NULL;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(db_open_memory(&task, &db), ERR_OK);
    assert_int_equal(db_migrate(db, &task, broken, 1), ERR_OK);
    assert_int_equal(db_migrate(db, &task, broken, 2), ERR_IO);
    task_forgive(&task);
    assert_int_equal(db_migrate(db, &task, broken, 1), ERR_OK);
    assert_int_equal(db_execute(db, &task, "CREATE TABLE c(z)"), ERR_OK);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_failure_leaves_nothing),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
