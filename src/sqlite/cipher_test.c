/*
 * Our cipher against the stock one (the program named in argv[1]): each reads what the other wrote,
 * page for page; and what wrong keys, truncation and damage give.
 */
#include "sqlite/cipher.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/scratch.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 500 };

static const char *stock_path;

struct fixture {
    char folder[64];
    char path[96];
    struct task task;
};

static int set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);

    scratch_folder(f->folder, sizeof(f->folder), "sqlite-cipher-test");
    snprintf(f->path, sizeof(f->path), "%s/a.sqlite", f->folder);
    task_init(&f->task, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    struct fixture *f = *state;
    char path[128];

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(f->folder), 0);
    task_done(&f->task);
    mem_free(&f);
    return 0;
}

/* Runs the stock program; its output in `out`. */
static int stock(const char *path, const char *password, const char *page_bytes, const char *sql,
                 char *out, size_t room)
{
    int pipe_ends[2], status;
    pid_t child;
    ssize_t got;
    size_t len = 0;

    assert_int_equal(pipe(pipe_ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDOUT_FILENO);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        execl(stock_path, stock_path, path, password, page_bytes, sql, (char *)NULL);
        _exit(127);
    }
    close(pipe_ends[1]);
    while ((got = read(pipe_ends[0], out + len, room - 1 - len)) > 0)
        len += (size_t)got;
    out[len] = '\0';
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void read_whole(struct fixture *f, struct buf *out)
{
    buf_init(out, SIZE_MAX);
    assert_int_equal(file_read(&f->task, AT_FDCWD, f->path, SIZE_MAX, out), ERR_OK);
}

static void write_whole(struct fixture *f, struct str bytes)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(&f->task, fd, bytes), ERR_OK);
    fd_close(&fd);
}

/* The key of the file that lies at the fixture's path. */
static struct secret *key_for_file(struct fixture *f, const char *password)
{
    CLEANUP(buf_free) struct buf file = {0};

    read_whole(f, &file);
    assert_true(file.len >= MAILBOX_SALT_BYTES);
    return crypt_mailbox_key(str_from_c(password), (const unsigned char *)file.ptr);
}

static struct secret *new_key(const char *password)
{
    unsigned char salt[MAILBOX_SALT_BYTES];

    random_bytes(salt, sizeof(salt));
    return crypt_mailbox_key(str_from_c(password), salt);
}

static const char fill_sql[] =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
    "INSERT INTO t SELECT i, 'row ' || i, zeroblob(i * 7) FROM n;";
static const char check_sql[] = "SELECT count(*) || ' ' || sum(length(b)) || ' ' || max(a) FROM t";
static const char check_result[] = "500 876750 row 99";

static void write_with_ours(struct fixture *f, const struct secret *key, enum db_mode mode)
{
    CLEANUP(db_close) struct db *db = NULL;

    assert_int_equal(db_open(&f->task, f->path, mode, key, &db), ERR_OK);
    assert_int_equal(db_execute(db, &f->task, fill_sql), ERR_OK);
}

static enum err read_with_ours(struct fixture *f, const struct secret *key)
{
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_open(&f->task, f->path, DB_OPEN, key, &db));
    TRY(db_prepare(db, &f->task, check_sql, &statement));
    TRY(db_step(db, &f->task, statement, &has_row));
    assert_true(has_row);
    assert_true(str_equal(db_column_text(statement, 0), str_from_c(check_result)));
    db_release(&statement);
    TRY(db_prepare(db, &f->task, "PRAGMA integrity_check", &statement));
    TRY(db_step(db, &f->task, statement, &has_row));
    assert_true(str_equal(db_column_text(statement, 0), STR("ok")));
    db_release(&statement);
    return ERR_OK;
}

static const char *const page_sizes[] = {"512", "1024", "4096", "8192", "16384", "65536"};
static void test_stock_reads_ours(void **state)
{
    struct fixture *f = *state;
    char out[256];

    /* The page size is settled by whoever makes the file, so the stock program does. */
    for (size_t i = 0; i < ARRAY_LEN(page_sizes); i++) {
        CLEANUP(secret_free) struct secret *key = NULL;

        unlink(f->path);
        assert_int_equal(stock(f->path, "correct horse", page_sizes[i], "CREATE TABLE first(a)",
                               out, sizeof(out)),
                         0);
        key = key_for_file(f, "correct horse");
        write_with_ours(f, key, DB_OPEN);
        assert_int_equal(stock(f->path, "correct horse", "0",
                               "PRAGMA page_size; PRAGMA integrity_check", out, sizeof(out)),
                         0);
        assert_true(strncmp(out, page_sizes[i], strlen(page_sizes[i])) == 0);
        assert_non_null(strstr(out, "\nok\n"));
        assert_int_equal(stock(f->path, "correct horse", "0", check_sql, out, sizeof(out)), 0);
        assert_true(strncmp(out, check_result, strlen(check_result)) == 0);
        /* And what the stock program adds, we read. */
        assert_int_equal(stock(f->path, "correct horse", "0",
                               "UPDATE t SET b = zeroblob(length(b)); DELETE FROM t WHERE id > 500",
                               out, sizeof(out)),
                         0);
        assert_int_equal(read_with_ours(f, key), ERR_OK);
    }
}

static void test_ours_reads_stock(void **state)
{
    struct fixture *f = *state;
    char out[256];

    for (size_t i = 0; i < ARRAY_LEN(page_sizes); i++) {
        CLEANUP(secret_free) struct secret *key = NULL;

        unlink(f->path);
        assert_int_equal(
            stock(f->path, "battery staple", page_sizes[i], fill_sql, out, sizeof(out)), 0);
        key = key_for_file(f, "battery staple");
        assert_int_equal(read_with_ours(f, key), ERR_OK);
    }
}

/* With our log still there: a stock program also recovers what was not written back. */
static void test_stock_reads_our_log(void **state)
{
    struct fixture *f = *state;
    char out[256];
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct secret *key = new_key("correct horse");
        struct db *db = NULL;

        if (db_open(&f->task, f->path, DB_CREATE, key, &db) != ERR_OK ||
            db_begin(db, &f->task) != ERR_OK || db_execute(db, &f->task, fill_sql) != ERR_OK ||
            db_commit(db, &f->task, true) != ERR_OK)
            _exit(1);
        _exit(0); /* without closing */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(stock(f->path, "correct horse", "0", check_sql, out, sizeof(out)), 0);
    assert_true(strncmp(out, check_result, strlen(check_result)) == 0);
}

static void test_wrong_keys(void **state)
{
    static const char *const wrong[] = {
        "",
        "correct hors",
        "correct horse ",
        "raw:0000000000000000000000000000000000000000000000000000000000000000",
        "x'0000000000000000000000000000000000000000000000000000000000000000'",
        "raw:",
        "x''",
    };
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *key = new_key("correct horse");
    CLEANUP(buf_free) struct buf before = {0};

    write_with_ours(f, key, DB_CREATE);
    read_whole(f, &before);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        CLEANUP(secret_free) struct secret *other = key_for_file(f, wrong[i]);
        CLEANUP(buf_free) struct buf after = {0};

        assert_int_equal(read_with_ours(f, other), ERR_DENIED);
        task_forgive(&f->task);
        read_whole(f, &after);
        assert_true(str_equal(buf_str(&before), buf_str(&after)));
    }
    assert_int_equal(read_with_ours(f, key), ERR_OK);
}

/* A password in the shape of a raw key is a password like any other, to us and to the key. */
static void test_passwords_in_the_shape_of_keys(void **state)
{
    static const char *const passwords[] = {
        "raw:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "x'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(passwords); i++) {
        CLEANUP(secret_free) struct secret *key = new_key(passwords[i]);
        unsigned char raw[CRYPT_KEY_BYTES];
        struct str bytes = secret_str(key);

        for (size_t k = 0; k < sizeof(raw); k++)
            raw[k] = (unsigned char)("\x01\x23\x45\x67\x89\xab\xcd\xef"[k % 8]);
        assert_memory_not_equal(bytes.ptr, raw, sizeof(raw));
        unlink(f->path);
        write_with_ours(f, key, DB_CREATE);
        assert_int_equal(read_with_ours(f, key), ERR_OK);
    }
}

static void test_damage(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *key = new_key("correct horse");
    CLEANUP(buf_free) struct buf good = {0};
    /* Where a byte is changed, and what that must give. */
    static const struct {
        const char *name;
        size_t at;
        enum err err;
    } rows[] = {
        {"salt", 0, ERR_DENIED},
        {"page size", 17, ERR_CORRUPT},
        {"reserved bytes", 20, ERR_CORRUPT},
        {"first page", 100, ERR_DENIED},
        {"second page", 4096 + 5, ERR_CORRUPT},
        {"second page's nonce", 8192 - 20, ERR_CORRUPT},
        {"second page's tag", 8192 - 1, ERR_CORRUPT},
        {"a page further on", 60 * 4096, ERR_CORRUPT},
    };

    write_with_ours(f, key, DB_CREATE);
    read_whole(f, &good);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(buf_free) struct buf bad = {0}, after = {0};
        enum err err;

        buf_init(&bad, SIZE_MAX);
        buf_put(&bad, buf_str(&good));
        bad.ptr[rows[i].at] = (char)(bad.ptr[rows[i].at] ^ 0x10);
        write_whole(f, buf_str(&bad));
        err = read_with_ours(f, key);
        if (err != rows[i].err)
            fail_msg("%s: %s, %s", rows[i].name, err_name(err), f->task.words);
        task_forgive(&f->task);
        read_whole(f, &after);
        assert_true(str_equal(buf_str(&bad), buf_str(&after)));
    }
}

static void test_truncation(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *key = new_key("correct horse");
    CLEANUP(buf_free) struct buf good = {0};
    const size_t lengths[] = {0, 1, 99, 100, 4095, 4096, 3 * 4096, 3 * 4096 + 7};

    write_with_ours(f, key, DB_CREATE);
    read_whole(f, &good);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        CLEANUP(buf_free) struct buf after = {0};
        struct str part = str_upto(buf_str(&good), lengths[i]);

        write_whole(f, part);
        assert_int_equal(read_with_ours(f, key), ERR_CORRUPT);
        task_forgive(&f->task);
        read_whole(f, &after);
        assert_true(str_equal(part, buf_str(&after)));
    }
}

static int compare_nonces(const void *a, const void *b)
{
    return memcmp(a, b, CIPHER_PAGE_NONCE_BYTES);
}

/* Each page in the file and in the log of every child: no nonce twice. */
static size_t collect_nonces(struct fixture *f, const char *path, unsigned char *out, size_t room)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    size_t count = 0, page = 4096, frame_header = 0, at = 0;

    buf_init(&bytes, SIZE_MAX);
    if (file_read(&f->task, AT_FDCWD, path, SIZE_MAX, &bytes) != ERR_OK) {
        task_forgive(&f->task);
        return 0;
    }
    if (str_ends_with(str_from_c(path), STR("-wal"))) {
        frame_header = 24;
        at = 32;
    }
    for (; at + frame_header + page <= bytes.len; at += frame_header + page) {
        assert_true(count < room);
        memcpy(out + count * CIPHER_PAGE_NONCE_BYTES,
               bytes.ptr + at + frame_header + page - CIPHER_RESERVED_BYTES,
               CIPHER_PAGE_NONCE_BYTES);
        count++;
    }
    return count;
}

/* What must never be: a child that goes on with the nonces its parent had put by. */
static void write_in_child(struct fixture *f, struct db *inherited)
{
    for (int i = 0; i < 20; i++) {
        if (db_begin(inherited, &f->task) != ERR_OK ||
            db_execute(inherited, &f->task, "INSERT INTO t(b) VALUES (zeroblob(20000))") !=
                ERR_OK ||
            db_commit(inherited, &f->task, false) != ERR_OK)
            _exit(1);
    }
    _exit(0);
}

static void test_no_nonce_twice_after_fork(void **state)
{
    enum { CHILDREN = 6, NONCES_MAX = 20000 };
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *key = new_key("correct horse");
    CLEANUP(db_close) struct db *db = NULL;
    unsigned char *nonces = NEW_ARRAY(unsigned char, NONCES_MAX *CIPHER_PAGE_NONCE_BYTES);
    char wal[128];
    size_t count;

    /* The parent has written, so that its pool is part used when the children are made. */
    secret_set_inherited(true);
    assert_int_equal(db_open(&f->task, f->path, DB_CREATE, key, &db), ERR_OK);
    assert_int_equal(db_execute(db, &f->task, fill_sql), ERR_OK);
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0)
            write_in_child(f, db);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    secret_set_inherited(false);
    snprintf(wal, sizeof(wal), "%s-wal", f->path);
    count = collect_nonces(f, wal, nonces, NONCES_MAX);
    count +=
        collect_nonces(f, f->path, nonces + count * CIPHER_PAGE_NONCE_BYTES, NONCES_MAX - count);
    assert_true(count > 600);
    qsort(nonces, count, CIPHER_PAGE_NONCE_BYTES, compare_nonces);
    for (size_t i = 1; i < count; i++)
        assert_memory_not_equal(nonces + (i - 1) * CIPHER_PAGE_NONCE_BYTES,
                                nonces + i * CIPHER_PAGE_NONCE_BYTES, CIPHER_PAGE_NONCE_BYTES);
    mem_free(&nonces);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stock_reads_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ours_reads_stock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stock_reads_our_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_passwords_in_the_shape_of_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_nonce_twice_after_fork, set_up, tear_down),
    };

    if (argc != 2)
        return 2;
    stock_path = argv[1];
    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
