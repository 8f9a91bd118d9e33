/* The mailbox file: opening and what is refused, roll-back, batches, damage, a failing disk. */
#include "vault/fixture.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "secret/crypt.h"
#include "vault/state.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

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

static enum err try_open(struct fixture *f, const struct secret *key)
{
    struct vault *vault;
    enum err err = vault_open(&f->task, &f->options, key, &vault);

    if (err == ERR_OK)
        vault_close(&vault);
    task_forgive(&f->task);
    return err;
}

static void test_create_and_open(void **state)
{
    struct fixture *f = *state;
    struct vault *other;
    struct stat status;

    assert_int_equal(vault_create(&f->task, &f->options, f->key, &other), ERR_EXISTS);
    assert_int_equal(vault_open(&f->task, &f->options, f->key, &other), ERR_BUSY);
    task_forgive(&f->task);
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    /* The file of another mailbox under this one's name. */
    {
        struct vault_options options = f->options;
        char path[128];

        options.id = id_random();
        vault_close(&f->vault);
        snprintf(path, sizeof(path), "%s/%s.sqlite", f->folder, options.id.text);
        assert_int_equal(rename(f->path, path), 0);
        assert_int_equal(vault_open(&f->task, &options, f->key, &other), ERR_CORRUPT);
        task_forgive(&f->task);
        assert_int_equal(try_open(f, f->key), ERR_NOT_FOUND);
        assert_int_equal(rename(path, f->path), 0);
    }
    assert_int_equal(try_open(f, f->key), ERR_OK);
}

static void test_wrong_key(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf before = {0}, after = {0};
    CLEANUP(secret_free) struct secret *other = NULL;

    fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    vault_close(&f->vault);
    read_whole(f, &before);
    other = crypt_mailbox_key(STR("wrong"), (const unsigned char *)before.ptr);
    assert_int_equal(try_open(f, other), ERR_DENIED);
    read_whole(f, &after);
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    assert_int_equal(try_open(f, f->key), ERR_OK);
}

static void test_unfinished_creation(void **state)
{
    struct fixture *f = *state;
    char path[128];
    int fd;

    vault_close(&f->vault);
    unlink(f->path);
    snprintf(path, sizeof(path), "%s/%s.new", f->folder, f->options.id.text);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "half", 4), 4);
    fd_close(&fd);
    assert_int_equal(try_open(f, f->key), ERR_NOT_FOUND);
    assert_int_equal(vault_create(&f->task, &f->options, f->key, &f->vault), ERR_OK);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_roll_back(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf old = {0};
    struct vault_folder before, after;
    struct vault_usage usage, now;

    fixture_append(f, f->inbox, fixture_message(f, "one"), 0);
    fixture_reopen(f);
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &before), ERR_OK);
    vault_close(&f->vault);
    read_whole(f, &old);
    assert_int_equal(vault_open(&f->task, &f->options, f->key, &f->vault), ERR_OK);
    fixture_append(f, f->inbox, fixture_message(f, "two"), 0);
    vault_usage(f->vault, &usage);
    vault_close(&f->vault);
    write_whole(f, buf_str(&old));
    f->options.epoch_seen = usage.epoch;
    f->options.change_counter_seen = usage.change_counter;
    assert_int_equal(vault_open(&f->task, &f->options, f->key, &f->vault), ERR_OK);
    assert_true(vault_was_rolled_back(f->vault));
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &after), ERR_OK);
    assert_true(after.uidvalidity > before.uidvalidity);
    assert_false(vault_folder_is_valid(f->vault, f->inbox, before.incarnation));
    assert_int_equal(after.message_count, 1);
    vault_usage(f->vault, &now);
    assert_true(now.epoch > usage.epoch && now.change_counter > usage.change_counter);
    assert_true(after.highest_modseq > usage.change_counter);
    fixture_reopen(f); /* and from now on it is as it should be */
}

static void test_batch(void **state)
{
    struct fixture *f = *state;
    struct vault_append append = {.raw = fixture_message(f, "x")};
    struct vault_usage usage;
    uint64_t bit;
    uint32_t uid;

    vault_set_limit(f->vault, append.raw.len * 2);
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(vault_message_append(f->vault, &f->task, 99, &append, &uid), ERR_NOT_FOUND);
    assert_int_equal(vault_keyword_bit(f->vault, &f->task, STR("$a"), true, 0, &bit), ERR_OK);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(uid, 2);
    task_forgive(&f->task);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_LIMIT);
    task_forgive(&f->task);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    fixture_reopen(f);
    assert_string_equal(fixture_uids(f, f->inbox), "1 2");
    vault_usage(f->vault, &usage);
    assert_int_equal(usage.messages, 2);
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
}

/* After an I/O error SQLite takes the transaction back by itself: then nothing of the batch may be
 * written by itself, outside of any. */
static void test_batch_taken_back(void **state)
{
    struct fixture *f = *state;
    struct vault_append append = {.raw = fixture_message(f, "x")};
    uint32_t uid;

    fixture_append(f, f->inbox, append.raw, 0);
    for (int late = 0; late < 2; late++) {
        assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
        assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
        db_rollback(f->vault->db); /* as SQLite does */
        if (late == 0)
            assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid),
                             ERR_IO);
        assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_IO);
        task_forgive(&f->task);
        fixture_check(f);
        assert_string_equal(fixture_uids(f, f->inbox), "1");
    }
    fixture_append(f, f->inbox, append.raw, 0);
    assert_string_equal(fixture_uids(f, f->inbox), "1 2");
}

/* Without closing: what was acknowledged is there, and nothing half. */
static void test_killed(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t child;

    vault_close(&f->vault);
    secret_set_inherited(true);
    child = fork();
    if (child == 0) {
        struct vault *vault;
        struct task task;
        struct vault_append append = {.raw = STR("Subject: x\r\n\r\nkilled\r\n")};
        uint32_t uid;

        task_init(&task, 1000);
        if (vault_open(&task, &f->options, f->key, &vault) != ERR_OK ||
            vault_message_append(vault, &task, f->inbox, &append, &uid) != ERR_OK ||
            vault_batch_begin(vault, &task) != ERR_OK ||
            vault_message_append(vault, &task, f->inbox, &append, &uid) != ERR_OK)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    secret_set_inherited(false);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(vault_open(&f->task, &f->options, f->key, &f->vault), ERR_OK);
    assert_string_equal(fixture_uids(f, f->inbox), "1");
    fixture_check(f);
}

static void read_everything(struct fixture *f, enum err *out_err)
{
    struct vault *vault;
    struct vault_uid_flags *messages;
    size_t count;
    CLEANUP(buf_free) struct buf out = {0};

    buf_init(&out, SIZE_MAX);
    *out_err = vault_open(&f->task, &f->options, f->key, &vault);
    if (*out_err != ERR_OK)
        return;
    *out_err = vault_message_list(vault, &f->task, f->inbox, &messages, &count);
    for (int64_t id = 1; *out_err == ERR_OK && id <= (int64_t)count; id++) {
        struct vault_content *content;

        *out_err = vault_content_open(vault, &f->task, id, &content);
        if (*out_err != ERR_OK)
            break;
        *out_err = vault_content_read(content, &f->task, 0, SIZE_MAX, &out);
        vault_content_close(&content);
    }
    vault_close(&vault);
}

static void test_damage(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf good = {0};
    unsigned corrupt = 0, denied = 0;

    for (int i = 0; i < 5; i++) {
        char *bytes = mem_new(60000, 1);

        random_bytes(bytes, 60000);
        fixture_append(f, f->inbox, str_make(bytes, 60000), 0);
        mem_free(&bytes);
    }
    vault_close(&f->vault);
    read_whole(f, &good);
    for (size_t at = 24; at < good.len; at += 4096 + 7) {
        CLEANUP(buf_free) struct buf bad = {0}, after = {0};
        enum err err;

        buf_init(&bad, SIZE_MAX);
        buf_put(&bad, buf_str(&good));
        bad.ptr[at] = (char)(bad.ptr[at] ^ 1);
        write_whole(f, buf_str(&bad));
        read_everything(f, &err);
        task_forgive(&f->task);
        /* A page that was not needed (free, or of an index) is not noticed. */
        assert_true(err == ERR_OK || err == ERR_CORRUPT || (err == ERR_DENIED && at < 4096));
        corrupt += err == ERR_CORRUPT;
        denied += err == ERR_DENIED;
        read_whole(f, &after);
        if (err != ERR_OK)
            assert_true(str_equal(buf_str(&bad), buf_str(&after)));
    }
    assert_true(corrupt > 50 && denied == 1);
    for (size_t len = 0; len < good.len - good.len / 8; len += good.len / 7) {
        enum err err;

        write_whole(f, str_upto(buf_str(&good), len));
        read_everything(f, &err);
        assert_int_equal(err, ERR_CORRUPT);
        task_forgive(&f->task);
    }
}

/* A file that can grow no further is a full disk: refused, all readable, and well again after. */
static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    struct rlimit unlimited, limit;
    struct vault_append append = {0};
    struct str small = fixture_message(f, "small");
    CLEANUP(buf_free) struct buf big = {0};
    unsigned refused = 0;
    uint32_t uid;

    buf_init(&big, SIZE_MAX);
    for (int i = 0; i < 100; i++) {
        char bytes[1000];

        random_bytes(bytes, sizeof(bytes));
        buf_put(&big, str_make(bytes, sizeof(bytes)));
    }
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    fixture_append(f, f->inbox, small, 0);
    for (int k = 0; k < 30; k++) {
        limit = unlimited;
        limit.rlim_cur = 100000 + (rlim_t)k * 20000;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        append.raw = buf_str(&big);
        for (int i = 0; i < 3; i++) {
            enum err err;

            if (k % 2 == 1)
                assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
            err = vault_message_append(f->vault, &f->task, f->inbox, &append, &uid);
            if (k % 2 == 1) {
                enum err end = vault_batch_end(f->vault, &f->task);

                assert_true(err == ERR_OK || end != ERR_OK);
                err = end == ERR_OK ? err : end;
            }
            assert_true(err == ERR_OK || err == ERR_LIMIT || err == ERR_IO);
            refused += err != ERR_OK;
            task_forgive(&f->task);
            assert_true(str_equal(fixture_read(f, f->inbox, 1), small));
        }
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
        assert_false(vault_is_broken(f->vault));
        fixture_append(f, f->inbox, small, 0);
        if (k % 10 == 9) {
            fixture_check(f);
            fixture_reopen(f);
        }
    }
    assert_true(refused > 5);
}

/* After a failed sync nothing is trusted until the file is opened anew. */
static void test_failed_sync(void **state)
{
    struct fixture *f = *state;
    struct vault_append append = {.raw = fixture_message(f, "x")};
    struct vault_uid_flags *messages;
    size_t count;
    uint32_t uid;

    fixture_append(f, f->inbox, append.raw, 0);
    (void)db_fail(f->vault->db, &f->task, SQLITE_IOERR_FSYNC, "as if");
    task_forgive(&f->task);
    assert_true(vault_is_broken(f->vault));
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_IO);
    assert_int_equal(vault_message_list(f->vault, &f->task, f->inbox, &messages, &count), ERR_IO);
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_IO);
    task_forgive(&f->task);
    fixture_reopen(f);
    assert_string_equal(fixture_uids(f, f->inbox), "1");
}

static void test_other_schema(void **state)
{
    struct fixture *f = *state;
    struct vault *vault;

    fixture_execute(f, "ALTER TABLE folder ADD COLUMN stranger TEXT");
    vault_close(&f->vault);
    assert_int_equal(vault_open(&f->task, &f->options, f->key, &vault), ERR_CORRUPT);
    assert_non_null(strstr(f->task.words, "stranger"));
    assert_non_null(strstr(f->task.words, "folder"));
    task_forgive(&f->task);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_create_and_open), TEST(test_wrong_key),    TEST(test_unfinished_creation),
        TEST(test_roll_back),       TEST(test_batch),        TEST(test_batch_taken_back),
        TEST(test_killed),          TEST(test_damage),       TEST(test_full_disk),
        TEST(test_failed_sync),     TEST(test_other_schema),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
