/* The mailbox's own file: out under another key, in again, and files that are not what they seem.
 */
#include "base/file.h"
#include "base/memory.h"
#include "secret/crypt.h"
#include "sqlite/db.h"
#include "transfer/file_in.h"
#include "transfer/file_out.h"
#include "vault/fixture.h"
#include "vault/foreign.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES = 40 };

struct world {
    struct fixture *f;
    char path[160]; /* of the copy */
    struct secret *copy_key;
    int fd; /* of the copy */
    bool is_wanted;
};

static const unsigned char copy_salt[MAILBOX_SALT_BYTES] = "another salt...";

static void on_progress(void *owner, const char *what, uint64_t done, uint64_t total)
{
    (void)owner;
    assert_non_null(what);
    assert_true(total == 0 || done <= total);
}

static bool is_wanted(void *owner)
{
    const struct world *world = owner;

    return world->is_wanted;
}

static int set_up(void **state)
{
    struct world *world = NEW(struct world);
    void *fixture_state;
    char *large = mem_new(300 * 1024, 1);

    fixture_set_up(&fixture_state);
    world->f = fixture_state;
    world->is_wanted = true;
    (void)snprintf(world->path, sizeof(world->path), "%s/copy", world->f->folder);
    world->copy_key = crypt_mailbox_key(STR("a password that was given"), copy_salt);
    for (int i = 0; i < MESSAGES; i++)
        fixture_append(world->f, world->f->inbox, fixture_message(world->f, "hello"), 0);
    memset(large, 'x', 300 * 1024 - 1);
    fixture_append(world->f, world->f->archive, str_make(large, 300 * 1024 - 1), 0);
    fixture_execute(world->f, "INSERT INTO lane_root VALUES (x'01', 1, x'02', x'03', 'today')");
    mem_free(&large);
    world->fd = open(world->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(world->fd >= 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    void *fixture_state = world->f;

    fd_close(&world->fd);
    (void)unlink(world->path);
    secret_free(&world->copy_key);
    fixture_execute(world->f, "DELETE FROM lane_root");
    fixture_tear_down(&fixture_state); /* finds the folder without anything else in it */
    mem_free(&world);
    return 0;
}

static enum err write_copy(struct world *world, struct transfer_totals *out)
{
    const struct transfer_file_out request = {
        .vault = world->f->options,
        .key = world->f->key,
        .copy_key = world->copy_key,
        .fd = world->fd,
        .events = {on_progress, is_wanted, world},
    };
    enum err err;

    /* As in life: where nothing else has the file in this process. */
    vault_close(&world->f->vault);
    err = transfer_file_out(&world->f->task, &request, out);
    if (vault_open(&world->f->task, &world->f->options, world->f->key, &world->f->vault) != ERR_OK)
        fail_msg("open: %s", world->f->task.words);
    return err;
}

static enum err open_copy(struct world *world, const struct secret *key, struct vault **out)
{
    struct id id;

    return vault_open_foreign(&world->f->task, world->fd, key, &id, out);
}

static void test_out_and_in(void **state)
{
    struct world *world = *state;
    struct transfer_totals totals;
    struct vault *copy;
    struct vault_folder folder;
    struct stat status;
    unsigned char head[24];
    struct id id;

    if (write_copy(world, &totals) != ERR_OK)
        fail_msg("%s", world->f->task.words);
    assert_int_equal(totals.messages, MESSAGES + 1);
    assert_int_equal(fstat(world->fd, &status), 0);
    assert_int_equal(totals.bytes, status.st_size);
    assert_int_equal(pread(world->fd, head, sizeof(head), 0), (ssize_t)sizeof(head));
    assert_memory_equal(head, copy_salt, sizeof(copy_salt));
    assert_int_equal(head[18],
                     1); /* no log: one file, which may be opened where nothing can be written */
    assert_int_equal(head[19], 1);
    assert_true(transfer_file_is_one(world->fd));

    if (vault_open_foreign(&world->f->task, world->fd, world->copy_key, &id, &copy) != ERR_OK)
        fail_msg("%s", world->f->task.words);
    assert_true(id_equal(&id, &world->f->options.id));
    assert_int_equal(vault_folder_find(copy, &world->f->task, STR("Archive"), &folder), ERR_OK);
    assert_int_equal(folder.message_count, 1);
    assert_true(folder.is_subscribed);
    assert_int_equal(folder.use, VAULT_USE_ARCHIVE);
    vault_close(&copy);
    /* The mailbox's own key opens it no more. */
    assert_int_equal(open_copy(world, world->f->key, &copy), ERR_DENIED);
}

/* What opens waiting mail does not leave the server, nor stay in a free page. */
static void test_without_lane_roots(void **state)
{
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct world *world = *state;
    struct transfer_totals totals;
    bool has_row;

    assert_int_equal(write_copy(world, &totals), ERR_OK);
    assert_int_equal(fixture_ask(world->f, "SELECT count(*) FROM lane_root"), 1);
    assert_int_equal(db_open_foreign(&world->f->task, world->fd, world->copy_key, &db), ERR_OK);
    assert_int_equal(db_prepare(db, &world->f->task, "SELECT count(*) FROM lane_root", &statement),
                     ERR_OK);
    assert_int_equal(db_step(db, &world->f->task, statement, &has_row), ERR_OK);
    assert_int_equal(db_column_int(statement, 0), 0);
}

static void test_not_wanted(void **state)
{
    struct world *world = *state;
    struct transfer_totals totals;

    world->is_wanted = false;
    assert_int_equal(write_copy(world, &totals), ERR_BUSY);
}

static void test_no_room(void **state)
{
    struct world *world = *state;
    struct transfer_totals totals;

    fd_close(&world->fd);
    world->fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(world->fd >= 0);
    assert_int_equal(write_copy(world, &totals), ERR_LIMIT);
    assert_non_null(strstr(world->f->task.words, "where it is written"));
}

/* What can only be appended to is written elsewhere than it is read back from. */
static void test_read_back(void **state)
{
    struct world *world = *state;
    struct transfer_totals totals;

    assert_int_equal(write(world->fd, "something else", 14), 14);
    assert_int_equal(fcntl(world->fd, F_SETFL, O_APPEND), 0);
    assert_int_equal(lseek(world->fd, 0, SEEK_SET), 0);
    assert_int_equal(write_copy(world, &totals), ERR_CORRUPT);
}

/* --- What is brought along --- */

static void change_copy(struct world *world, const char *sql)
{
    CLEANUP(db_close) struct db *db = NULL;

    if (db_open(&world->f->task, world->path, DB_OPEN, world->copy_key, &db) != ERR_OK)
        fail_msg("%s", world->f->task.words);
    /* As a stranger can, whatever our own connections forbid. */
    sqlite3_db_config(db_handle(db), SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    if (sqlite3_exec(db_handle(db), sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db_handle(db)));
}

static void test_strangers(void **state)
{
    static const struct {
        const char *sql;
        enum err err;
        const char *words; /* in them */
    } rows[] = {
        {"PRAGMA user_version=999", ERR_INVALID, "newer"},
        {"PRAGMA user_version=0", ERR_INVALID, "no version"},
        {"PRAGMA user_version=2", ERR_CORRUPT, "schema"},
        {"CREATE TABLE extra (a)", ERR_CORRUPT, "unknown table extra"},
        {"CREATE VIEW extra AS SELECT 1", ERR_CORRUPT, "unknown view extra"},
        {"CREATE TRIGGER extra AFTER INSERT ON folder BEGIN DELETE FROM message; END", ERR_CORRUPT,
         "unknown trigger extra"},
        {"CREATE INDEX extra ON folder(uidnext)", ERR_CORRUPT, "unknown index extra"},
        {"ALTER TABLE folder ADD COLUMN extra TEXT", ERR_CORRUPT, "folder"},
        {"DROP TABLE part; CREATE VIRTUAL TABLE part USING fts5(key)", ERR_CORRUPT, "part"},
        {"DROP TABLE part; CREATE VIEW part AS SELECT 1 AS key", ERR_CORRUPT, "part"},
        {"DROP INDEX quarantine_record", ERR_CORRUPT, "quarantine_record"},
        {"DELETE FROM mailbox", ERR_CORRUPT, "which mailbox"},
        {"UPDATE mailbox SET mailbox_id='../../etc'", ERR_CORRUPT, "which mailbox"},
        {"UPDATE folder SET id=9223372036854775807 WHERE name='INBOX'", ERR_CORRUPT, "folder"},
        {"UPDATE folder SET special_use=99 WHERE name='INBOX'", ERR_CORRUPT, "folder"},
        {"UPDATE folder SET uidvalidity=-1 WHERE name='INBOX'", ERR_CORRUPT, "folder"},
        {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20001) "
         "INSERT INTO folder(name, uidvalidity) SELECT 'f'||i, i FROM n",
         ERR_CORRUPT, "too many folders"},
        {"UPDATE message SET content_id=1<<60", ERR_CORRUPT, "message"},
        {"UPDATE message SET size_bytes=-1", ERR_CORRUPT, "message"},
        {"UPDATE part SET length=-1", ERR_CORRUPT, "part"},
        {"UPDATE part SET line_length=3", ERR_CORRUPT, "part"},
        {"UPDATE part SET attachment_id=-5", ERR_CORRUPT, "part"},
        {"INSERT INTO attachment VALUES (1, x'00', -1, 1)", ERR_CORRUPT, "attachment"},
        {"INSERT INTO keyword VALUES (70, 'far')", ERR_CORRUPT, "keyword"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct transfer_totals totals;
        struct vault *copy;
        enum err err;

        assert_int_equal(ftruncate(world->fd, 0), 0);
        assert_int_equal(lseek(world->fd, 0, SEEK_SET), 0);
        assert_int_equal(write_copy(world, &totals), ERR_OK);
        change_copy(world, rows[i].sql);
        err = open_copy(world, world->copy_key, &copy);
        if (err != rows[i].err || strstr(world->f->task.words, rows[i].words) == NULL)
            fail_msg("%s: %d %s", rows[i].sql, (int)err, world->f->task.words);
        task_forgive(&world->f->task);
    }
}

/* As programs of the versions before wrote it. */
static void test_earlier_version(void **state)
{
    static const char *const steps_back[] = {
        "ALTER TABLE content DROP COLUMN has_utf8_header; PRAGMA user_version=8",
        "DROP TABLE former_name; ALTER TABLE folder DROP COLUMN incarnation; "
        "PRAGMA user_version=7",
    };
    struct world *world = *state;
    struct transfer_totals totals;
    struct vault *copy;

    assert_int_equal(write_copy(world, &totals), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(steps_back); i++) {
        change_copy(world, steps_back[i]);
        if (open_copy(world, world->copy_key, &copy) != ERR_OK)
            fail_msg("%zu: %s", i, world->f->task.words);
        vault_close(&copy);
    }
}

/* A page that was changed, exchanged or cut off; bytes that are no page at all. */
static void test_damaged(void **state)
{
    struct world *world = *state;
    struct transfer_totals totals;
    struct stat status;
    struct vault *copy;
    char page[4096], other[4096];

    assert_int_equal(write_copy(world, &totals), ERR_OK);
    assert_int_equal(fstat(world->fd, &status), 0);
    for (off_t at = 4096 + 100; at < status.st_size; at += 4096 * 7) {
        char byte, changed;

        assert_int_equal(pread(world->fd, &byte, 1, at), 1);
        changed = (char)(byte ^ 1);
        assert_int_equal(pwrite(world->fd, &changed, 1, at), 1);
        if (open_copy(world, world->copy_key, &copy) != ERR_CORRUPT)
            fail_msg("a byte at %lld", (long long)at);
        task_forgive(&world->f->task);
        assert_int_equal(pwrite(world->fd, &byte, 1, at), 1);
    }
    assert_int_equal(pread(world->fd, page, sizeof(page), 4096 * 3), 4096);
    assert_int_equal(pread(world->fd, other, sizeof(other), 4096 * 4), 4096);
    assert_int_equal(pwrite(world->fd, other, sizeof(other), 4096 * 3), 4096);
    assert_int_equal(open_copy(world, world->copy_key, &copy), ERR_CORRUPT);
    task_forgive(&world->f->task);
    assert_int_equal(pwrite(world->fd, page, sizeof(page), 4096 * 3), 4096);
    assert_int_equal(ftruncate(world->fd, status.st_size / 2 / 4096 * 4096), 0);
    assert_int_equal(open_copy(world, world->copy_key, &copy), ERR_CORRUPT);
    task_forgive(&world->f->task);
    assert_int_equal(ftruncate(world->fd, 100), 0);
    assert_false(transfer_file_is_one(world->fd));
    assert_int_equal(open_copy(world, world->copy_key, &copy), ERR_INVALID);
    task_forgive(&world->f->task);
}

static void test_clear(void **state)
{
    struct world *world = *state;
    CLEANUP(buf_free) struct buf bytes;

    buf_init(&bytes, SIZE_MAX);
    buf_put(&bytes, str_make("SQLite format 3", 16));
    while (bytes.len < 512)
        buf_put(&bytes, str_make("", 1));
    assert_int_equal(fd_write_all(&world->f->task, world->fd, buf_str(&bytes)), ERR_OK);
    assert_true(transfer_file_is_one(world->fd));
    assert_int_equal(transfer_file_in(&world->f->task, world->fd, STR("x"), NULL), ERR_INVALID);
    assert_non_null(strstr(world->f->task.words, "not encrypted"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_out_and_in), TEST(test_without_lane_roots),
        TEST(test_not_wanted), TEST(test_no_room),
        TEST(test_read_back),  TEST(test_strangers), TEST(test_earlier_version),
        TEST(test_damaged),    TEST(test_clear),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
