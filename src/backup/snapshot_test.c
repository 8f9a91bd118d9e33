/* Full backups and base copies of a real vault that is written to meanwhile. */
#include "backup/snapshot.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "secret/hasher.h"
#include "sqlite/db.h"
#include "vault/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES = 50 };

static struct snapshot_request request_of(struct fixture *f, enum snapshot_kind kind)
{
    return (struct snapshot_request){
        .kind = kind,
        .path = f->path,
        .target = arena_printf(&f->task.arena, "%s/copy", f->folder).ptr,
        .key = f->key,
        .vault = f->vault,
        .timeout_ms = 60000,
    };
}

static void fill(struct fixture *f)
{
    for (int i = 0; i < MESSAGES; i++)
        fixture_append(f, f->inbox, fixture_message(f, "hello"), 0);
}

static int64_t messages_in(struct fixture *f, const char *path)
{
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    if (db_open(&f->task, path, DB_OPEN, f->key, &db) != ERR_OK ||
        db_prepare(db, &f->task, "SELECT count(*) FROM message", &statement) != ERR_OK ||
        db_step(db, &f->task, statement, &has_row) != ERR_OK)
        fail_msg("%s", f->task.words);
    return db_column_int(statement, 0);
}

static void a_full_backup_is_the_mailbox_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct snapshot_request request = request_of(f, SNAPSHOT_FULL);
    struct snapshot_result result;
    struct snapshot *snapshot;
    struct vault_usage usage;
    CLEANUP(buf_free) struct buf bytes = {0};
    unsigned char digest[CRYPT_HASH_BYTES];

    fill(f);
    vault_usage(f->vault, &usage);
    assert_int_equal(snapshot_start(&f->task, &request, &snapshot), ERR_OK);
    fill(f); /* sessions go on: some of these may be in it, all are in the live file */
    snapshot_collect(snapshot, &result);
    snapshot_free(&snapshot);
    if (result.err != ERR_OK)
        fail_msg("%s", result.words);
    assert_true(id_equal(&result.mailbox, &f->options.id));
    assert_in_range(result.change_counter, usage.change_counter, usage.change_counter + MESSAGES);
    assert_true(result.schema > 0);
    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(file_read(&f->task, AT_FDCWD, request.target, SIZE_MAX / 2, &bytes), ERR_OK);
    hasher_sha256(buf_str(&bytes), digest);
    assert_memory_equal(digest, result.digest, sizeof(digest));
    assert_int_equal(bytes.len, result.size_bytes);
    assert_in_range(messages_in(f, request.target), MESSAGES, 2 * MESSAGES);
    assert_int_equal(unlink(request.target), 0);
    /* The live file is none the worse. */
    fixture_reopen(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 2 * MESSAGES);
}

/* The file alone, as if its log were gone. */
static int64_t messages_in_file(struct fixture *f)
{
    const char *alone = arena_printf(&f->task.arena, "%s/alone", f->folder).ptr;
    CLEANUP(buf_free) struct buf bytes = {0};
    int64_t messages;
    int fd;

    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(file_read(&f->task, AT_FDCWD, f->path, SIZE_MAX / 2, &bytes), ERR_OK);
    fd = open(alone, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(fd_write_all(&f->task, fd, buf_str(&bytes)), ERR_OK);
    close(fd);
    messages = messages_in(f, alone);
    assert_int_equal(unlink(alone), 0);
    return messages;
}

static void run_full(struct fixture *f)
{
    struct snapshot_request request = request_of(f, SNAPSHOT_FULL);
    struct snapshot_result result;
    struct snapshot *snapshot;

    assert_int_equal(snapshot_start(&f->task, &request, &snapshot), ERR_OK);
    assert_true(vault_checkpoints_are_held(f->vault));
    snapshot_collect(snapshot, &result);
    snapshot_free(&snapshot);
    if (result.err != ERR_OK)
        fail_msg("%s", result.words);
    assert_int_equal(unlink(request.target), 0);
}

static void the_log_is_written_back_by_the_child(void **state)
{
    struct fixture *f = *state;

    fill(f);
    assert_int_equal(messages_in_file(f), 0);
    run_full(f);
    assert_false(vault_checkpoints_are_held(f->vault));
    assert_int_equal(messages_in_file(f), MESSAGES);
    fill(f);
    fixture_reopen(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 2 * MESSAGES);
}

static void not_while_somebody_copies_the_file(void **state)
{
    struct fixture *f = *state;

    fill(f);
    vault_hold_checkpoints(f->vault, true);
    run_full(f);
    assert_true(vault_checkpoints_are_held(f->vault));
    assert_int_equal(messages_in_file(f), 0);
    vault_hold_checkpoints(f->vault, false);
}

static void one_that_is_given_up_lets_go(void **state)
{
    struct fixture *f = *state;
    struct snapshot_request request = request_of(f, SNAPSHOT_FULL);
    struct snapshot *snapshot;

    fill(f);
    assert_int_equal(snapshot_start(&f->task, &request, &snapshot), ERR_OK);
    snapshot_free(&snapshot);
    assert_false(vault_checkpoints_are_held(f->vault));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing of it goes on */
    assert_int_equal(access(request.target, F_OK), -1);
}

static void a_wrong_key_or_a_damaged_copy_is_told(void **state)
{
    struct fixture *f = *state;
    struct snapshot_request request = request_of(f, SNAPSHOT_FULL);
    CLEANUP(secret_free) struct secret *other = secret_new(MAILBOX_KEY_BYTES);
    struct snapshot_result result;
    char junk[64];
    int fd;

    fill(f);
    snapshot_run(&request, &result);
    assert_int_equal(result.err, ERR_OK);
    request.kind = SNAPSHOT_CHECK;
    snapshot_run(&request, &result);
    assert_int_equal(result.err, ERR_OK);
    request.key = other;
    snapshot_run(&request, &result);
    assert_int_equal(result.err, ERR_DENIED);
    request.key = f->key;
    random_bytes(junk, sizeof(junk));
    fd = open(request.target, O_WRONLY);
    assert_int_equal(pwrite(fd, junk, sizeof(junk), 5 * 4096 + 100), sizeof(junk));
    close(fd);
    snapshot_run(&request, &result);
    assert_int_equal(result.err, ERR_CORRUPT);
    assert_int_equal(unlink(request.target), 0);
}

/* The one that hashes would go on for hours: for a copy that is no good nobody waits that long. */
static void hashing_ends_with_the_check(void **state)
{
    struct fixture *f = *state;
    struct snapshot_request request = request_of(f, SNAPSHOT_FULL);
    struct snapshot_result result;
    struct snapshot *snapshot;
    char junk[64];
    int fd;

    fill(f);
    snapshot_run(&request, &result);
    assert_int_equal(result.err, ERR_OK);
    random_bytes(junk, sizeof(junk));
    fd = open(request.target, O_WRONLY);
    assert_int_equal(pwrite(fd, junk, sizeof(junk), 5 * 4096 + 100), sizeof(junk));
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    close(fd);
    request.kind = SNAPSHOT_CHECK;
    assert_int_equal(snapshot_start(&f->task, &request, &snapshot), ERR_OK);
    snapshot_collect(snapshot, &result);
    snapshot_free(&snapshot);
    assert_int_equal(result.err, ERR_CORRUPT);
    assert_int_equal(unlink(request.target), 0);
}

/* Its child can write a little, and then no more. */
static struct snapshot *start_without_room(struct fixture *f,
                                           const struct snapshot_request *request)
{
    struct rlimit limit = {.rlim_cur = 64 * 1024, .rlim_max = RLIM_INFINITY}, old;
    struct snapshot *snapshot;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(snapshot_start(&f->task, request, &snapshot), ERR_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    return snapshot;
}

static void no_room_on_the_disk(void **state)
{
    struct fixture *f = *state;
    struct snapshot_request request = request_of(f, SNAPSHOT_FULL);
    struct snapshot_result result;
    struct snapshot *snapshot;

    fill(f);
    signal(SIGXFSZ, SIG_IGN);
    snapshot = start_without_room(f, &request);
    snapshot_collect(snapshot, &result);
    snapshot_free(&snapshot);
    assert_true(result.err == ERR_LIMIT || result.err == ERR_IO);
    assert_int_equal(access(request.target, F_OK), -1);
}

/* A mailbox larger than what is free: it is told before anything is written. */
static void no_copy_begins_that_would_fill_the_disk(void **state)
{
    static const enum snapshot_kind kinds[] = {SNAPSHOT_FULL, SNAPSHOT_BASE};
    struct fixture *f = *state;
    struct snapshot *snapshot;
    int fd;

    vault_close(&f->vault);
    fd = open(f->path, O_WRONLY);
    assert_int_equal(ftruncate(fd, (off_t)1 << 43), 0); /* with a hole of 8 TB */
    close(fd);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct snapshot_request request = request_of(f, kinds[i]);

        request.vault = NULL;
        assert_int_equal(snapshot_start(&f->task, &request, &snapshot), ERR_LIMIT);
        assert_non_null(strstr(f->task.words, "free room"));
        task_forgive(&f->task);
        assert_int_equal(access(request.target, F_OK), -1);
    }
}

/* As tmpfs without a limit, and file systems of users that do not tell: no block of any kind. */
static void a_disk_that_does_not_tell_its_room_is_no_full_one(void **state)
{
    struct fixture *f = *state;
    struct snapshot_request request = request_of(f, SNAPSHOT_BASE);
    struct snapshot_result result;
    struct snapshot *snapshot;

    request.path = "/proc/version";
    assert_int_equal(snapshot_start(&f->task, &request, &snapshot), ERR_OK);
    snapshot_collect(snapshot, &result);
    snapshot_free(&snapshot);
    assert_int_equal(result.err, ERR_OK);
    assert_int_equal(unlink(request.target), 0);
}

static void a_backup_that_takes_too_long_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct snapshot_request request = request_of(f, SNAPSHOT_BASE);
    struct snapshot_result result;

    fill(f);
    request.timeout_ms = 0;
    snapshot_run(&request, &result);
    assert_int_equal(result.err, ERR_BUSY);
    assert_int_equal(access(request.target, F_OK), -1);
}

static void a_child_that_dies_is_reported(void **state)
{
    struct fixture *f = *state;
    struct snapshot_request request = request_of(f, SNAPSHOT_FULL);
    struct snapshot_result result;
    struct snapshot *snapshot;

    fill(f);
    signal(SIGXFSZ, SIG_DFL); /* the child is killed by it */
    snapshot = start_without_room(f, &request);
    snapshot_collect(snapshot, &result);
    snapshot_free(&snapshot);
    assert_int_equal(result.err, ERR_IO);
    assert_int_equal(access(request.target, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        TEST(a_full_backup_is_the_mailbox_as_it_was), TEST(a_wrong_key_or_a_damaged_copy_is_told),
        TEST(hashing_ends_with_the_check),
        TEST(no_room_on_the_disk), TEST(no_copy_begins_that_would_fill_the_disk),
        TEST(a_disk_that_does_not_tell_its_room_is_no_full_one),
        TEST(a_backup_that_takes_too_long_leaves_nothing),
        TEST(a_child_that_dies_is_reported), TEST(the_log_is_written_back_by_the_child),
        TEST(not_while_somebody_copies_the_file), TEST(one_that_is_given_up_lets_go),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
