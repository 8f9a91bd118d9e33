/* What is held of the log is nobody's business: whatever happens next finds it in the file. */
#include "sqlite/db.h"

#include "sqlite/wal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "secret/crypt.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64], path[128], copy[128];
    struct secret *key;
    struct task task;
    struct db *db;
};

static int set_up(void **state)
{
    unsigned char salt[MAILBOX_SALT_BYTES] = {3};
    struct fixture *f = NEW(struct fixture);

    scratch_folder(f->folder, sizeof(f->folder), "wal-test");
    snprintf(f->path, sizeof(f->path), "%s/db.sqlite", f->folder);
    snprintf(f->copy, sizeof(f->copy), "%s/copy.sqlite", f->folder);
    f->key = crypt_mailbox_key(STR("password"), salt);
    task_init(&f->task, clock_now_ms());
    assert_int_equal(db_open(&f->task, f->path, DB_CREATE, f->key, &f->db), ERR_OK);
    assert_int_equal(db_execute(f->db, &f->task, "CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)"),
                     ERR_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];

    db_close(&f->db);
    snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    secret_free(&f->key);
    task_done(&f->task);
    mem_free(&f);
    return 0;
}

static void copy_file(struct fixture *f, const char *from, const char *to)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    CLEANUP(fd_close) int fd = open(to, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(file_read(&f->task, AT_FDCWD, from, SIZE_MAX, &bytes), ERR_OK);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
}

/* The single number a query gives, in the files as they lie there: what a kill would leave. */
static int64_t ask_copy(struct fixture *f, const char *sql)
{
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char from[160], to[160];
    bool has_row;

    copy_file(f, f->path, f->copy);
    snprintf(from, sizeof(from), "%s-wal", f->path);
    snprintf(to, sizeof(to), "%s-wal", f->copy);
    copy_file(f, from, to);
    assert_int_equal(db_open(&f->task, f->copy, DB_OPEN, f->key, &db), ERR_OK);
    assert_int_equal(db_prepare(db, &f->task, sql, &statement), ERR_OK);
    assert_int_equal(db_step(db, &f->task, statement, &has_row), ERR_OK);
    return db_column_int(statement, 0);
}

static void insert(struct fixture *f, const char *sql)
{
    assert_int_equal(db_begin(f->db, &f->task), ERR_OK);
    assert_int_equal(db_execute(f->db, &f->task, sql), ERR_OK);
}

static const char small_sql[] = "INSERT INTO t(b) VALUES (randomblob(100))";
static const char some_sql[] =
    "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
    "INSERT INTO t(b) SELECT randomblob(3000) FROM n";
/* More than the page cache: frames go to the log before the commit, and some are written again. */
static const char many_sql[] =
    "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
    "INSERT INTO t(b) SELECT randomblob(3000) FROM n;"
    "UPDATE t SET b = randomblob(2999) WHERE id % 7 = 0;"
    "UPDATE t SET b = randomblob(2998) WHERE id % 3 = 0";

/* A commit is in the file when it returns, durable or not, whatever its size. */
static void test_commits(void **state)
{
    static const struct {
        const char *sql;
        int64_t rows;
        bool is_durable;
    } rows[] = {{small_sql, 1, true},    {small_sql, 2, false},  {some_sql, 102, false},
                {some_sql, 202, true},   {many_sql, 2202, true}, {many_sql, 4202, false},
                {small_sql, 4203, false}};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        insert(f, rows[i].sql);
        assert_int_equal(db_commit(f->db, &f->task, rows[i].is_durable), ERR_OK);
        assert_int_equal(ask_copy(f, "SELECT count(*) FROM t"), rows[i].rows);
        assert_int_equal(ask_copy(f, "SELECT count(*) FROM pragma_integrity_check "
                                     "WHERE integrity_check <> 'ok'"),
                         0);
    }
}

/* What is taken back leaves nothing that a later commit trips over. */
static void test_rollbacks(void **state)
{
    static const char *const sqls[] = {many_sql, some_sql, many_sql};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(sqls); i++) {
        insert(f, sqls[i]);
        db_rollback(f->db);
        insert(f, small_sql);
        assert_int_equal(db_commit(f->db, &f->task, true), ERR_OK);
        assert_int_equal(ask_copy(f, "SELECT count(*) FROM t"), i + 1);
    }
    assert_int_equal(db_checkpoint(f->db, &f->task), ERR_OK);
    assert_int_equal(ask_copy(f, "SELECT count(*) FROM pragma_integrity_check "
                                 "WHERE integrity_check <> 'ok'"),
                     0);
}

/* A file in memory, whose disk may be full. */
struct fake_file {
    sqlite3_file file;
    char bytes[64 * 1024];
    bool is_full;
};

static int fake_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct fake_file *fake = (struct fake_file *)file;

    if (fake->is_full)
        return SQLITE_FULL;
    memcpy(fake->bytes + at, bytes, (size_t)len);
    return SQLITE_OK;
}

static int fake_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    memcpy(out, ((struct fake_file *)file)->bytes + at, (size_t)len);
    return SQLITE_OK;
}

static void write_frame(sqlite3_file *file, sqlite3_int64 at, char fill, bool commits, int expected)
{
    char page[4096], header[24] = {0};

    header[7] = commits;
    memset(page, fill, sizeof(page));
    assert_int_equal(file->pMethods->xWrite(file, header, sizeof(header), at), SQLITE_OK);
    assert_int_equal(file->pMethods->xWrite(file, page, sizeof(page), at + 24), expected);
}

/*
 * When reading fails for a full disk, SQLite may take back no more than the statement, and commit
 * the rest of the transaction later: nothing of it may be missing in the log then.
 */
static void test_full_while_reading(void **state)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 1, .xWrite = fake_write, .xRead = fake_read};
    struct fake_file *fake = NEW(struct fake_file);
    struct wal_file *wal;
    char byte;

    (void)state;
    fake->file.pMethods = &methods;
    wal = wal_file_new(&fake->file);
    write_frame(&fake->file, 32, 'a', false, SQLITE_OK);
    fake->is_full = true;
    assert_int_equal(fake->file.pMethods->xRead(&fake->file, &byte, 1, 60), SQLITE_FULL);
    fake->is_full = false;
    write_frame(&fake->file, 32 + 4120, 'b', true, SQLITE_OK);
    assert_int_equal(fake->bytes[32 + 24], 'a');
    assert_int_equal(fake->bytes[32 + 4120 + 24], 'b');
    /* A commit that could not be written is not tried again: SQLite took it back. */
    write_frame(&fake->file, 32 + 2 * 4120, 'c', false, SQLITE_OK);
    fake->is_full = true;
    write_frame(&fake->file, 32 + 3 * 4120, 'd', true, SQLITE_FULL);
    fake->is_full = false;
    assert_int_equal(fake->file.pMethods->xRead(&fake->file, &byte, 1, 60), SQLITE_OK);
    assert_int_equal(fake->bytes[32 + 2 * 4120 + 24], 0);
    wal_file_free(&wal);
    mem_free(&fake);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(test_commits), TEST(test_rollbacks),
                                       cmocka_unit_test(test_full_while_reading)};

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
