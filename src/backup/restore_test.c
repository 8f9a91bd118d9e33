/* Restoring whole mailboxes: into their place, without the live file, and killed at every step. */
#include "backup/restore.h"

#include "backup/segment.h"
#include "backup/snapshot.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "dropbox/faults.h"
#include "vault/fixture.h"
#include "vault/rekey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LANE_BYTE = 7, OLD_MESSAGES = 3, NEW_MESSAGES = 5 };

/* A backup of three messages; two more came since, and a lane root. */
struct backup {
    int fd;
    struct buf manifest;
};

static void take_backup(struct fixture *f, struct backup *out)
{
    struct snapshot_request request = {.kind = SNAPSHOT_FULL,
                                       .path = f->path,
                                       .key = f->key,
                                       .timeout_ms = 60000};
    CLEANUP(secret_free) struct secret *key = segment_key(f->key);
    struct snapshot_result result;
    struct manifest manifest;

    request.target = arena_printf(&f->task.arena, "%s/copy", f->folder).ptr;
    snapshot_run(&request, &result);
    if (result.err != ERR_OK)
        fail_msg("%s", result.words);
    out->fd = open(request.target, O_RDONLY);
    assert_int_equal(unlink(request.target), 0);
    manifest = (struct manifest){.mailbox = result.mailbox,
                                 .time_ms = clock_now_ms(),
                                 .size_bytes = result.size_bytes,
                                 .epoch = result.epoch,
                                 .change_counter = result.change_counter,
                                 .schema = result.schema};
    memcpy(manifest.digest, result.digest, sizeof(result.digest));
    buf_init(&out->manifest, MANIFEST_BYTES_MAX);
    manifest_write(&manifest, key, &out->manifest);
}

static void prepare(struct fixture *f, struct backup *out)
{
    struct vault_lane_root root = {.generation = 9};

    for (int i = 0; i < OLD_MESSAGES; i++)
        fixture_append(f, f->inbox, fixture_message(f, "old"), VAULT_FLAG_FLAGGED);
    take_backup(f, out);
    for (int i = OLD_MESSAGES; i < NEW_MESSAGES; i++)
        fixture_append(f, f->inbox, fixture_message(f, "new"), 0);
    memset(root.lane, LANE_BYTE, sizeof(root.lane));
    root.boot_key_1 = secret_new(32);
    root.x25519_secret = secret_new(32);
    assert_int_equal(vault_lane_root_add(f->vault, &f->task, &root), ERR_OK);
    vault_lane_root_done(&root);
}

static void backup_done(struct backup *backup)
{
    fd_close(&backup->fd);
    buf_free(&backup->manifest);
}

static void note_seen(struct fixture *f)
{
    struct vault_usage usage;

    vault_usage(f->vault, &usage);
    f->options.epoch_seen = usage.epoch;
    f->options.change_counter_seen = usage.change_counter;
}

/* What a child does of it: the rest is for the mailbox's process. */
static enum err build(struct fixture *f, struct task *task, const struct backup *backup,
                      struct restore_options *options, int64_t *out_reached_ms)
{
    CLEANUP(restore_free) struct restore *restore = restore_begin(task, options);

    TRY(restore_base(restore, task, buf_str(&backup->manifest), backup->fd));
    TRY(restore_finish(restore, task));
    if (!secret_equal(secret_str(options->key), secret_str(f->key))) {
        TRY(restore_rekey(restore, task, f->key));
        options->key = f->key;
    }
    *out_reached_ms = restore_reached_ms(restore);
    restore_leave(&restore);
    return ERR_OK;
}

/* `key`: the backup's; where it is not the mailbox's, the result is under the mailbox's all the same. */
static enum err restore_it(struct fixture *f, struct task *task, const struct backup *backup,
                           const struct secret *key, struct str *out_kept)
{
    struct restore_options options = {.folder = f->folder,
                                      .mailbox = f->options.id,
                                      .key = key,
                                      .log = &f->log,
                                      .until_ms = INT64_MAX};
    CLEANUP(restore_free) struct restore *restore = NULL;
    int64_t reached_ms = 0;

    TRY(build(f, task, backup, &options, &reached_ms));
    restore = restore_resume(task, &options, reached_ms);
    return restore_exchange(restore, task, &f->options, f->key, out_kept);
}

static void open_again(struct fixture *f)
{
    f->vault = NULL;
    if (vault_open(&f->task, &f->options, f->key, &f->vault) != ERR_OK)
        fail_msg("%s", f->task.words);
}

/* The folder has these, the mailbox and nothing else. */
static void remove_kept(struct fixture *f)
{
    char command[200];

    snprintf(command, sizeof(command), "rm -f %s/*.before-* %s/*.restored*", f->folder, f->folder);
    assert_int_equal(system(command), 0);
}

static void the_whole_mailbox(void **state)
{
    struct fixture *f = *state;
    unsigned char lane[VAULT_LANE_BYTES];
    struct vault_folder before, after;
    struct backup backup;
    uint64_t generation;
    struct str kept;

    prepare(f, &backup);
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &before), ERR_OK);
    note_seen(f);
    vault_close(&f->vault);
    if (restore_it(f, &f->task, &backup, f->key, &kept) != ERR_OK)
        fail_msg("%s", f->task.words);
    assert_true(kept.len > 0);
    open_again(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), OLD_MESSAGES);
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &after), ERR_OK);
    assert_true(after.uidvalidity > before.uidvalidity); /* clients must not mix the two */
    assert_true(after.highest_modseq > before.highest_modseq);
    assert_false(vault_was_rolled_back(f->vault)); /* that is settled already */
    memset(lane, LANE_BYTE, sizeof(lane));
    assert_int_equal(vault_lane_generation(f->vault, &f->task, lane, &generation), ERR_OK);
    assert_int_equal(generation, 9); /* what was sealed since still opens */
    /* The old file is whole. */
    vault_close(&f->vault);
    assert_int_equal(rename(arena_printf(&f->task.arena, "%s/%.*s", f->folder, STR_ARG(kept)).ptr,
                            f->path),
                     0);
    f->options.epoch_seen = f->options.change_counter_seen = 0;
    open_again(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), NEW_MESSAGES);
    backup_done(&backup);
    remove_kept(f);
}

static void the_live_file_is_lost(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *key = NULL;
    struct backup backup;
    struct str kept;

    prepare(f, &backup);
    note_seen(f);
    vault_close(&f->vault);
    assert_int_equal(unlink(f->path), 0);
    /* Nothing but the password and the backup. */
    assert_int_equal(restore_key(&f->task, STR("correct horse"), backup.fd, &key), ERR_OK);
    assert_true(secret_equal(secret_str(key), secret_str(f->key)));
    if (restore_it(f, &f->task, &backup, key, &kept) != ERR_OK)
        fail_msg("%s", f->task.words);
    assert_int_equal(kept.len, 0);
    open_again(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), OLD_MESSAGES);
    backup_done(&backup);
}

static void the_live_file_is_damaged(void **state)
{
    struct fixture *f = *state;
    struct backup backup;
    struct str kept;
    char junk[8192];
    int fd;

    prepare(f, &backup);
    note_seen(f);
    vault_close(&f->vault);
    random_bytes(junk, sizeof(junk));
    fd = open(f->path, O_WRONLY);
    assert_int_equal(pwrite(fd, junk, sizeof(junk), 24), sizeof(junk));
    close(fd);
    if (restore_it(f, &f->task, &backup, f->key, &kept) != ERR_OK)
        fail_msg("%s", f->task.words);
    assert_true(kept.len > 0);
    open_again(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), OLD_MESSAGES);
    backup_done(&backup);
    remove_kept(f);
}

static void what_is_refused(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *wrong = NULL;
    CLEANUP(buf_free) struct buf bytes = {0};
    struct backup backup, altered;
    struct stat before, after;
    struct str kept;

    prepare(f, &backup);
    note_seen(f);
    vault_close(&f->vault);
    assert_int_equal(stat(f->path, &before), 0);
    assert_int_equal(restore_key(&f->task, STR("wrong horse"), backup.fd, &wrong), ERR_OK);
    assert_int_equal(restore_it(f, &f->task, &backup, wrong, &kept), ERR_CORRUPT);
    task_forgive(&f->task);
    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(fd_read_all(&f->task, backup.fd, SIZE_MAX / 2, &bytes), ERR_OK);
    altered = backup;
    bytes.ptr[bytes.len / 2] ^= 4;
    assert_int_equal(memfd_from(&f->task, buf_str(&bytes), &altered.fd), ERR_OK);
    assert_int_equal(restore_it(f, &f->task, &altered, f->key, &kept), ERR_CORRUPT);
    assert_non_null(strstr(f->task.words, "was altered"));
    task_forgive(&f->task);
    fd_close(&altered.fd);
    assert_int_equal(memfd_from(&f->task, str_upto(buf_str(&bytes), bytes.len - 5000), &altered.fd),
                     ERR_OK);
    assert_int_equal(restore_it(f, &f->task, &altered, f->key, &kept), ERR_CORRUPT);
    assert_non_null(strstr(f->task.words, "it was cut"));
    task_forgive(&f->task);
    fd_close(&altered.fd);
    *strstr(backup.manifest.ptr, "\"epoch\": 1") = ' ';
    assert_int_equal(restore_it(f, &f->task, &backup, f->key, &kept), ERR_CORRUPT);
    task_forgive(&f->task);
    assert_int_equal(stat(f->path, &after), 0); /* nothing of it touched the live file */
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    open_again(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), NEW_MESSAGES);
    backup_done(&backup);
}

/*
 * Killed at every write, sync and rename: the old mailbox is there, whole, or the restored one. Where
 * a step takes ten times as long, at every fifth: what a kill leaves is the same in both builds.
 */
static void kill_at_every_step(struct fixture *f, const struct backup *backup,
                               const struct secret *key)
{
    int olds = 0, news = 0;
    char path[160], command[400];

    snprintf(path, sizeof(path), "%s/saved", f->folder);
    snprintf(command, sizeof(command), "cp %s %s", f->path, path);
    assert_int_equal(system(command), 0);
    for (long step = 1;; step += IS_SANITIZED ? 5 : 1) {
        int status;
        pid_t pid;

        snprintf(command, sizeof(command), "rm -f %s/%s.*; cp %s %s", f->folder,
                 f->options.id.text, path, f->path);
        assert_int_equal(system(command), 0);
        secret_set_inherited(true);
        pid = fork();
        if (pid == 0) {
            struct str kept;

            faults_set(FAULTS_KILL, step, false);
            _exit(restore_it(f, &f->task, backup, key, &kept) == ERR_OK ? 0 : 1);
        }
        secret_set_inherited(false);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        open_again(f);
        if (fixture_ask(f, "SELECT count(*) FROM message") == NEW_MESSAGES)
            olds++;
        else
            news++;
        assert_true(news == 0 || fixture_ask(f, "SELECT count(*) FROM message") == OLD_MESSAGES);
        fixture_check(f);
        vault_close(&f->vault);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
    }
    printf("killed at %d steps: %d times the old file, %d times the restored one\n", olds + news,
           olds, news);
    assert_true(olds > (IS_SANITIZED ? 4 : 20) && news > 0);
    assert_int_equal(unlink(path), 0);
    remove_kept(f);
}

static void killed_at_every_step(void **state)
{
    struct fixture *f = *state;
    struct backup backup;

    prepare(f, &backup);
    note_seen(f);
    vault_close(&f->vault);
    kill_at_every_step(f, &backup, f->key);
    backup_done(&backup);
}

/* The mailbox is under another key from here on, as after a new password; the one before. */
static struct secret *change_key(struct fixture *f)
{
    struct secret *old = f->key;
    unsigned char salt[MAILBOX_SALT_BYTES] = "another salt";
    struct vault_rekey *rekey = NULL;
    bool is_done = false;

    f->key = crypt_mailbox_key(STR("another password"), salt);
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, f->key, &rekey), ERR_OK);
    while (!is_done)
        assert_int_equal(vault_rekey_copy(rekey, &f->task, &is_done), ERR_OK);
    assert_int_equal(vault_rekey_exchange(rekey, &f->task), ERR_OK);
    vault_rekey_free(&rekey);
    return old;
}

/* A backup from before a new password: what comes of it opens with the present key only. */
static void under_an_earlier_key(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *old = NULL;
    struct backup backup;
    struct str kept;

    prepare(f, &backup);
    old = change_key(f);
    note_seen(f);
    vault_close(&f->vault);
    assert_int_equal(restore_it(f, &f->task, &backup, f->key, &kept), ERR_CORRUPT);
    task_forgive(&f->task);
    if (restore_it(f, &f->task, &backup, old, &kept) != ERR_OK)
        fail_msg("%s", f->task.words);
    assert_true(kept.len > 0);
    assert_int_equal(vault_open(&f->task, &f->options, old, &f->vault), ERR_DENIED);
    task_forgive(&f->task);
    open_again(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), OLD_MESSAGES);
    fixture_check(f);
    backup_done(&backup);
    remove_kept(f);
}

static void killed_at_every_step_of_an_earlier_key(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *old = NULL;
    struct backup backup;

    prepare(f, &backup);
    old = change_key(f);
    note_seen(f);
    vault_close(&f->vault);
    kill_at_every_step(f, &backup, old);
    backup_done(&backup);
}

static bool is_never_wanted(void *owner)
{
    ++*(int *)owner;
    return false;
}

/* Given up: nothing stays, neither of the copying nor of the checking. */
static void one_that_is_not_wanted_any_more(void **state)
{
    struct fixture *f = *state;
    int asked = 0;
    struct restore_options options = {.folder = f->folder,
                                      .mailbox = f->options.id,
                                      .key = f->key,
                                      .log = &f->log,
                                      .until_ms = INT64_MAX,
                                      .is_wanted = is_never_wanted,
                                      .owner = &asked};
    struct backup backup;
    int64_t reached_ms;

    prepare(f, &backup);
    assert_int_equal(build(f, &f->task, &backup, &options, &reached_ms), ERR_BUSY);
    task_forgive(&f->task);
    assert_int_equal(asked, 1);
    assert_int_not_equal(
        access(arena_printf(&f->task.arena, "%s/%s.restored", f->folder, f->options.id.text).ptr,
               F_OK),
        0);
    backup_done(&backup);
}


/* A full disk and failing syncs: an error, and the old mailbox. */
static void the_disk_is_full_at_every_step(void **state)
{
    struct fixture *f = *state;
    struct backup backup;
    bool is_done = false;

    prepare(f, &backup);
    note_seen(f);
    vault_close(&f->vault);
    for (long step = 1; !is_done; step += 3) {
        struct str kept;
        struct task task;
        struct stat before, after;

        assert_int_equal(stat(f->path, &before), 0);
        task_init(&task, clock_now_ms());
        faults_set(step % 2 == 0 ? FAULTS_ENOSPC : FAULTS_EIO, step, true);
        is_done = restore_it(f, &task, &backup, f->key, &kept) == ERR_OK;
        faults_clear();
        task_done(&task);
        assert_int_equal(stat(f->path, &after), 0);
        if (before.st_ino != after.st_ino)
            is_done = true; /* only the last sync of the folder can fail after the exchange */
        open_again(f);
        fixture_check(f);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"),
                         before.st_ino != after.st_ino ? OLD_MESSAGES : NEW_MESSAGES);
        vault_close(&f->vault);
        remove_kept(f);
    }
    backup_done(&backup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        TEST(the_whole_mailbox), TEST(the_live_file_is_lost), TEST(the_live_file_is_damaged),
        TEST(what_is_refused), TEST(killed_at_every_step),
        TEST(under_an_earlier_key), TEST(killed_at_every_step_of_an_earlier_key),
        TEST(one_that_is_not_wanted_any_more), TEST(the_disk_is_full_at_every_step),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
