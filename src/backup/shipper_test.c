/* A real vault, its log shipped to a destination in memory, and what can be restored of it. */
#include "backup/away.h"

#include "backup/segment.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
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

static struct away away;

static int set_up(void **state)
{
    (void)fixture_set_up(state);
    away_init(&away, *state);
    return 0;
}

static int tear_down(void **state)
{
    away_tear_down(&away, *state);
    return fixture_tear_down(state);
}

static void tick(struct fixture *f)
{
    usleep(2000);
    task_done(&f->task);
    task_init(&f->task, clock_now_ms());
}

static void expunge(struct fixture *f, uint32_t uid)
{
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, &uid, 1), ERR_OK);
}

/* Every commit's state can be had again: messages come, go, get flags; the log begins anew between. */
static void each_moment_can_be_restored(void **state)
{
    enum { MOMENTS = 30 };
    struct fixture *f = *state;
    char *contents[MOMENTS];
    int64_t times[MOMENTS];

    fixture_append(f, f->inbox, fixture_message(f, "before"), 0);
    away_open(&away, f);
    away_settle(&away, f);
    for (int i = 0; i < MOMENTS; i++) {
        tick(f);
        if (i % 5 == 4)
            expunge(f, (uint32_t)i - 2);
        else
            fixture_append(f, i % 2 == 0 ? f->inbox : f->archive, fixture_message(f, "now"),
                           (uint64_t)i % 4);
        if (i % 7 == 3)
            away_settle(&away, f);
        if (i % 11 == 10)
            fixture_housekeep(f, 0); /* checkpoints */
        contents[i] = away_content(f, f->vault);
        times[i] = clock_now_ms();
        tick(f);
    }
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2);
    assert_true(away_count(&away, "log/") >= 4);
    for (int i = 0; i < MOMENTS; i++) {
        CLEANUP(mem_free) char *found =
            away_restored(&away, f, away_generation(&away, 0), times[i]);

        if (strcmp(found, contents[i]) != 0)
            fail_msg("moment %d is not what it was", i);
        mem_free(&contents[i]);
    }
}

/* To a little less than what an idle moment writes back (500 pages), with nothing left to be indexed. */
static void lengthen_log(struct fixture *f)
{
    struct stat status = {.st_size = 0};
    char path[160];

    snprintf(path, sizeof(path), "%s-wal", f->path);
    while (status.st_size < 420 * 4120) {
        fixture_append(f, f->inbox, fixture_message(f, "long"), 0);
        fixture_housekeep(f, 0);
        assert_int_equal(stat(path, &status), 0);
    }
    assert_true(status.st_size < 500 * 4120);
}

/* Which log it is: another one after each time that it began anew. */
static uint32_t salt_of_log(struct fixture *f)
{
    struct walfile wal = {.fd = -1};
    char path[160];
    uint32_t salt;

    snprintf(path, sizeof(path), "%s-wal", f->path);
    assert_int_equal(walfile_open(&f->task, path, &wal), ERR_OK);
    salt = wal.place.salt[0];
    walfile_close(&wal);
    return salt;
}

/* Several commits are read together, behind their clients' answers; each has the time it was made at.
 * At the latest before the log is written back and begins anew. */
static void commits_are_read_together(void **state)
{
    enum { COMMITS = 12, CHECKPOINT = 9 };
    struct fixture *f = *state;
    char *contents[COMMITS];
    int64_t times[COMMITS];
    size_t segments;
    uint32_t salt;

    away_open(&away, f);
    away_settle(&away, f);
    lengthen_log(f);
    away_settle(&away, f);
    segments = away_count(&away, "log/");
    salt = salt_of_log(f);
    for (int i = 0; i < COMMITS; i++) {
        tick(f);
        fixture_append(f, f->inbox, fixture_message(f, "now"), 0);
        assert_false(shipper_is_done(away.shipper));
        if (i == CHECKPOINT)
            fixture_housekeep(f, 0);
        contents[i] = away_content(f, f->vault);
        times[i] = clock_now_ms();
        tick(f);
    }
    assert_int_not_equal(salt_of_log(f), salt);
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "log/"), segments + 1);
    for (int i = 0; i < COMMITS; i++) {
        CLEANUP(mem_free) char *found = away_restored(&away, f, away_generation(&away, 0), times[i]);

        assert_string_equal(found, contents[i]);
        mem_free(&contents[i]);
    }
}

/* Puts the file under another key, as a re-encryption does; the old key stays the caller's. */
static struct secret *put_under_another_key(struct fixture *f)
{
    struct secret *old = f->key, *key = secret_copy(secret_str(f->key));
    struct vault_rekey *rekey;
    bool is_done = false;

    secret_bytes(key)[0] ^= 1;
    secret_bytes(key)[40] ^= 1; /* of the salt */
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, key, &rekey), ERR_OK);
    while (!is_done)
        assert_int_equal(vault_rekey_copy(rekey, &f->task, &is_done), ERR_OK);
    assert_int_equal(vault_rekey_exchange(rekey, &f->task), ERR_OK);
    vault_rekey_free(&rekey);
    f->key = key;
    return old;
}

/* Before it, in the moment before it, and after it: each under the key of its time. */
static void each_moment_around_a_re_encryption(void **state)
{
    enum { MOMENTS = 12, EXCHANGE = 6 };
    struct fixture *f = *state;
    char *contents[MOMENTS];
    int64_t times[MOMENTS];
    CLEANUP(secret_free) struct secret *old_key = NULL;
    struct shipper *old = NULL;
    struct shipping note;
    const char *generation;

    away_open(&away, f);
    away_settle(&away, f);
    for (int i = 0; i < MOMENTS; i++) {
        tick(f);
        fixture_append(f, f->inbox, fixture_message(f, "now"), 0);
        contents[i] = away_content(f, f->vault);
        times[i] = clock_now_ms();
        tick(f);
        if (i < EXCHANGE - 3)
            away_settle(&away, f); /* what comes behind it is not sent yet */
        if (i != EXCHANGE - 1)
            continue;
        old_key = put_under_another_key(f);
        old = away.shipper;
        shipper_leave(old);
        away.options.key = f->key;
        away_open(&away, f);
        (void)shipper_run(away.shipper, clock_now_ms()); /* the new log begins now */
        assert_true(shipper_is_copying(away.shipper));
    }
    /* The old one ends last: nothing that it does is in the new one's way. */
    away_settle(&away, f);
    {
        struct shipper *now = away.shipper;

        assert_false(shipper_is_done(old));
        away.shipper = old;
        away_settle(&away, f);
        assert_true(shipper_is_done(old));
        shipper_close(&away.shipper);
        away.shipper = now;
    }
    assert_true(away_has_note(f, f->key, &note));
    away_close(&away, f);
    away_open(&away, f);
    fixture_append(f, f->inbox, fixture_message(f, "afterwards"), 0);
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 4); /* two generations: the second went on */
    for (int i = 0; i < MOMENTS; i++) {
        bool is_old = i < EXCHANGE;
        struct secret *now = f->key;
        CLEANUP(mem_free) char *found = NULL;

        generation = away_generation(&away, is_old ? 0 : 1);
        f->key = is_old ? old_key : now;
        found = away_restored(&away, f, generation, times[i]);
        f->key = now;
        if (strcmp(found, contents[i]) != 0)
            fail_msg("moment %d is not what it was", i);
        mem_free(&contents[i]);
    }
}

static void large_transactions_and_checkpoints(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;
    CLEANUP(mem_free) char *found = NULL;
    CLEANUP(buf_free) struct buf raw = {0};

    away_open(&away, f);
    away_settle(&away, f);
    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("Subject: large\r\n\r\n"));
    for (unsigned i = 0; i < 600 * 1024; i++) /* does not compress */
        buf_putf(&raw, "%08x%s", i * 2654435761u, i % 8 == 7 ? "\r\n" : "");
    for (int i = 0; i < 24; i++) { /* more pages than the log is let grow to */
        buf_putf(&raw, "%d\r\n", i);
        fixture_append(f, f->inbox, buf_str(&raw), 0);
    }
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2);
    expected = away_content(f, f->vault);
    found = away_restored(&away, f, away_generation(&away, 0), INT64_MAX);
    assert_string_equal(found, expected);
}

/* A process that ends and one that begins: the generation goes on. */
static void closing_and_opening_goes_on(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;
    CLEANUP(mem_free) char *found = NULL;

    away_open(&away, f);
    away_settle(&away, f);
    for (int i = 0; i < 4; i++) {
        tick(f);
        fixture_append(f, f->inbox, fixture_message(f, "again"), 0);
        if (i % 2 == 0)
            away_settle(&away, f);
        away_close(&away, f);
        away_open(&away, f);
        away_settle(&away, f);
    }
    assert_int_equal(away_count(&away, "base/"), 2);
    expected = away_content(f, f->vault);
    found = away_restored(&away, f, away_generation(&away, 0), INT64_MAX);
    assert_string_equal(found, expected);
}

/* As SIGKILL leaves it: a child does the work and dies; what it had committed is shipped later. */
static void a_killed_process_loses_nothing(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;
    CLEANUP(mem_free) char *found = NULL;

    away_open(&away, f);
    away_settle(&away, f);
    fixture_append(f, f->inbox, fixture_message(f, "first"), 0);
    away_settle(&away, f);
    away_close(&away, f);
    for (int i = 0; i < 5; i++) {
        pid_t pid;

        secret_set_inherited(true);
        pid = fork();
        if (pid == 0) {
            away_open(&away, f);
            away.is_lossy = i % 2 == 1; /* dies before it heard that it is stored */
            fixture_append(f, f->inbox, fixture_message(f, "of one that died"), 0);
            if (i % 2 == 1)
                (void)shipper_run(away.shipper, clock_now_ms() + 1000);
            fixture_append(f, f->inbox, fixture_message(f, "and more"), 0);
            kill(getpid(), SIGKILL);
        }
        secret_set_inherited(false);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        away_open(&away, f);
        away_settle(&away, f);
        away_close(&away, f);
    }
    away_open(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2); /* no new generation was needed */
    expected = away_content(f, f->vault);
    found = away_restored(&away, f, away_generation(&away, 0), INT64_MAX);
    assert_string_equal(found, expected);
}

/* A page of the log that was not synced yet; what came after it is there. */
static void lose_a_frame(const struct fixture *f, off_t at)
{
    CLEANUP(fd_close) int fd = -1;
    char path[200];

    snprintf(path, sizeof(path), "%s-wal", f->path);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "????", 4, at), 4);
}

/* After a power cut SQLite's log ends where a frame is lost, and the destination has more than that:
 * what is committed then is no part of that generation. */
static void a_log_that_lost_a_frame_begins_anew(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;
    CLEANUP(mem_free) char *found = NULL;

    away_open(&away, f);
    away_settle(&away, f);
    away_close(&away, f);
    /* Here, so that the objects are known to this process; the log is copied away as it is then. */
    away_open(&away, f);
    fixture_append(f, f->inbox, fixture_message(f, "first"), 0);
    fixture_append(f, f->inbox, fixture_message(f, "second"), 0);
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2);
    away_keep_files(f);
    away_close(&away, f);
    away_bring_files_back(f);
    lose_a_frame(f, 32 + 24 + 100);
    away_open(&away, f);
    fixture_append(f, f->inbox, fixture_message(f, "third"), 0);
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 4);
    expected = away_content(f, f->vault);
    found = away_restored(&away, f, away_generation(&away, 1), INT64_MAX);
    assert_string_equal(found, expected);
}

/* A process whose last session ends meanwhile would send all of it again the next time, and the next. */
static void the_base_on_its_way_is_waited_for(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = clock_now_ms();

    away_open(&away, f);
    while (!away.has_question) {
        assert_true(shipper_run(away.shipper, now_ms) < 0 || shipper_is_beginning(away.shipper));
        usleep(1000);
    }
    assert_false(shipper_is_copying(away.shipper));
    assert_true(shipper_is_beginning(away.shipper));
    assert_false(shipper_is_put_off(away.shipper));
    away.has_question = false;
    shipper_answered(away.shipper, SHIPPER_STORED, now_ms);
    assert_true(away.has_question && shipper_is_beginning(away.shipper)); /* the manifest */
    away_settle(&away, f);
    assert_false(shipper_is_beginning(away.shipper) || shipper_is_put_off(away.shipper));
}

static void run_to_question(int64_t now_ms)
{
    for (int i = 0; i < 5000 && !away.has_question; i++) {
        (void)shipper_run(away.shipper, now_ms);
        usleep(1000);
    }
    assert_true(away.has_question);
}

/* It is as large as the mailbox: whoever has it open still, as the archivist does, has nothing any more. */
static void a_base_that_is_not_taken_is_not_kept(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = clock_now_ms();

    for (int is_abandoned = 0; is_abandoned < 2; is_abandoned++) {
        size_t puts = away.puts;

        if (away.shipper == NULL)
            away_open(&away, f);
        away.is_down = true; /* nothing of it is read */
        run_to_question(now_ms);
        assert_true(away_last_size(&away) > 0);
        assert_true(shipper_is_putting_base(away.shipper));
        away.has_question = false;
        if (is_abandoned)
            shipper_abandon(away.shipper, "a test", now_ms);
        else
            shipper_answered(away.shipper, SHIPPER_AGAIN, now_ms);
        assert_int_equal(away_last_size(&away), 0);
        assert_false(shipper_is_beginning(away.shipper));
        assert_true(shipper_is_done(away.shipper));
        assert_in_range(shipper_run(away.shipper, now_ms), 1, SHIPPER_RETRY_MAX_MS);
        assert_int_equal(away.puts, puts + 1);
        shipper_retry(away.shipper);
    }
    away.is_down = false;
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2);
}

/* No copy is made before somebody says that it may. */
static void a_generation_begins_when_it_may(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = clock_now_ms();

    away.options.wait_to_begin = away_wait_to_begin;
    away.wait_to_begin_ms = 7;
    away_open(&away, f);
    assert_int_equal(shipper_run(away.shipper, now_ms), 7);
    now_ms += 7;
    away.wait_to_begin_ms = -1;
    for (int i = 0; i < 5; i++) {
        int64_t wait_ms = shipper_run(away.shipper, now_ms);

        assert_false(shipper_is_copying(away.shipper) || shipper_is_beginning(away.shipper));
        assert_int_equal(wait_ms, SHIPPER_RETRY_MS << i);
        now_ms += wait_ms;
    }
    away.wait_to_begin_ms = 0;
    shipper_retry(away.shipper);
    (void)shipper_run(away.shipper, now_ms);
    assert_true(shipper_is_copying(away.shipper));
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2);
}

static void a_destination_that_is_away_for_a_while(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;
    CLEANUP(mem_free) char *found = NULL;

    away_open(&away, f);
    away_settle(&away, f);
    away.is_down = true;
    for (int i = 0; i < 10; i++) {
        fixture_append(f, f->inbox, fixture_message(f, "meanwhile"), 0);
        away_settle(&away, f);
    }
    away.is_down = false;
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2);
    expected = away_content(f, f->vault);
    found = away_restored(&away, f, away_generation(&away, 0), INT64_MAX);
    assert_string_equal(found, expected);
}

static void too_much_is_a_gap_and_a_new_generation(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;
    CLEANUP(mem_free) char *found = NULL;

    away.options.pending_max = 256 * 1024;
    away_open(&away, f);
    away_settle(&away, f);
    away.is_down = true;
    for (int i = 0; i < 60; i++) {
        fixture_append(f, f->inbox, fixture_message(f, "meanwhile"), 0);
        away_settle(&away, f);
    }
    away.is_down = false;
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 4);
    expected = away_content(f, f->vault);
    found = away_restored(&away, f, away_generation(&away, 1), INT64_MAX);
    assert_string_equal(found, expected);
}

static void a_file_that_was_exchanged_is_noticed(void **state)
{
    struct fixture *f = *state;
    char copy[200];
    char command[1000];

    away_open(&away, f);
    away_settle(&away, f);
    away_close(&away, f);
    snprintf(copy, sizeof(copy), "%s.copy", f->path);
    snprintf(command, sizeof(command), "cp %s %s && mv %s %s", f->path, copy, copy, f->path);
    assert_int_equal(system(command), 0);
    away_open(&away, f);
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 4);
}

/* What may happen to objects at the destination, and the words for it. */
static void tampering_is_named(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf bytes = {0};
    CLEANUP(fd_close) int changed = -1;
    struct restore *restore = NULL;
    const char *generation;
    char name[96], other[96];
    int real, *place = NULL;
    struct task task;

    away_open(&away, f);
    away_settle(&away, f);
    for (int i = 0; i < 5; i++) {
        fixture_append(f, f->inbox, fixture_message(f, "one"), 0);
        away_settle(&away, f);
    }
    generation = away_generation(&away, 0);
    snprintf(name, sizeof(name), "log/%s/%012d.seg", generation, 3);
    snprintf(other, sizeof(other), "log/%s/%012d.seg", generation, 4);
    real = away_find(&away, name);
    for (size_t i = 0; i < away.count; i++) {
        if (away.objects[i].fd == real)
            place = &away.objects[i].fd;
    }
    assert_non_null(place);
    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(fd_read_all(&f->task, real, SIZE_MAX / 2, &bytes), ERR_OK);
    for (size_t at = 0; at < bytes.len; at += bytes.len / 37) { /* altered anywhere */
        bytes.ptr[at] ^= 1;
        assert_int_equal(memfd_from(&f->task, buf_str(&bytes), &changed), ERR_OK);
        bytes.ptr[at] ^= 1;
        *place = changed;
        task_init(&task, clock_now_ms());
        assert_int_equal(away_restore(&away, f, &task, generation, INT64_MAX, &restore),
                         ERR_CORRUPT);
        assert_non_null(strstr(task.words, "segment 3: it was cut short or altered"));
        assert_non_null(strstr(task.words, "good up to 20"));
        task_done(&task);
        fd_close(&changed);
    }
    task_init(&task, clock_now_ms());
    assert_int_equal(memfd_from(&f->task, str_upto(buf_str(&bytes), bytes.len - 100), &changed),
                     ERR_OK);
    *place = changed;
    assert_int_equal(away_restore(&away, f, &task, generation, INT64_MAX, &restore), ERR_CORRUPT);
    *place = away_find(&away, other); /* another one in its place */
    task_forgive(&task);
    assert_int_equal(away_restore(&away, f, &task, generation, INT64_MAX, &restore), ERR_CORRUPT);
    assert_non_null(strstr(task.words, "another one lies in its place"));
    *place = real;
    task_forgive(&task);
    assert_int_equal(away_restore(&away, f, &task, generation, INT64_MAX, &restore), ERR_OK);
    restore_free(&restore);
    task_done(&task);
}

/* A full backup's child may write the log back, into the file that would be copied. */
static void no_generation_begins_while_checkpoints_are_held(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = clock_now_ms();

    fixture_append(f, f->inbox, fixture_message(f, "before"), 0);
    away_open(&away, f);
    vault_hold_checkpoints(f->vault, true);
    assert_int_equal(shipper_run(away.shipper, now_ms), SHIPPER_RETRY_MS);
    assert_false(shipper_is_copying(away.shipper));
    assert_true(shipper_is_beginning(away.shipper)); /* so the process does not end */
    vault_hold_checkpoints(f->vault, false);
    assert_int_not_equal(shipper_run(away.shipper, now_ms + SHIPPER_RETRY_MS), SHIPPER_RETRY_MS);
    assert_true(shipper_is_copying(away.shipper));
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(no_generation_begins_while_checkpoints_are_held),
        TEST(each_moment_can_be_restored),
        TEST(commits_are_read_together),
        TEST(each_moment_around_a_re_encryption),
        TEST(large_transactions_and_checkpoints),
        TEST(closing_and_opening_goes_on),
        TEST(a_killed_process_loses_nothing),
        TEST(a_log_that_lost_a_frame_begins_anew),
        TEST(the_base_on_its_way_is_waited_for),
        TEST(a_base_that_is_not_taken_is_not_kept),
        TEST(a_generation_begins_when_it_may),
        TEST(a_destination_that_is_away_for_a_while),
        TEST(too_much_is_a_gap_and_a_new_generation),
        TEST(a_file_that_was_exchanged_is_noticed),
        TEST(tampering_is_named),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
