/*
 * In which order old generations of the log go, and what an interruption leaves: whoever reads one
 * meanwhile finds all of it as long as its manifest is there, and the next prune finds the rest.
 */
#include "backup/prune.h"

#include "backup/directory.h"
#include "backup/fixture.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MAILBOX "0123456789abcdef01234567"

enum { SEGMENTS = 5, COPY_BYTES = 10, NEVER = 1000000 };

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};
static const struct backup_policy policy = {.daily = 1, .hourly = 0};
static char root[FIXTURE_ROOT_ROOM];

struct state {
    struct backup_fixture direct;
    struct backup_prune *prune;
    size_t removed;
    size_t stop_after;    /* it is interrupted behind so many objects */
    size_t refused_after; /* and from then on they must not go */
    bool is_done;
    bool is_child; /* a process that will be killed */
    int told_fd;   /* its: takes a byte for each object that went */
};

/* --- the world --- */

static void put(struct state *s, const char *name)
{
    char whole[128];

    (void)snprintf(whole, sizeof(whole), MAILBOX "/%s", name);
    assert_int_equal(fixture_put(&s->direct, whole, COPY_BYTES, 1), ERR_OK);
}

static bool has(const char *name)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/" MAILBOX "/%s", root, name);
    return access(path, F_OK) == 0;
}

static size_t segments_of(const char *generation)
{
    char name[64];
    size_t count = 0;

    for (int i = 1; i <= SEGMENTS; i++) {
        (void)snprintf(name, sizeof(name), "log/%s/%012d.seg", generation, i);
        count += has(name);
    }
    return count;
}

static void put_generation(struct state *s, const char *generation)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "base/%s.sqlite", generation);
    put(s, name);
    (void)snprintf(name, sizeof(name), "base/%s.json", generation);
    put(s, name);
    for (int i = 1; i <= SEGMENTS; i++) {
        (void)snprintf(name, sizeof(name), "log/%s/%012d.seg", generation, i);
        put(s, name);
    }
}

static void age(const char *pattern, const char *time)
{
    char command[200];

    (void)snprintf(command, sizeof(command), "find %s -path '*/%s' -exec touch -d '%s' {} +", root,
                   pattern, time);
    assert_int_equal(system(command), 0);
}

/* Two generations that are to go, one that stays, and a full backup of now. */
static void fill(struct state *s, char newest[static 64])
{
    char now[BACKUP_STAMP_ROOM], name[64];

    put_generation(s, "g1");
    put_generation(s, "g2");
    put_generation(s, "g3");
    age("*/g1*", "6 days ago");
    age("*/g2*", "5 days ago");
    age("*/g3*", "4 days ago");
    backup_stamp_format(clock_now_ms(), now);
    (void)snprintf(name, sizeof(name), "full/%s-1.sqlite", now);
    put(s, name);
    (void)snprintf(newest, 64, "full/%s-1.json", now);
    put(s, newest);
}

static int set_up(void **out)
{
    struct state *s = NEW(struct state);

    fixture_make_root(root, "sealpost-prune");
    fixture_open(&s->direct, root);
    s->stop_after = s->refused_after = NEVER;
    *out = s;
    return 0;
}

static int tear_down(void **state)
{
    struct state *s = *state;

    backup_prune_cancel(&s->prune);
    fixture_done(&s->direct);
    mem_free(&s);
    return fixture_remove_root(root);
}

/* --- pruning --- */

/* What a restore relies on, and the next prune. */
static bool is_in_order(void)
{
    bool is_right = true;

    for (const char *generation = "g1"; generation != NULL;
         generation = strcmp(generation, "g1") == 0 ? "g2" : NULL) {
        char manifest[32], copy[32];

        (void)snprintf(manifest, sizeof(manifest), "base/%s.json", generation);
        (void)snprintf(copy, sizeof(copy), "base/%s.sqlite", generation);
        is_right &= !has(manifest) || (has(copy) && segments_of(generation) == SEGMENTS);
        is_right &= segments_of(generation) == 0 || has(copy);
    }
    return is_right;
}

/* In a process of its own an assertion that fails would go on with the tests. */
static void check_order(const struct state *s)
{
    if (s->is_child && !is_in_order())
        _exit(EXIT_FAILURE);
    assert_true(is_in_order());
}

/* Whoever is about to kill this process, of each object. */
static void tell(const struct state *s)
{
    if (s->is_child && write(s->told_fd, "x", 1) != 1)
        _exit(EXIT_FAILURE);
}

static bool on_removing(void *owner, struct str name)
{
    const struct state *s = owner;

    (void)name;
    check_order(s);
    return s->removed != s->refused_after;
}

static void on_removed(void *owner, struct str name)
{
    struct state *s = owner;

    (void)name;
    check_order(s);
    tell(s);
    if (++s->removed == s->stop_after)
        net_loop_stop(s->direct.loop);
}

static void on_done(void *owner)
{
    struct state *s = owner;

    s->prune = NULL;
    s->is_done = true;
    net_loop_stop(s->direct.loop);
}

static const struct backup_prune_events events = {on_removing, on_removed, on_done};

static void prune(struct state *s, const char *newest)
{
    char name[100];

    (void)snprintf(name, sizeof(name), MAILBOX "/%s", newest);
    s->removed = 0;
    s->is_done = false;
    s->prune = backup_prune_start(s->direct.destination, &policy, str_from_c(name), COPY_BYTES,
                                  &quiet, &events, s);
    net_loop_run(s->direct.loop);
    backup_prune_cancel(&s->prune);
}

static void check_all_gone(void)
{
    assert_false(has("base/g1.json") || has("base/g1.sqlite") || has("log/g1"));
    assert_false(has("base/g2.json") || has("base/g2.sqlite") || has("log/g2"));
    assert_true(has("base/g3.json") && has("base/g3.sqlite") && segments_of("g3") == SEGMENTS);
}

static void what_an_interruption_leaves_goes_with_the_next(void **state)
{
    enum { OBJECTS = 2 * (SEGMENTS + 2) };
    struct state *s = *state;
    char newest[64];

    fill(s, newest);
    for (size_t i = 1; i < OBJECTS; i++) {
        put_generation(s, "g1");
        put_generation(s, "g2");
        age("*/g1*", "6 days ago");
        age("*/g2*", "5 days ago");
        s->stop_after = i;
        prune(s, newest);
        assert_false(s->is_done);
        s->stop_after = NEVER;
        prune(s, newest);
        assert_true(s->is_done);
        check_all_gone();
    }
}

/* Died behind the last segment, before the folder. */
static void an_empty_folder_that_was_left_goes_too(void **state)
{
    struct state *s = *state;
    char newest[64], command[400];

    fill(s, newest);
    (void)snprintf(command, sizeof(command),
                   "rm %s/" MAILBOX "/base/g1.json* %s/" MAILBOX "/log/g1/*", root, root);
    assert_int_equal(system(command), 0);
    assert_true(has("log/g1") && segments_of("g1") == 0);
    prune(s, newest);
    assert_true(s->is_done);
    check_all_gone();
}

static void what_must_not_go_yet_stays_with_the_rest(void **state)
{
    struct state *s = *state;
    char newest[64];

    fill(s, newest);
    s->refused_after = 3; /* the manifest and two segments */
    prune(s, newest);
    assert_true(s->is_done);
    assert_int_equal(s->removed, 3);
    assert_true(has("base/g1.sqlite") && segments_of("g1") == SEGMENTS - 2 && has("base/g2.json"));
    s->refused_after = NEVER;
    prune(s, newest);
    check_all_gone();
}

static void prune_in_child(const char *newest, int told_fd)
{
    struct state own = {
        .stop_after = NEVER, .refused_after = NEVER, .is_child = true, .told_fd = told_fd};
    struct task task;

    task_init(&task, clock_now_ms());
    own.direct.loop = net_loop_new();
    if (backup_directory_open(own.direct.loop, &task, root, &own.direct.destination) != ERR_OK)
        _exit(EXIT_FAILURE);
    prune(&own, newest);
    _exit(own.is_done ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* When it has let go so many objects, and a moment later. */
static void kill_after(pid_t pid, int told_fd, int objects, useconds_t moment_us)
{
    char byte;
    int status;

    for (int i = 0; i < objects; i++)
        assert_int_equal(read(told_fd, &byte, 1), 1);
    (void)usleep(moment_us);
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
                                    : WEXITSTATUS(status) == EXIT_SUCCESS);
}

/* A process of its own, which dies at any moment. */
static void whoever_prunes_may_be_killed(void **state)
{
    struct state *s = *state;
    char newest[64];
    int cut = 0;

    fill(s, newest);
    for (int i = 0; i < 40; i++) {
        int told[2];
        pid_t pid;

        put_generation(s, "g1");
        put_generation(s, "g2");
        age("*/g1*", "6 days ago");
        age("*/g2*", "5 days ago");
        assert_int_equal(pipe(told), 0);
        pid = fork();
        if (pid == 0)
            prune_in_child(newest, told[1]);
        assert_true(pid > 0);
        (void)close(told[1]);
        kill_after(pid, told[0], i % 4 * 3, (useconds_t)(i * 5));
        (void)close(told[0]);
        check_order(s);
        cut += !has("base/g1.json") && has("base/g2.sqlite");
        prune(s, newest);
        check_all_gone();
    }
    print_message("%d of 40 in the middle\n", cut);
    assert_true(cut > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_an_interruption_leaves_goes_with_the_next),
        TEST(an_empty_folder_that_was_left_goes_too),
        TEST(what_must_not_go_yet_stays_with_the_rest),
        TEST(whoever_prunes_may_be_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
