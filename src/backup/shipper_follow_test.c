/* A day is over: the next generation begins while the log goes on, and is found when it has all. */
#include "backup/away.h"

#include "backup/segment.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "mailbox/choice.h"
#include "vault/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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
    CLEANUP(mem_free)
    char *found = away_restored(destination, f, away_generation(destination, 0), INT64_MAX);

    assert_string_equal(found, expected);
}

/* A process that dies now has the next one go on with that. */
static void expect_note_of(const struct fixture *f, const char *generation)
{
    struct shipping shipping;

    assert_true(away_has_note(f, f->key, &shipping));
    assert_string_equal(shipping.generation.text, generation);
}

/* The next one begins anew. */
static void expect_no_note(const struct fixture *f)
{
    struct shipping shipping;

    assert_false(away_has_note(f, f->key, &shipping));
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
        now = away_content(f, f->vault);
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
    before = away_content(f, f->vault);
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
    after = away_content(f, f->vault);
    expect_whole(&behind, f, after);
    /* And the next process goes on with it. */
    away_close(&behind, f);
    away_open(&behind, f);
    fixture_append(f, f->inbox, fixture_message(f, "of the next process"), 0);
    away_settle(&behind, f);
    assert_int_equal(away_count(&behind, "base/"), 2);
    mem_free(&after);
    after = away_content(f, f->vault);
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
    expected = away_content(f, f->vault);
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
    expected = away_content(f, f->vault);
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
    expected = away_content(f, f->vault);
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
    return away_restored(&away, f, choice.chosen.id.text, INT64_MAX);
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
        away_keep_files(f);
        away.is_down = behind.is_down = true; /* what is done from now on, none has done */
    }
    end_process(f, has_taken_over);
    away.is_down = false;
    if (moment->ending == KILLED)
        away_bring_files_back(f);
    wait_for_lock(f);
}

/* Restoring takes the generation that begins last, so once its manifest may be there, no process
 * goes on with the one before: nothing that it had would ever be found. */
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
        expected = away_content(f, f->vault);
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
        TEST(the_log_goes_on_while_the_next_generation_begins),
        TEST(a_generation_that_ends_while_the_next_begins),
        TEST(one_that_follows_is_given_up),
        TEST(a_process_that_is_killed_while_the_next_generation_begins),
        TEST(the_generation_that_is_found_goes_on),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
