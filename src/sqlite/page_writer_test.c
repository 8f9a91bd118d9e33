/* VACUUM INTO whose pages a child encrypts and writes: the same file, and no failure is lost. */
#include "sqlite/page_writer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "secret/crypt.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static const char marker[] = "the quick brown fox";

/* What happens to a copy under way. */
enum event { EVENT_NONE, EVENT_KILL, EVENT_CANCEL };

struct fixture {
    char folder[64], path[128], copy[128];
    struct secret *key;
    struct task task;
    struct db *db;
    struct page_writer *writer;
    enum event event;
    int looks;
};

/* Some 8 MB: rows that fit into a page, rows that take several, an index, and no rowid. */
static const char fill_sql[] =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB, c TEXT);"
    "CREATE TABLE w (a TEXT PRIMARY KEY, b BLOB) WITHOUT ROWID;"
    "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 6000) "
    "INSERT INTO t(b, c) SELECT randomblob(abs(random()) % (CASE WHEN i % 100 = 0 THEN 20000 ELSE 1200 END)), "
    "'the quick brown fox ' || i FROM n;"
    "INSERT INTO w SELECT hex(randomblob(16)), randomblob(200) FROM t;"
    "CREATE INDEX t_c ON t(c)";

static int set_up(void **state)
{
    unsigned char salt[MAILBOX_SALT_BYTES] = {3};
    struct fixture *f = NEW(struct fixture);

    scratch_folder(f->folder, sizeof(f->folder), "page-writer");
    snprintf(f->path, sizeof(f->path), "%s/db.sqlite", f->folder);
    snprintf(f->copy, sizeof(f->copy), "%s/copy.sqlite", f->folder);
    f->key = crypt_mailbox_key(STR("password"), salt);
    task_init(&f->task, clock_now_ms());
    assert_int_equal(db_open(&f->task, f->path, DB_CREATE_ASIDE, f->key, &f->db), ERR_OK);
    assert_int_equal(db_execute(f->db, &f->task, fill_sql), ERR_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];

    page_writer_free(&f->writer);
    db_close(&f->db);
    snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    secret_free(&f->key);
    task_done(&f->task);
    mem_free(&f);
    return 0;
}

static void kill_children(void)
{
    char path[64], text[64] = "";
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_int_equal(kill((pid_t)strtol(text, NULL, 10), SIGKILL), 0);
}

static int on_progress(void *owner)
{
    struct fixture *f = owner;

    page_writer_attach(f->writer, f->db);
    if (f->event == EVENT_NONE || ++f->looks < 500)
        return 0;
    if (f->event == EVENT_KILL)
        kill_children();
    else
        return 1;
    f->event = EVENT_NONE;
    return 0;
}

static enum err copy(struct fixture *f, int open_flags)
{
    CLEANUP(fd_close) int created = open(f->copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CLEANUP(fd_close) int fd = open(f->copy, open_flags | O_CLOEXEC);
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    enum err err;

    assert_true(created >= 0 && fd >= 0);
    assert_int_equal(page_writer_start(&f->task, fd, f->key, NULL, &f->writer), ERR_OK);
    sqlite3_progress_handler(db_handle(f->db), 16, on_progress, f);
    assert_int_equal(db_prepare(f->db, &f->task, "VACUUM INTO ?1", &statement), ERR_OK);
    db_bind_text(statement, 1, str_from_c(f->copy));
    err = db_run(f->db, &f->task, statement);
    sqlite3_progress_handler(db_handle(f->db), 0, NULL, NULL);
    if (err == ERR_OK)
        return page_writer_finish(f->writer, &f->task);
    task_forgive(&f->task);
    assert_int_not_equal(page_writer_finish(f->writer, &f->task), ERR_BUSY);
    task_forgive(&f->task);
    return err;
}

static void ask(struct fixture *f, struct db *db, const char *sql, char out[100])
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    assert_int_equal(db_prepare(db, &f->task, sql, &statement), ERR_OK);
    assert_int_equal(db_step(db, &f->task, statement, &has_row), ERR_OK);
    assert_true(has_row);
    snprintf(out, 100, "%.*s", (int)db_column_text(statement, 0).len,
             db_column_text(statement, 0).ptr);
}

static void test_same_content(void **state)
{
    static const char *const questions[] = {
        "PRAGMA integrity_check", "SELECT count(*) || ' ' || sum(length(b)) || ' ' || max(c) FROM t",
        "SELECT count(*) || ' ' || min(a) || ' ' || max(hex(b)) FROM w", "PRAGMA page_size"};
    struct fixture *f = *state;
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(buf_free) struct buf bytes;
    char before[100], after[100];

    assert_int_equal(copy(f, O_RDWR), ERR_OK);
    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(file_read(&f->task, AT_FDCWD, f->copy, SIZE_MAX, &bytes), ERR_OK);
    assert_true(bytes.len > 4 * 1024 * 1024);
    /* Nearly all of it went this way, some pages more than once, and none in clear. */
    assert_true(page_writer_pages(f->writer) >= bytes.len / 4096 * 9 / 10);
    assert_null(memmem(bytes.ptr, bytes.len, marker, sizeof(marker) - 1));
    assert_int_equal(db_open(&f->task, f->copy, DB_OPEN, f->key, &db), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        ask(f, f->db, questions[i], before);
        ask(f, db, questions[i], after);
        assert_string_equal(before, after);
    }
}

/* Pages are wanted back while they are on their way: the new file's cache has the size of the old one's. */
static void test_small_cache(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(db_execute(f->db, &f->task, "PRAGMA cache_size=5"), ERR_OK);
    test_same_content(state);
}

static void test_cannot_be_written(void **state)
{
    assert_int_equal(copy(*state, O_RDONLY), ERR_IO);
}

static void test_disk_full(void **state)
{
    struct rlimit old, limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){3 * 1024 * 1024, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(copy(*state, O_RDWR), ERR_LIMIT);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

static void test_child_dies(void **state)
{
    struct fixture *f = *state;

    f->event = EVENT_KILL;
    assert_int_equal(copy(f, O_RDWR), ERR_IO);
}

static void test_given_up(void **state)
{
    struct fixture *f = *state;

    f->event = EVENT_CANCEL;
    assert_int_not_equal(copy(f, O_RDWR), ERR_OK);
}

/* The last pages are still on their way when the child dies: closing waits, and finishing tells. */
static void test_dies_at_the_end(void **state)
{
    struct fixture *f = *state;
    CLEANUP(fd_close) int fd = open(f->copy, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(db_execute(f->db, &f->task, "DROP TABLE w; DELETE FROM t WHERE id > 10"),
                     ERR_OK);
    assert_int_equal(page_writer_start(&f->task, fd, f->key, NULL, &f->writer), ERR_OK);
    kill_children();
    sqlite3_progress_handler(db_handle(f->db), 1, on_progress, f);
    if (sqlite3_exec(db_handle(f->db),
                     sqlite3_snprintf(sizeof(f->folder) + 64, (char[128]){0}, "VACUUM INTO '%s'",
                                      f->copy),
                     NULL, NULL, NULL) == SQLITE_OK)
        assert_int_equal(page_writer_finish(f->writer, &f->task), ERR_IO);
    sqlite3_progress_handler(db_handle(f->db), 0, NULL, NULL);
    assert_true(page_writer_pages(f->writer) > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cannot_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disk_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_child_dies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dies_at_the_end, set_up, tear_down),
    };

    (void)argc;
    (void)argv;
    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
