/* The lane file: every step of a change, killed; what is on the disk afterwards. */
#include "dropbox/lane.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/scratch.h"
#include "dropbox/faults.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { FOLDER_ROOM = 1024, PATH_ROOM = 2048 };

struct fixture {
    char folder[FOLDER_ROOM];
    char file[PATH_ROOM]; /* of the lane */
    struct task task;
    struct secret *boot_key; /* BK_1 */
    unsigned char public[CRYPT_X25519_BYTES];
};

static void set_up(struct fixture *f)
{
    struct lane lane;
    char hex[LANE_NAME_ROOM];

    memset(f, 0, sizeof(*f));
    scratch_folder_in_memory(f->folder, sizeof(f->folder), "lane-test"); /* kills, not power cuts */
    task_init(&f->task, 0);
    f->boot_key = secret_new(CRYPT_KEY_BYTES);
    random_bytes(secret_bytes(f->boot_key), CRYPT_KEY_BYTES);
    random_bytes(f->public, sizeof(f->public));
    assert_int_equal(lane_create(&f->task, f->folder, &lane), ERR_OK);
    assert_int_equal(lane_write(&lane, &f->task, 1, 1, f->boot_key, f->public), ERR_OK);
    for (size_t i = 0; i < DROPBOX_LANE_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", lane.place.lane[i]);
    snprintf(f->file, sizeof(f->file), "%s/lanes/%s", f->folder, hex);
    lane_close(&lane);
}

static void tear_down(struct fixture *f)
{
    char lanes[PATH_ROOM];

    snprintf(lanes, sizeof(lanes), "%s/lanes", f->folder);
    unlink(f->file);
    rmdir(lanes);
    rmdir(f->folder);
    secret_free(&f->boot_key);
    task_done(&f->task);
}

/* Are these bytes anywhere in the lane file? */
static bool is_on_disk(const struct fixture *f, struct str bytes)
{
    struct buf content;
    struct task task;
    bool is_found;

    task_init(&task, 0);
    buf_init(&content, SIZE_MAX);
    assert_int_equal(file_read(&task, AT_FDCWD, f->file, SIZE_MAX, &content), ERR_OK);
    assert_int_equal(content.len, LANE_FILE_BYTES);
    is_found = str_find(buf_str(&content), bytes) >= 0;
    buf_free(&content);
    task_done(&task);
    return is_found;
}

/* BK_b of generation 1. */
static struct secret *boot_key_of(const struct fixture *f, const unsigned char *name, uint64_t boot)
{
    struct secret *key = secret_copy(secret_str(f->boot_key));
    struct chain_place place = {.generation = 1};

    memcpy(place.lane, name, DROPBOX_LANE_BYTES);
    for (place.boot = 1; place.boot < boot; place.boot++)
        chain_next_boot(&place, key, key);
    return key;
}

/* Does the disk still have what boot b's chain is derived from? */
static bool is_boot_on_disk(const struct fixture *f, uint64_t boot)
{
    struct lane lane;
    struct secret *key;
    bool is_found;

    assert_int_equal(lane_open((struct task *)&f->task, f->folder, &lane), ERR_OK);
    key = boot_key_of(f, lane.place.lane, boot);
    is_found = is_on_disk(f, secret_str(key));
    secret_free(&key);
    lane_close(&lane);
    return is_found;
}

static void test_a_lane_comes_back(void **state)
{
    (void)state;
    struct fixture f;
    struct lane lane;

    set_up(&f);
    assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
    assert_true(lane.place.generation == 1 && lane.place.boot == 1);
    assert_memory_equal(lane.public, f.public, sizeof(f.public));
    assert_true(secret_equal(secret_str(lane.boot_key), secret_str(f.boot_key)));
    lane_close(&lane);
    assert_int_equal(lane_open(&f.task, "/nonexistent", &lane), ERR_NOT_FOUND);
    tear_down(&f);
}

static void test_taking_a_boot_wipes_it(void **state)
{
    (void)state;
    struct fixture f;
    struct lane lane;

    set_up(&f);
    for (uint64_t boot = 1; boot < 6; boot++) {
        struct chain chain = {.key = NULL}, expected = {.key = NULL};
        struct secret *key;

        assert_true(is_boot_on_disk(&f, boot));
        assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
        key = boot_key_of(&f, lane.place.lane, boot);
        assert_int_equal(lane_take_boot(&lane, &f.task, &chain), ERR_OK);
        assert_true(chain.place.boot == boot && chain.n == 0 && lane.place.boot == boot + 1);
        chain_start(&expected, &chain.place, key);
        assert_true(secret_equal(secret_str(chain.key), secret_str(expected.key)));
        assert_false(is_boot_on_disk(&f, boot));
        assert_false(is_on_disk(&f, secret_str(chain.key)));
        secret_free(&key);
        chain_done(&chain);
        chain_done(&expected);
        lane_close(&lane);
    }
    tear_down(&f);
}

/* In the child: take the boot, and say so; the parent believes it only then. */
static void take_boot_and_exit(const struct fixture *f, long at)
{
    struct lane lane;
    struct chain chain = {.key = NULL};
    struct task task;

    task_init(&task, 0);
    if (lane_open(&task, f->folder, &lane) != ERR_OK)
        _exit(2);
    faults_set(FAULTS_KILL, at, false);
    _exit(lane_take_boot(&lane, &task, &chain) == ERR_OK ? 0 : 3);
}

/*
 * Killed before each of the four steps: a later start always finds a boot that was never used, and
 * once a boot's chain may be used, its key is not on the disk.
 */
static void test_kill_at_every_step(void **state)
{
    (void)state;
    enum { STEPS = 4 };

    for (long at = 1; at <= STEPS + 1; at++) {
        struct fixture f;
        struct lane lane;
        struct chain chain = {.key = NULL};
        int status;
        pid_t child;

        set_up(&f);
        child = fork();
        if (child == 0)
            take_boot_and_exit(&f, at);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(at <= STEPS ? WIFSIGNALED(status) : status == 0);

        assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
        /* 1: nothing was written. 2 and 3: both slots stand, the higher boot wins. */
        assert_true(lane.place.boot == (at == 1 ? 1 : 2));
        if (at == 2 || at == 3)
            assert_true(is_boot_on_disk(&f, 1));
        if (at > 3)
            assert_false(is_boot_on_disk(&f, 1));
        assert_int_equal(lane_take_boot(&lane, &f.task, &chain), ERR_OK);
        assert_true(chain.place.boot == (at == 1 ? 1 : 2));
        for (uint64_t boot = 1; boot <= chain.place.boot; boot++)
            assert_false(is_boot_on_disk(&f, boot)); /* also the one that was left over */
        chain_done(&chain);
        lane_close(&lane);
        tear_down(&f);
    }
}

/* A failing call gives an error, and the chain is not handed out; the next try works. */
static void test_failing_calls(void **state)
{
    (void)state;
    for (long at = 1; at <= 4; at++) {
        for (int kind = FAULTS_EIO; kind <= FAULTS_ENOSPC; kind++) {
            struct fixture f;
            struct lane lane;
            struct chain chain = {.key = NULL};
            enum err err;

            set_up(&f);
            assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
            faults_set((enum faults_kind)kind, at, false);
            err = lane_take_boot(&lane, &f.task, &chain);
            faults_clear();
            assert_true(err == ERR_IO || err == ERR_LIMIT);
            assert_null(chain.key);
            lane_close(&lane);

            assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
            assert_int_equal(lane_take_boot(&lane, &f.task, &chain), ERR_OK);
            for (uint64_t boot = 1; boot <= chain.place.boot; boot++)
                assert_false(is_boot_on_disk(&f, boot));
            chain_done(&chain);
            lane_close(&lane);
            tear_down(&f);
        }
    }
}

/* A new generation wins over any boot of the old one, and wipes it. */
static void test_renewal(void **state)
{
    (void)state;
    struct fixture f;
    struct lane lane;
    struct chain chain = {.key = NULL};
    struct secret *key = secret_new(CRYPT_KEY_BYTES);

    set_up(&f);
    random_bytes(secret_bytes(key), CRYPT_KEY_BYTES);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
        assert_int_equal(lane_take_boot(&lane, &f.task, &chain), ERR_OK);
        lane_close(&lane);
        chain_done(&chain);
    }
    assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
    assert_int_equal(lane_write(&lane, &f.task, 2, 1, key, f.public), ERR_OK);
    lane_close(&lane);
    assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
    assert_true(lane.place.generation == 2 && lane.place.boot == 1);
    for (uint64_t boot = 1; boot <= 4; boot++)
        assert_false(is_boot_on_disk(&f, boot));
    lane_close(&lane);
    secret_free(&key);
    tear_down(&f);
}

/* No byte of a slot may be another, and none of another lane is taken. */
static void test_a_damaged_slot_is_none(void **state)
{
    (void)state;
    struct fixture f;
    struct lane lane, found = {.fd = -1};
    struct chain chain = {.key = NULL};
    unsigned char bytes[LANE_FILE_BYTES], name[DROPBOX_LANE_BYTES];
    int fd;

    set_up(&f);
    assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
    memcpy(name, lane.place.lane, sizeof(name));
    lane_close(&lane);
    fd = open(f.file, O_RDWR);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_true(lane_slot_decode(bytes, name, &found));
    for (size_t i = 0; i < LANE_SLOT_BYTES; i++) {
        bytes[i] ^= 0x40;
        assert_false(lane_slot_decode(bytes, name, &found));
        bytes[i] ^= 0x40;
    }
    name[3] ^= 1;
    assert_false(lane_slot_decode(bytes, name, &found));
    secret_free(&found.boot_key);

    bytes[30] ^= 1;
    assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
    assert_int_equal(lane.slot, -1);
    assert_int_equal(lane_take_boot(&lane, &f.task, &chain), ERR_CORRUPT);
    lane_close(&lane);

    /* Cut off while it was made: no slot, but a renewal makes it whole. */
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
    assert_int_equal(lane_write(&lane, &f.task, 2, 1, f.boot_key, f.public), ERR_OK);
    lane_close(&lane);
    assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
    assert_true(lane.place.generation == 2);
    lane_close(&lane);
    close(fd);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lane_comes_back),
        cmocka_unit_test(test_taking_a_boot_wipes_it),
        cmocka_unit_test(test_kill_at_every_step),
        cmocka_unit_test(test_failing_calls),
        cmocka_unit_test(test_renewal),
        cmocka_unit_test(test_a_damaged_slot_is_none),
    };

    secret_init();
    secret_set_inherited(true); /* children go on with our keys here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
