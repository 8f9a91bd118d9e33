/* Backups in a directory: what is put comes back, an altered byte is noticed, and whatever moment a
 * put is killed at, no half object is seen. */
#include "backup/directory.h"

#include "backup/fixture.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/macros.h"
#include "secret/hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char root[FIXTURE_ROOT_ROOM];

static int setup(void **state)
{
    static struct backup_fixture fixture;

    memset(&fixture, 0, sizeof(fixture));
    fixture_make_root(root, "sealpost-backup");
    fixture_open(&fixture, root);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return fixture_remove_root(root);
}

static void path_of(const char *name, char out[static 256])
{
    (void)snprintf(out, 256, "%s/%s", root, name);
}

static void what_is_put_comes_back(void **state)
{
    static const size_t sizes[] = {0, 1, 1024 * 1024, 1024 * 1024 + 1, 5 * 1024 * 1024 + 77};
    struct backup_fixture *fixture = *state;
    char path[256];
    struct stat status;

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(fixture_put(fixture, "m/full/x.sqlite", sizes[i], i), ERR_OK);
        assert_int_equal(fixture_get(fixture, "m/full/x.sqlite"), ERR_OK);
        assert_true(fixture_is(fixture, sizes[i], i));
    }
    /* An object that was replaced has one digest. */
    path_of("m/full/x.sqlite.digest", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, strlen("sha256:") + 2 * CRYPT_HASH_BYTES + 1);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(fixture_get(fixture, "m/full/y.sqlite"), ERR_NOT_FOUND);
    assert_int_equal(fixture_get(fixture, "m/full"), ERR_NOT_FOUND);
}

static void other_bytes_than_the_digest_says_are_not_taken(void **state)
{
    struct backup_fixture *fixture = *state;
    unsigned char digest[CRYPT_HASH_BYTES] = {0};
    CLEANUP(fd_close) int fd = fixture_memfd(1000, 1, NULL);

    assert_int_equal(fixture_put_fd(fixture, "m/a", fd, 1000, digest), ERR_INVALID);
    assert_int_equal(fixture_put_fd(fixture, "m/a", fd, 1001, digest), ERR_INVALID);
    assert_int_equal(fixture_list(fixture, "", "", 10), ERR_OK);
    assert_int_equal(fixture->names.len, 0);
}

static bool is_failing; /* the disk, with what is waited for then */

/* In the C library's place: a disk that fails is told here, and the kernel tells fsync no more. */
int sync_file_range(int fd, off_t from, off_t len, unsigned flags)
{
    if (flags == SYNC_FILE_RANGE_WAIT_BEFORE && is_failing) {
        is_failing = false;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_sync_file_range, fd, from, len, flags);
}

static void what_did_not_come_to_the_disk_is_not_taken(void **state)
{
    struct backup_fixture *fixture = *state;

    is_failing = true;
    assert_int_equal(fixture_put(fixture, "m/a", 5 * 1024 * 1024, 1), ERR_IO);
    assert_false(is_failing);
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_NOT_FOUND);
    assert_int_equal(fixture_put(fixture, "m/a", 5 * 1024 * 1024, 1), ERR_OK);
}

static void an_altered_or_cut_object_is_noticed(void **state)
{
    struct backup_fixture *fixture = *state;
    char path[256];
    int fd;

    path_of("m/a", path);
    assert_int_equal(fixture_put(fixture, "m/a", 2000000, 1), ERR_OK);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 1234567), 1);
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_CORRUPT);
    assert_int_equal(fixture_put(fixture, "m/a", 2000000, 1), ERR_OK);
    close(fd);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 1999999), 0);
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_CORRUPT);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_CORRUPT);
    close(fd);
    path_of("m/a.digest", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_CORRUPT);
}

/* An older object: its digest is a BLAKE2b-256. */
static void put_old(struct backup_fixture *fixture, const char *name, size_t size, unsigned seed)
{
    CLEANUP(buf_free) struct buf content, text;
    unsigned char digest[CRYPT_HASH_BYTES];
    struct task task;
    char path[256];

    task_init(&task, 0);
    buf_init(&content, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    assert_int_equal(fixture_put(fixture, name, size, seed), ERR_OK);
    fd_close(&(int){fixture_memfd(size, seed, &content)});
    crypt_digest(buf_str(&content), digest);
    assert_int_equal(encode_hex(&text, str_make(digest, sizeof(digest))), ERR_OK);
    buf_put(&text, STR("\n"));
    (void)snprintf(path, sizeof(path), "%s/%s.digest", root, name);
    assert_int_equal(file_replace(&task, AT_FDCWD, path, buf_str(&text)), ERR_OK);
    task_done(&task);
}

static void alter(const char *name)
{
    char path[256];
    int fd;

    path_of(name, path);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 1234567), 1);
    close(fd);
}

static void an_older_object_is_read_and_compared(void **state)
{
    struct backup_fixture *fixture = *state;
    unsigned char digest[CRYPT_HASH_BYTES];
    char path[256], aside[256], inside[256];

    put_old(fixture, "m/a", 2000000, 1);
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_OK);
    assert_true(fixture_is(fixture, 2000000, 1));
    /* Whoever asked gets a digest that he can put it elsewhere with. */
    hasher_sha256(buf_str(&fixture->content), digest);
    assert_memory_equal(fixture->digest, digest, sizeof(digest));
    alter("m/a");
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_CORRUPT);
    put_old(fixture, "m/empty", 0, 1);
    assert_int_equal(fixture_get(fixture, "m/empty"), ERR_OK);
    /* A put in its place ended between its renames: the digests of both, the older object. */
    put_old(fixture, "m/a", 2000000, 1);
    path_of("m/a", path);
    path_of("m/aside", aside);
    path_of("m/a/inside", inside);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(inside, 0700), 0);
    assert_int_not_equal(fixture_put(fixture, "m/a", 2000000, 2), ERR_OK);
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_OK);
    assert_true(fixture_is(fixture, 2000000, 1));
    /* And replaced, it is as any other. */
    assert_int_equal(fixture_put(fixture, "m/a", 2000000, 2), ERR_OK);
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_OK);
    assert_true(fixture_is(fixture, 2000000, 2));
    alter("m/a");
    assert_int_equal(fixture_get(fixture, "m/a"), ERR_CORRUPT);
}

static void lists_are_in_order_and_in_pages(void **state)
{
    static const char *const names[] = {"m/b-1", "m/b/1", "m/b/2", "m/b0", "m/a/9", "n/a"};
    struct backup_fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(fixture_put(fixture, names[i], 10, 1), ERR_OK);
    assert_int_equal(fixture_list(fixture, "m/", "", 100), ERR_OK);
    assert_string_equal(fixture->names.ptr, "m/a/9\nm/b-1\nm/b/1\nm/b/2\nm/b0\n");
    assert_true(fixture->is_last);
    assert_int_equal(fixture_list(fixture, "m/", "", 2), ERR_OK);
    assert_string_equal(fixture->names.ptr, "m/a/9\nm/b-1\n");
    assert_false(fixture->is_last);
    assert_int_equal(fixture_list(fixture, "m/", "m/b-1", 2), ERR_OK);
    assert_string_equal(fixture->names.ptr, "m/b/1\nm/b/2\n");
    assert_false(fixture->is_last);
    assert_int_equal(fixture_list(fixture, "m/", "m/b/2", 1), ERR_OK);
    assert_string_equal(fixture->names.ptr, "m/b0\n");
    assert_true(fixture->is_last);
    assert_int_equal(fixture_list(fixture, "m/b/", "m/b/1", 1), ERR_OK);
    assert_string_equal(fixture->names.ptr, "m/b/2\n");
    assert_int_equal(fixture_list(fixture, "m/x", "", 1), ERR_OK);
    assert_int_equal(fixture->names.len, 0);
}

static void what_is_deleted_is_gone(void **state)
{
    struct backup_fixture *fixture = *state;
    char path[256];
    struct stat status;

    assert_int_equal(fixture_put(fixture, "m/log/g/1", 10, 1), ERR_OK);
    assert_int_equal(fixture_put(fixture, "m/base/g", 10, 1), ERR_OK);
    assert_int_equal(fixture_delete(fixture, "m/log/g/1"), ERR_OK);
    assert_int_equal(fixture_delete(fixture, "m/log/g/1"), ERR_OK);
    assert_int_equal(fixture_get(fixture, "m/log/g/1"), ERR_NOT_FOUND);
    path_of("m/log", path);
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(fixture_get(fixture, "m/base/g"), ERR_OK);
}

/* What a removal leaves that is killed at any of its steps can be removed by the next, and the next
 * takes along what killed puts left. */
static void a_removal_can_be_repeated_after_a_kill(void **state)
{
    struct backup_fixture *fixture = *state;
    char path[256];

    assert_int_equal(fixture_put(fixture, "m/full/a", 10, 1), ERR_OK);
    path_of("m/full/a.digest", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fixture_list(fixture, "m/", "", 10), ERR_OK);
    assert_string_equal(fixture->names.ptr, "m/full/a\n");
    path_of("m/full/b.digest", path);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(fixture_put(fixture, "m/full/c", 10, 1), ERR_OK);
    assert_int_equal(fixture_delete(fixture, "m/full/a"), ERR_OK);
    assert_int_equal(fixture_get(fixture, "m/full/c"), ERR_OK);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(fixture_delete(fixture, "m/full/c"), ERR_OK);
    path_of("m", path);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void a_directory_that_went_is_an_error(void **state)
{
    struct backup_fixture *fixture = *state;

    assert_int_equal(rmdir(root), 0);
    assert_int_not_equal(fixture_put(fixture, "m/a", 10, 1), ERR_OK);
    assert_int_not_equal(fixture_get(fixture, "m/a"), ERR_OK);
    assert_int_equal(mkdir(root, 0700), 0);
}

static void what_was_left_goes_before_the_next_large_one(void **state)
{
    static const char *const names[] = {".incoming/old", ".incoming/new"};
    struct backup_fixture *fixture = *state;
    struct timespec times[2];
    char path[256];

    assert_int_equal(fixture_put(fixture, "m/a", 10, 1), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        path_of(names[i], path);
        fd_close(&(int){open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)});
        times[0].tv_sec = times[1].tv_sec = time(NULL) - (i == 0 ? 4000 : 3000);
        times[0].tv_nsec = times[1].tv_nsec = 0;
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    assert_int_equal(fixture_put(fixture, "m/a", 2000000, 1), ERR_OK);
    assert_int_equal(access(path, F_OK), 0);
    path_of(names[0], path);
    assert_int_equal(access(path, F_OK), -1);
}

/* Objects of two contents under three names, over and over, until it is killed. */
static void put_for_ever(void)
{
    struct backup_fixture fixture = {.loop = NULL};

    fixture_open(&fixture, root);
    for (unsigned i = 0;; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "m/%u", i % 3);
        if (fixture_put(&fixture, name, 1500000, i % 2) != ERR_OK)
            _exit(1);
    }
}

/* However busy the machine is: a put that was measured may have been far quicker than the others. */
static void wait_for_first_object(void)
{
    char path[256];

    path_of("m/0", path);
    for (int i = 0; i < 10000; i++) {
        if (access(path, F_OK) == 0)
            return;
        usleep(2000);
    }
    fail_msg("nothing is put");
}

static void no_half_object_after_a_kill(void **state)
{
    struct backup_fixture *fixture = *state;
    int64_t began_ms = clock_monotonic_ms(), most_ms;
    int seen = 0;

    /* What a put takes on this machine, busy as it is: some are killed behind their end, the first
     * of all is. */
    assert_int_equal(fixture_put(fixture, "m/measure", 1500000, 0), ERR_OK);
    most_ms = 3 * (clock_monotonic_ms() - began_ms) + 40;
    for (int round = 0; round < 40; round++) {
        int64_t pause_ms = 1 + random() % most_ms;
        struct timespec pause = {.tv_sec = pause_ms / 1000,
                                 .tv_nsec = pause_ms % 1000 * 1000000};
        pid_t pid = fork();

        if (pid == 0)
            put_for_ever();
        if (round == 0)
            wait_for_first_object();
        nanosleep(&pause, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        for (unsigned i = 0; i < 3; i++) {
            char name[32];
            enum err err;

            (void)snprintf(name, sizeof(name), "m/%u", i);
            err = fixture_get(fixture, name);
            assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
            assert_true(err != ERR_OK || fixture_is(fixture, 1500000, 0) ||
                        fixture_is(fixture, 1500000, 1));
            seen += err == ERR_OK;
        }
        assert_int_equal(fixture_list(fixture, "", "", 10), ERR_OK);
    }
    assert_true(seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_put_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(other_bytes_than_the_digest_says_are_not_taken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_did_not_come_to_the_disk_is_not_taken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_altered_or_cut_object_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(an_older_object_is_read_and_compared, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_in_order_and_in_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_deleted_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removal_can_be_repeated_after_a_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_that_went_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_left_goes_before_the_next_large_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(no_half_object_after_a_kill, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
