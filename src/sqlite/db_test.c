/* The connection: modes, statements, transactions, errors. */
#include "sqlite/db.h"

#include "base/memory.h"
#include "base/scratch.h"
#include "secret/crypt.h"
#include "sqlite/read_around.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64];
    char path[96];
    struct task task;
    struct secret *key;
    struct db *db;
};

static int set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);
    unsigned char salt[MAILBOX_SALT_BYTES] = "0123456789abcde";

    scratch_folder(f->folder, sizeof(f->folder), "sqlite-db-test");
    snprintf(f->path, sizeof(f->path), "%s/a.sqlite", f->folder);
    task_init(&f->task, 0);
    f->key = crypt_mailbox_key(STR("password"), salt);
    assert_int_equal(db_open(&f->task, f->path, DB_CREATE, f->key, &f->db), ERR_OK);
    assert_int_equal(
        db_execute(f->db, &f->task, "CREATE TABLE t(a INTEGER UNIQUE, b TEXT CHECK(b <> 'bad'))"),
        ERR_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    db_close(&f->db);
    unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0); /* the log went with the last connection */
    secret_free(&f->key);
    task_done(&f->task);
    mem_free(&f);
    return 0;
}

static int64_t ask(struct fixture *f, const char *sql)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    assert_int_equal(db_prepare(f->db, &f->task, sql, &statement), ERR_OK);
    assert_int_equal(db_step(f->db, &f->task, statement, &has_row), ERR_OK);
    return has_row ? db_column_int(statement, 0) : -1;
}

static void test_modes(void **state)
{
    struct fixture *f = *state;
    struct db *db = NULL;
    struct stat status;
    char other[128];

    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(db_open(&f->task, f->path, DB_CREATE, f->key, &db), ERR_EXISTS);
    snprintf(other, sizeof(other), "%s/b.sqlite", f->folder);
    assert_int_equal(db_open(&f->task, other, DB_OPEN, f->key, &db), ERR_NOT_FOUND);
    assert_int_equal(access(other, F_OK), -1);
    task_forgive(&f->task);
    assert_int_equal(db_open(&f->task, other, DB_OPEN_CREATE, f->key, &db), ERR_OK);
    db_close(&db);
    assert_int_equal(db_open(&f->task, other, DB_OPEN_CREATE, f->key, &db), ERR_OK);
    db_close(&db);
    unlink(other);
}

/* Not synced, but otherwise like any other: whole after db_close, and no log beside it. */
static void test_made_aside(void **state)
{
    struct fixture *f = *state;
    struct db *db = NULL;
    char aside[128], log[132];

    snprintf(aside, sizeof(aside), "%s/aside.sqlite", f->folder);
    snprintf(log, sizeof(log), "%s-wal", aside);
    assert_int_equal(db_open(&f->task, aside, DB_CREATE_ASIDE, f->key, &db), ERR_OK);
    assert_int_equal(db_open(&f->task, aside, DB_CREATE_ASIDE, f->key, &f->db), ERR_EXISTS);
    task_forgive(&f->task);
    assert_int_equal(db_execute(db, &f->task, "CREATE TABLE made(a)"), ERR_OK);
    assert_int_equal(db_begin(db, &f->task), ERR_OK);
    assert_int_equal(db_execute(db, &f->task, "INSERT INTO made VALUES (17)"), ERR_OK);
    assert_int_equal(db_commit(db, &f->task, true), ERR_OK);
    assert_int_equal(db_checkpoint(db, &f->task), ERR_OK);
    db_close(&db);
    assert_int_equal(access(log, F_OK), -1);
    db_close(&f->db);
    assert_int_equal(db_open(&f->task, aside, DB_OPEN, f->key, &f->db), ERR_OK);
    assert_int_equal(ask(f, "SELECT a FROM made"), 17);
    assert_int_equal(ask(f, "PRAGMA synchronous"), 1);
    db_close(&f->db);
    unlink(aside);
}

static void test_settings(void **state)
{
    static const struct {
        const char *sql;
        int64_t value;
    } rows[] = {
        {"PRAGMA foreign_keys", 1},
        {"PRAGMA secure_delete", 1},
        {"PRAGMA temp_store", 2},
        {"PRAGMA trusted_schema", 0},
        {"PRAGMA cell_size_check", 1},
        {"PRAGMA busy_timeout", 5000},
        {"PRAGMA memory_security", 1},
        {"PRAGMA synchronous", 1},
        {"SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'", 1},
        {"SELECT count(*) FROM pragma_encoding WHERE encoding = 'UTF-8'", 1},
        {"SELECT count(*) FROM pragma_compile_options WHERE compile_options = 'TEMP_STORE=3'", 1},
        {"SELECT count(*) FROM pragma_compile_options WHERE compile_options = 'THREADSAFE=0'", 1},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (ask(f, rows[i].sql) != rows[i].value)
            fail_msg("%s: %lld", rows[i].sql, (long long)ask(f, rows[i].sql));
    }
}

static void test_statements(void **state)
{
    static const char sql[] = "SELECT ?1";
    struct fixture *f = *state;
    sqlite3_stmt *first = NULL, *second = NULL, *third = NULL;
    bool has_row;

    assert_int_equal(db_prepare(f->db, &f->task, sql, &first), ERR_OK);
    db_bind_int(first, 1, 7);
    assert_int_equal(db_step(f->db, &f->task, first, &has_row), ERR_OK);
    assert_true(has_row);
    /* The same text while the first is in use: a statement of its own. */
    assert_int_equal(db_prepare(f->db, &f->task, sql, &second), ERR_OK);
    assert_ptr_not_equal(first, second);
    assert_int_equal(db_step(f->db, &f->task, second, &has_row), ERR_OK);
    assert_true(db_column_is_null(second, 0));
    assert_int_equal(db_column_int(first, 0), 7);
    db_release(&second);
    db_release(&first);
    assert_null(first);
    /* Reset and without values when it comes out again. */
    assert_int_equal(db_prepare(f->db, &f->task, sql, &third), ERR_OK);
    assert_int_equal(db_step(f->db, &f->task, third, &has_row), ERR_OK);
    assert_true(db_column_is_null(third, 0));
    db_release(&third);
    db_release(&third);
}

static void test_values(void **state)
{
    struct fixture *f = *state;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    assert_int_equal(
        db_prepare(f->db, &f->task, "SELECT ?1, ?2, ?3, typeof(?4), typeof(?5)", &statement),
        ERR_OK);
    db_bind_text(statement, 1, STR("a\0b"));
    db_bind_blob(statement, 2, STR("\0\xff"));
    db_bind_int(statement, 3, INT64_MIN);
    db_bind_blob(statement, 4, str_make(NULL, 0));
    db_bind_null(statement, 5);
    assert_int_equal(db_step(f->db, &f->task, statement, &has_row), ERR_OK);
    assert_true(str_equal(db_column_text(statement, 0), STR("a\0b")));
    assert_true(str_equal(db_column_blob(statement, 1), STR("\0\xff")));
    assert_true(db_column_int(statement, 2) == INT64_MIN);
    assert_true(str_equal(db_column_text(statement, 3), STR("blob")));
    assert_true(str_equal(db_column_text(statement, 4), STR("null")));
}

static void test_transactions(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(db_begin(f->db, &f->task), ERR_OK);
    assert_int_equal(db_execute(f->db, &f->task, "INSERT INTO t VALUES (1, 'a')"), ERR_OK);
    db_rollback(f->db);
    db_rollback(f->db);
    assert_int_equal(ask(f, "SELECT count(*) FROM t"), 0);
    assert_int_equal(db_begin(f->db, &f->task), ERR_OK);
    assert_int_equal(db_execute(f->db, &f->task, "INSERT INTO t VALUES (1, 'a')"), ERR_OK);
    assert_int_equal(db_commit(f->db, &f->task, true), ERR_OK);
    assert_true(db_wal_pages(f->db) > 0);
    assert_int_equal(db_checkpoint(f->db, &f->task), ERR_OK);
    assert_int_equal(db_wal_pages(f->db), 0);
    assert_int_equal(ask(f, "SELECT count(*) FROM t"), 1);
}

static off_t log_size(const struct fixture *f)
{
    char path[sizeof(f->path) + 4];
    struct stat about;

    snprintf(path, sizeof(path), "%s-wal", f->path);
    return stat(path, &about) == 0 ? about.st_size : 0;
}

/* After a failed sync: what is in the log is in the file, and synced there, before anything is
 * built on it. */
static void test_a_doubtful_log_is_settled(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(db_begin(f->db, &f->task), ERR_OK);
    assert_int_equal(db_execute(f->db, &f->task, "INSERT INTO t VALUES (1, 'a')"), ERR_OK);
    assert_int_equal(db_commit(f->db, &f->task, false), ERR_OK);
    (void)db_fail(f->db, &f->task, SQLITE_IOERR_FSYNC, "as if");
    task_forgive(&f->task);
    db_close(&f->db);
    assert_true(log_size(f) > 0);
    assert_int_equal(db_open(&f->task, f->path, DB_OPEN, f->key, &f->db), ERR_OK);
    assert_int_equal(log_size(f), 0);
    assert_int_equal(ask(f, "SELECT count(*) FROM t"), 1);
}

static void test_errors(void **state)
{
    static const struct {
        const char *sql;
        enum err err;
    } rows[] = {
        {"INSERT INTO t VALUES (1, 'again')", ERR_EXISTS},
        {"INSERT INTO t VALUES (2, 'bad')", ERR_INVALID},
        {"INSERT INTO t VALUES (3, zeroblob(2000000000))", ERR_LIMIT},
        {"INSERT INTO nowhere VALUES (1)", ERR_IO},
    };
    struct fixture *f = *state;

    assert_int_equal(db_execute(f->db, &f->task, "INSERT INTO t VALUES (1, 'a')"), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum err err = db_execute(f->db, &f->task, rows[i].sql);

        if (err != rows[i].err)
            fail_msg("%s: %s", rows[i].sql, err_name(err));
        task_forgive(&f->task);
    }
    assert_false(db_is_broken(f->db));
    assert_int_equal(ask(f, "SELECT count(*) FROM t"), 1);
}

/* No value of a row gets into the words that are logged. */
static void test_words_hold_no_content(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(db_execute(f->db, &f->task, "INSERT INTO t VALUES (1, 'secret word')"),
                     ERR_OK);
    assert_int_equal(db_execute(f->db, &f->task, "INSERT INTO t VALUES (1, 'secret word')"),
                     ERR_EXISTS);
    assert_null(strstr(f->task.words, "secret"));
    assert_non_null(strstr(f->task.words, "t.a"));
}

static void test_key_length(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *key = secret_new(32);
    struct db *db = NULL;

    assert_int_equal(db_open(&f->task, f->path, DB_OPEN, key, &db), ERR_INVALID);
}

/* What the log's reader was told last. */
struct told {
    int calls, pages;
    bool may_wait;
};

static void on_log(void *owner, int pages, bool may_wait)
{
    struct told *told = owner;

    *told = (struct told){told->calls + 1, pages, may_wait};
}

static void commit(struct fixture *f, const char *sql)
{
    assert_int_equal(db_begin(f->db, &f->task), ERR_OK);
    assert_int_equal(db_execute(f->db, &f->task, sql), ERR_OK);
    assert_int_equal(db_commit(f->db, &f->task, true), ERR_OK);
}

/* Told of every commit, and to read now before anything of the log can be overwritten. */
static void test_log_reader(void **state)
{
    struct fixture *f = *state;
    struct told told = {0, -1, false};

    db_set_log_reader(f->db, on_log, &told);
    commit(f, "INSERT INTO t VALUES(1, 'a')");
    assert_true(told.calls == 1 && told.pages > 0 && told.may_wait);
    assert_int_equal(told.pages, db_wal_pages(f->db));
    commit(f, "UPDATE t SET b = 'b' WHERE a = 1000"); /* nothing comes into the log */
    assert_int_equal(told.calls, 1);
    assert_int_equal(db_checkpoint(f->db, &f->task), ERR_OK);
    assert_true(told.calls == 2 && told.pages == 0 && !told.may_wait);
    commit(f, "INSERT INTO t VALUES(2, 'a')");
    assert_true(told.calls == 3 && told.pages > 0 && told.may_wait);
    db_hold_checkpoints(f->db, true); /* whoever holds them may write it back elsewhere */
    assert_true(told.calls == 4 && told.pages == 0 && !told.may_wait);
    commit(f, "INSERT INTO t VALUES(3, 'a')");
    assert_true(told.calls == 5 && told.pages > 0 && !told.may_wait);
    db_hold_checkpoints(f->db, false);
    assert_int_equal(told.calls, 5);
    assert_true(db_settle(f->db));
    assert_true(told.calls == 6 && told.pages == 0 && !told.may_wait);
    /* More than the log is let grow to: the commit itself writes it back. */
    commit(f, "WITH n(i) AS (VALUES (9) UNION ALL SELECT i + 1 FROM n WHERE i < 4100) "
              "INSERT INTO t SELECT i, printf('%.*c', 4000, 'x') FROM n");
    assert_true(told.calls == 8 && told.pages == 0 && !told.may_wait);
    commit(f, "INSERT INTO t VALUES(4, 'a')");
    assert_true(told.calls == 9 && told.may_wait);
    db_close(&f->db);
    assert_true(told.calls == 10 && told.pages == 0 && !told.may_wait);
}

enum { PAGE = 4096, AROUND = 16 /* pages, read_around.c */ };

/* How many of the file's pages the kernel has in memory. */
static size_t pages_in_memory(int fd)
{
    unsigned char are_there[4096];
    struct stat status;
    size_t pages, count = 0;
    void *mapped;

    assert_int_equal(fstat(fd, &status), 0);
    pages = (size_t)status.st_size / PAGE;
    assert_true(pages > 10 * AROUND && pages <= sizeof(are_there));
    mapped = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    assert_int_equal(mincore(mapped, pages * PAGE, are_there), 0);
    for (size_t i = 0; i < pages; i++)
        count += are_there[i] & 1;
    munmap(mapped, pages * PAGE);
    return count;
}

static int64_t length_of_row(struct fixture *f, int row)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    assert_int_equal(
        db_prepare(f->db, &f->task, "SELECT length(b) FROM t WHERE rowid = ?", &statement), ERR_OK);
    db_bind_int(statement, 1, row);
    assert_int_equal(db_step(f->db, &f->task, statement, &has_row), ERR_OK);
    return has_row ? db_column_int(statement, 0) : -1;
}

static void forget_pages(int fd)
{
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

/*
 * Each row asked for lies in a neighbourhood of its own. The first look at a page has the kernel
 * read it, and finds it there after all if this process lost its processor at that moment; the
 * neighbours are then asked for by nobody. One row of all must have been missed.
 */
static void test_neighbours_are_read(void **state)
{
    struct fixture *f = *state;
    int fd, missed = 0;

    commit(f, "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 400) "
              "INSERT INTO t SELECT i, printf('%.*c', 4000, 'x') FROM n");
    db_close(&f->db);
    fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fsync(fd), 0);
    forget_pages(fd);
    if (pages_in_memory(fd) > 0) { /* a file system that is in memory */
        close(fd);
        skip();
    }
    assert_int_equal(db_open(&f->task, f->path, DB_OPEN, f->key, &f->db), ERR_OK);
    assert_int_equal(length_of_row(f, 390), 4000);
    for (int row = 50; row < 390; row += 3 * AROUND) {
        uint64_t before = read_around_misses();

        forget_pages(fd);
        assert_int_equal(length_of_row(f, row), 4000);
        if (read_around_misses() == before)
            continue;
        missed++;
        for (int i = 0; i < 500 && pages_in_memory(fd) < AROUND; i++)
            (void)usleep(10000); /* they are waited for by nobody else */
        assert_in_range(pages_in_memory(fd), AROUND, 2 * AROUND);
    }
    assert_in_range(missed, 1, 8);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_made_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_neighbours_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_statements, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_transactions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_doubtful_log_is_settled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_words_hold_no_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_length, set_up, tear_down),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
