/* A real vault, its log shipped to a destination in memory, and what can be restored of it. */
#include "backup/away.h"

#include "backup/segment.h"
#include "backup/shipping.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "mailbox/choice.h"
#include "vault/rekey.h"
#include "vault/state.h"

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
    struct fixture *f = *state;
    char path[160];

    if (away.shipper != NULL)
        away_close(&away, f);
    away_done(&away);
    snprintf(path, sizeof(path), "%s/%s.shipping", f->folder, f->options.id.text);
    (void)unlink(path);
    return fixture_tear_down(state);
}

/* What is in it, as a text: the folder, UID, flags and size of every message. */
static char *content_of(struct fixture *f, struct vault *vault)
{
    struct vault *own = f->vault;
    struct buf out;
    char *text;

    buf_init(&out, SIZE_MAX);
    f->vault = vault;
    for (int64_t folder_id = 1; folder_id <= 6; folder_id++) {
        struct vault_uid_flags *messages;
        size_t count;

        assert_int_equal(vault_message_list(vault, &f->task, folder_id, &messages, &count), ERR_OK);
        for (size_t i = 0; i < count; i++) {
            struct str raw = fixture_read(f, folder_id, messages[i].uid);

            buf_putf(&out, "%lld %u %llx ", (long long)folder_id, messages[i].uid,
                     (unsigned long long)messages[i].flags);
            buf_put(&out, raw);
        }
    }
    f->vault = own;
    text = mem_copy_text(out.ptr == NULL ? "" : out.ptr, out.len);
    buf_free(&out);
    return text;
}

static char *restored_content(struct fixture *f, const char *generation, int64_t until_ms)
{
    CLEANUP(restore_free) struct restore *restore = NULL;
    CLEANUP(vault_close) struct vault *vault = NULL;

    if (away_restore(&away, f, &f->task, generation, until_ms, &restore) != ERR_OK ||
        restore_open(restore, &f->task, &vault) != ERR_OK)
        fail_msg("%s", f->task.words);
    return content_of(f, vault);
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
        contents[i] = content_of(f, f->vault);
        times[i] = clock_now_ms();
        tick(f);
    }
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2);
    assert_true(away_count(&away, "log/") >= 4);
    for (int i = 0; i < MOMENTS; i++) {
        CLEANUP(mem_free) char *found =
            restored_content(f, away_generation(&away, 0), times[i]);

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
        contents[i] = content_of(f, f->vault);
        times[i] = clock_now_ms();
        tick(f);
    }
    assert_int_not_equal(salt_of_log(f), salt);
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "log/"), segments + 1);
    for (int i = 0; i < COMMITS; i++) {
        CLEANUP(mem_free) char *found = restored_content(f, away_generation(&away, 0), times[i]);

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

/* What a process that dies now leaves for the next one. */
static bool has_note_under(const struct fixture *f, const struct secret *key, struct shipping *out)
{
    CLEANUP(secret_free) struct secret *own = segment_key(key);
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/%s.shipping", f->folder, f->options.id.text);
    return shipping_load(path, &f->options.id, own, out);
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
        contents[i] = content_of(f, f->vault);
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
    assert_true(has_note_under(f, f->key, &note));
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
        found = restored_content(f, generation, times[i]);
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
    expected = content_of(f, f->vault);
    found = restored_content(f, away_generation(&away, 0), INT64_MAX);
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
    expected = content_of(f, f->vault);
    found = restored_content(f, away_generation(&away, 0), INT64_MAX);
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
    expected = content_of(f, f->vault);
    found = restored_content(f, away_generation(&away, 0), INT64_MAX);
    assert_string_equal(found, expected);
}

/* The files as they are now, as a power cut would leave them if nothing more came to the disk. */
static void keep_files(const struct fixture *f)
{
    char command[500];

    snprintf(command, sizeof(command), "cp -a %s %s.kept", f->folder, f->folder);
    assert_int_equal(system(command), 0);
}

static void bring_files_back(const struct fixture *f)
{
    char command[500];

    snprintf(command, sizeof(command), "rm %s/%s.* && cp -a %s.kept/. %s && rm -r %s.kept", f->folder,
             f->options.id.text, f->folder, f->folder, f->folder);
    assert_int_equal(system(command), 0);
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
    keep_files(f);
    away_close(&away, f);
    bring_files_back(f);
    lose_a_frame(f, 32 + 24 + 100);
    away_open(&away, f);
    fixture_append(f, f->inbox, fixture_message(f, "third"), 0);
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 4);
    expected = content_of(f, f->vault);
    found = restored_content(f, away_generation(&away, 1), INT64_MAX);
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
    away.has_question = false; /* not if it is not taken, though */
    shipper_answered(away.shipper, SHIPPER_AGAIN, now_ms);
    assert_false(shipper_is_beginning(away.shipper));
    (void)shipper_run(away.shipper, now_ms + SHIPPER_RETRY_MS);
    assert_true(away.has_question);
    away.has_question = false;
    shipper_answered(away.shipper, SHIPPER_STORED, now_ms);
    assert_true(away.has_question && shipper_is_beginning(away.shipper)); /* the manifest */
    away_settle(&away, f);
    assert_false(shipper_is_beginning(away.shipper));
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
    expected = content_of(f, f->vault);
    found = restored_content(f, away_generation(&away, 0), INT64_MAX);
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
    expected = content_of(f, f->vault);
    found = restored_content(f, away_generation(&away, 1), INT64_MAX);
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

/* --- A day is over --- */

static struct away behind; /* the destination as the one sees it that follows */

static void follow(struct fixture *f)
{
    away_done(&behind);
    away_init(&behind, f);
    assert_false(shipper_is_old(away.shipper, clock_now_ms()));
    assert_true(shipper_is_old(away.shipper, clock_now_ms() + SHIPPER_GENERATION_MS));
    behind.shipper = shipper_follow(away.shipper, &behind.options);
    assert_false(shipper_is_old(away.shipper, clock_now_ms() + SHIPPER_GENERATION_MS));
}

/* Until it has put so many objects, of which the last has no answer yet. */
static void run_to_put(size_t puts)
{
    for (int i = 0; i < 5000 && behind.puts < puts; i++) {
        (void)shipper_run(behind.shipper, clock_now_ms());
        if (behind.puts < puts)
            usleep(1000);
    }
    assert_int_equal(behind.puts, puts);
}

static void answer(int64_t now_ms)
{
    assert_true(behind.has_question);
    behind.has_question = false;
    shipper_answered(behind.shipper, behind.answer, now_ms);
}

static const char *name_of_last(const struct away *destination)
{
    return destination->objects[destination->count - 1].name;
}

static void expect_whole(const struct away *destination, struct fixture *f, const char *expected)
{
    CLEANUP(restore_free) struct restore *restore = NULL;
    CLEANUP(vault_close) struct vault *vault = NULL;
    CLEANUP(mem_free) char *found = NULL;
    const char *generation = away_generation(destination, 0);

    if (away_restore(destination, f, &f->task, generation, INT64_MAX, &restore) != ERR_OK ||
        restore_open(restore, &f->task, &vault) != ERR_OK)
        fail_msg("%s", f->task.words);
    found = content_of(f, vault);
    assert_string_equal(found, expected);
}

/* A process that dies now has the next one go on with that. */
static void expect_note_of(const struct fixture *f, const char *generation)
{
    struct shipping shipping;

    assert_true(has_note_under(f, f->key, &shipping));
    assert_string_equal(shipping.generation.text, generation);
}

/* The next one begins anew. */
static void expect_no_note(const struct fixture *f)
{
    struct shipping shipping;

    assert_false(has_note_under(f, f->key, &shipping));
}

/* Its base is hours on its way: what is committed meanwhile is at the destination all the same. */
static void the_log_goes_on_while_the_next_generation_begins(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *before = NULL;
    CLEANUP(mem_free) char *after = NULL;
    struct shipper *old;

    away_open(&away, f);
    fixture_append(f, f->inbox, fixture_message(f, "first"), 0);
    away_settle(&away, f);
    follow(f);
    run_to_put(1);
    assert_true(shipper_is_beginning(behind.shipper));
    expect_note_of(f, away_generation(&away, 0));
    for (int i = 0; i < 5; i++) {
        CLEANUP(mem_free) char *now = NULL;

        fixture_append(f, f->inbox, fixture_message(f, "while its base is on its way"), 0);
        away_settle(&away, f);
        now = content_of(f, f->vault);
        expect_whole(&away, f, now);
        if (i == 2)
            fixture_housekeep(f, 0); /* a checkpoint: the log begins anew for both */
    }
    assert_int_equal(behind.count, 1);
    /* It is found only when it has what the one before has. */
    answer(clock_now_ms() + 2000);
    assert_false(shipper_may_take_over(behind.shipper));
    run_to_put(2);
    assert_non_null(strstr(name_of_last(&behind), "/000000000001.seg"));
    answer(clock_now_ms());
    assert_int_equal(shipper_run(behind.shipper, clock_now_ms()), -1);
    assert_true(shipper_may_take_over(behind.shipper));
    assert_true(shipper_is_beginning(behind.shipper));
    expect_note_of(f, away_generation(&away, 0));
    fixture_append(f, f->inbox, fixture_message(f, "the last that both have"), 0);
    before = content_of(f, f->vault);
    shipper_take_over(behind.shipper, clock_now_ms());
    assert_int_equal(behind.puts, 3);
    assert_non_null(strstr(name_of_last(&behind), ".json"));
    expect_no_note(f);
    fixture_append(f, f->inbox, fixture_message(f, "while its manifest is on its way"), 0);
    expect_no_note(f);
    answer(clock_now_ms());
    expect_note_of(f, away_generation(&behind, 0));
    fixture_append(f, f->inbox, fixture_message(f, "then"), 0);
    away_settle(&away, f);
    assert_true(shipper_is_done(away.shipper));
    expect_whole(&away, f, before);
    old = away.shipper;
    away.shipper = NULL;
    shipper_close(&old);
    away_settle(&behind, f);
    after = content_of(f, f->vault);
    expect_whole(&behind, f, after);
    /* And the next process goes on with it. */
    away_close(&behind, f);
    away_open(&behind, f);
    fixture_append(f, f->inbox, fixture_message(f, "of the next process"), 0);
    away_settle(&behind, f);
    assert_int_equal(away_count(&behind, "base/"), 2);
    mem_free(&after);
    after = content_of(f, f->vault);
    expect_whole(&behind, f, after);
    away_close(&behind, f);
    away_done(&behind);
}

/* The one before fails while the next begins: that is there already. */
static void a_generation_that_ends_while_the_next_begins(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;

    away_open(&away, f);
    away_settle(&away, f);
    follow(f);
    run_to_put(1);
    shipper_end_generation(away.shipper, "a test");
    assert_int_equal(shipper_run(away.shipper, clock_now_ms()), -1); /* begins none of its own */
    assert_true(shipper_may_take_over(behind.shipper));
    shipper_take_over(behind.shipper, clock_now_ms());
    assert_true(shipper_is_done(away.shipper));
    shipper_close(&away.shipper);
    fixture_append(f, f->inbox, fixture_message(f, "then"), 0);
    away_settle(&behind, f);
    expected = content_of(f, f->vault);
    expect_whole(&behind, f, expected);
    away_close(&behind, f);
    away_done(&behind);
}

/* A child that copies the file has its parent's lock, too, and dies a moment later. */
static void wait_for_lock(struct fixture *f)
{
    const char *path =
        arena_printf(&f->task.arena, "%s/%s.sqlite", f->folder, f->options.id.text).ptr;
    CLEANUP(fd_close) int fd = -1;

    for (int i = 0; i < 5000; i++) {
        if (vault_lock_file(&f->task, path, &fd) == ERR_OK)
            return;
        task_forgive(&f->task);
        usleep(1000);
    }
    fail_msg("it stays open");
}

/* The mailbox is closed meanwhile: the generation of before has all. */
static void one_that_follows_is_given_up(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;

    for (int is_copied = 0; is_copied < 2; is_copied++) {
        if (f->vault == NULL)
            wait_for_lock(f);
        away_open(&away, f);
        fixture_append(f, f->inbox, fixture_message(f, "one"), 0);
        away_settle(&away, f);
        follow(f);
        if (is_copied)
            run_to_put(1);
        else
            (void)shipper_run(behind.shipper, clock_now_ms());
        assert_int_equal(shipper_is_copying(behind.shipper), !is_copied);
        fixture_append(f, f->inbox, fixture_message(f, "two"), 0);
        shipper_before_close(behind.shipper);
        shipper_close(&behind.shipper);
        assert_false(vault_checkpoints_are_held(f->vault));
        away_close(&away, f);
    }
    wait_for_lock(f);
    away_open(&away, f);
    away_settle(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2); /* one generation, of all this */
    expected = content_of(f, f->vault);
    expect_whole(&away, f, expected);
    away_done(&behind);
}

/* At every step up to the change a process is killed: the next one goes on with the generation of
 * before. */
static void a_process_that_is_killed_while_the_next_generation_begins(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_free) char *expected = NULL;

    away_open(&away, f);
    away_settle(&away, f);
    away_close(&away, f);
    for (size_t puts = 0; puts <= 2; puts++) {
        pid_t pid;

        secret_set_inherited(true);
        pid = fork();
        if (pid == 0) {
            away_open(&away, f);
            follow(f);
            (void)shipper_run(behind.shipper, clock_now_ms());
            fixture_append(f, f->inbox, fixture_message(f, "of one that died"), 0);
            for (size_t i = 1; i <= puts; i++) {
                run_to_put(i);
                if (i < puts)
                    answer(clock_now_ms() + (i == 1 ? 2000 : 0));
            }
            fixture_append(f, f->inbox, fixture_message(f, "and more"), 0);
            kill(getpid(), SIGKILL);
        }
        secret_set_inherited(false);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        wait_for_lock(f);
        away_open(&away, f);
        away_settle(&away, f);
        away_close(&away, f);
    }
    away_open(&away, f);
    assert_int_equal(away_count(&away, "base/"), 2); /* no gap */
    expected = content_of(f, f->vault);
    expect_whole(&away, f, expected);
}

/* --- The moment of the change --- */

/* What a restore takes of all that lies there (mailbox/choice.h). */
static char *content_of_the_newest(struct fixture *f)
{
    CLEANUP(secret_free) struct secret *mac_key = segment_key(f->key);
    CLEANUP(mailbox_choice_done) struct mailbox_choice choice;
    CLEANUP(buf_free) struct buf json = {0};
    struct mailbox_choice_generation *generation;

    buf_init(&json, SIZE_MAX);
    for (size_t i = 0; i < away.count; i++)
        buf_putf(&json, "%s{\"name\":\"%s\"}", i == 0 ? "[" : ",", away.objects[i].name);
    buf_put(&json, STR("]"));
    mailbox_choice_init(&choice, INT64_MAX, STR(""));
    assert_int_equal(mailbox_choice_list(&choice, &f->task, buf_str(&json), false, true), ERR_OK);
    while ((generation = mailbox_choice_next(&choice)) != NULL) {
        CLEANUP(buf_free) struct buf manifest = {0};
        char name[96];

        buf_init(&manifest, SIZE_MAX);
        (void)snprintf(name, sizeof(name), "base/%s.json", generation->id.text);
        assert_int_equal(
            fd_read_all(&f->task, away_find(&away, name), MANIFEST_BYTES_MAX, &manifest), ERR_OK);
        mailbox_choice_manifest(&choice, generation, &f->options.id, buf_str(&manifest), mac_key);
    }
    assert_int_equal(mailbox_choice_choose(&choice, &f->task, false), ERR_OK);
    return restored_content(f, choice.chosen.id.text, INT64_MAX);
}

enum ending { KILLED, CLOSED, REFUSED_AND_CLOSED };

static const struct moment {
    const char *name;
    size_t puts; /* of the one that follows: its base, a segment, its manifest, a segment */
    bool is_answered;
    enum ending ending;
} moments[] = {
    {"killed with the base on its way", 1, false, KILLED},
    {"killed with the base there", 1, true, KILLED},
    {"killed with the segment there", 2, true, KILLED},
    {"killed with the manifest on its way", 3, false, KILLED},
    {"killed with the manifest there", 3, true, KILLED},
    {"killed with a segment behind the manifest", 4, true, KILLED},
    {"closed with the base there", 1, true, CLOSED},
    {"closed with the segment there", 2, true, CLOSED},
    {"closed with the manifest on its way", 3, false, CLOSED},
    {"closed with the manifest there", 3, true, CLOSED},
    {"closed with a manifest that is there and was called refused", 3, false, REFUSED_AND_CLOSED},
};

/* As a mailbox's process does. True: it has taken over. */
static bool change_generation(struct fixture *f, const struct moment *moment)
{
    bool has_taken_over = false;
    size_t puts = 0;

    follow(f);
    behind.into = &away;
    for (int i = 0; i < 5000 && puts < moment->puts; i++) {
        int64_t now_ms = clock_now_ms();

        if (!has_taken_over && shipper_may_take_over(behind.shipper)) {
            shipper_take_over(behind.shipper, now_ms);
            has_taken_over = true;
        }
        (void)shipper_run(behind.shipper, now_ms);
        if (behind.puts == puts) {
            usleep(1000);
            continue;
        }
        if (puts == 0)
            fixture_append(f, f->inbox, fixture_message(f, "with its base on its way"), 0);
        puts = behind.puts;
        if (puts == 3)
            fixture_append(f, f->inbox, fixture_message(f, "with its manifest on its way"), 0);
        if (puts < moment->puts || moment->is_answered)
            answer(now_ms + (puts == 1 ? 2000 : 0)); /* so that it is behind, and puts a segment */
    }
    assert_int_equal(puts, moment->puts);
    if (!has_taken_over && moment->is_answered && shipper_may_take_over(behind.shipper)) {
        shipper_take_over(behind.shipper, clock_now_ms());
        has_taken_over = true;
    }
    return has_taken_over;
}

/* The one before has put all that it had by then, if it may. */
static void end_process(struct fixture *f, bool has_taken_over)
{
    if (has_taken_over) {
        away_settle(&away, f);
        shipper_close(&away.shipper);
        away_close(&behind, f);
        return;
    }
    shipper_before_close(behind.shipper);
    shipper_close(&behind.shipper);
    away_close(&away, f);
}

static void end_as(struct fixture *f, const struct moment *moment, bool has_taken_over)
{
    if (moment->ending == REFUSED_AND_CLOSED) {
        behind.answer = SHIPPER_AGAIN;
        answer(clock_now_ms());
        behind.is_down = true;
    }
    if (moment->ending == KILLED) {
        keep_files(f);
        away.is_down = behind.is_down = true; /* what is done from now on, none has done */
    }
    end_process(f, has_taken_over);
    away.is_down = false;
    if (moment->ending == KILLED)
        bring_files_back(f);
    wait_for_lock(f);
}

/* Restoring takes the generation that begins last, so once its manifest may be there, no process goes
 * on with the one before: nothing that it had would ever be found. */
static void the_generation_that_is_found_goes_on(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        CLEANUP(mem_free) char *expected = NULL;
        CLEANUP(mem_free) char *found = NULL;

        away_open(&away, f);
        fixture_append(f, f->inbox, fixture_message(f, "before"), 0);
        away_settle(&away, f);
        end_as(f, &moments[i], change_generation(f, &moments[i]));
        away_open(&away, f);
        fixture_append(f, f->inbox, fixture_message(f, "of the next process"), 0);
        away_settle(&away, f);
        expected = content_of(f, f->vault);
        found = content_of_the_newest(f);
        if (strcmp(found, expected) != 0)
            fail_msg("%s: what is restored is not what there is", moments[i].name);
        away_close(&away, f);
    }
    away_done(&behind);
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
        TEST(a_destination_that_is_away_for_a_while),
        TEST(too_much_is_a_gap_and_a_new_generation),
        TEST(a_file_that_was_exchanged_is_noticed),
        TEST(tampering_is_named),
        TEST(the_log_goes_on_while_the_next_generation_begins),
        TEST(a_generation_that_ends_while_the_next_begins),
        TEST(one_that_follows_is_given_up),
        TEST(a_process_that_is_killed_while_the_next_generation_begins),
        TEST(the_generation_that_is_found_goes_on),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
