/*
 * What an owner's own destination is to let go, over a restart: with a disk that is full, half a line
 * of before, and more names than are remembered.
 */
#include "backup/let_go.h"

#include "backup/directory.h"
#include "backup/fixture.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/secret.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MAILBOX "0123456789abcdef01234567"
#define NAME(n) MAILBOX "/log/89abcdef0123456789abcdef/00000000000" #n ".seg"

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};
static char root[FIXTURE_ROOT_ROOM], own_folder[120], names_folder[120];

struct state {
    struct backup_fixture host, own;
    struct backup_mirrors *mirrors;
    struct let_go *let_go;
    struct net_timer *timer; /* of a test */
};

/* --- the world --- */

static enum err open_own(void *owner, struct task *task, const struct backup_own *own,
                         struct backup_destination **out)
{
    struct state *s = owner;

    (void)own;
    return backup_directory_open(s->host.loop, task, own_folder, out);
}

static void begin(struct state *s)
{
    struct backup_own own = {.place = STR("own"), .region = STR(""), .key_id = STR(""),
                             .secret = STR("secret")};
    struct task task;

    task_init(&task, clock_now_ms());
    s->mirrors = backup_mirrors_new(s->host.loop, &quiet, s->host.destination, open_own, s);
    assert_true(id_parse(STR(MAILBOX), &own.mailbox));
    backup_mirrors_set(s->mirrors, &own);
    assert_int_equal(let_go_new(&task, s->host.loop, &quiet, names_folder, s->mirrors, &s->let_go),
                     ERR_OK);
    let_go_told(s->let_go);
    task_done(&task);
}

static void end(struct state *s)
{
    let_go_free(&s->let_go);
    backup_mirrors_free(&s->mirrors);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int set_up(void **out)
{
    struct state *s = NEW(struct state);
    struct task task;

    task_init(&task, clock_now_ms());
    fixture_make_root(root, "sealpost-let-go");
    (void)snprintf(own_folder, sizeof(own_folder), "%s/own", root);
    (void)snprintf(names_folder, sizeof(names_folder), "%s/names", root);
    fixture_open(&s->host, arena_printf(&task.arena, "%s/host", root).ptr);
    s->own.loop = s->host.loop;
    fixture_open(&s->own, own_folder);
    task_done(&task);
    *out = s;
    return 0;
}

static int tear_down(void **state)
{
    struct state *s = *state;

    limit_files(RLIM_INFINITY);
    if (s->mirrors != NULL) /* it failed */
        end(s);
    s->own.loop = NULL;
    backup_destination_free(&s->own.destination);
    fixture_done(&s->own);
    fixture_done(&s->host);
    mem_free(&s);
    return fixture_remove_root(root);
}

/* --- steps --- */

static bool note(struct state *s, const char *name)
{
    return let_go_note(s->let_go, str_from_c(name));
}

static void stop(void *owner)
{
    net_loop_stop(owner);
}

/* The next process: it hears of what this one noted, and the owner's lets it go. */
static void restart_and_settle(struct state *s)
{
    struct net_timer *timer;

    end(s);
    begin(s);
    timer = net_timer_new(s->host.loop, stop, s->host.loop);
    for (int i = 0; i < 100; i++) {
        net_timer_start(timer, 10);
        net_loop_run(s->host.loop);
    }
    net_timer_free(&timer);
}

static bool own_has(struct state *s, const char *name)
{
    return fixture_get(&s->own, name) == ERR_OK;
}

static off_t size_of_names(void)
{
    char path[160];
    struct stat about;

    (void)snprintf(path, sizeof(path), "%s/" MAILBOX, names_folder);
    return stat(path, &about) == 0 ? about.st_size : -1;
}

/* --- tests --- */

static void a_full_disk_keeps_what_cannot_be_noted(void **state)
{
    struct state *s = *state;

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(fixture_put(&s->own, NAME(1), 10, 1), ERR_OK);
    assert_int_equal(fixture_put(&s->own, NAME(2), 10, 1), ERR_OK);
    assert_int_equal(fixture_put(&s->own, NAME(3), 10, 1), ERR_OK);
    begin(s);
    assert_true(note(s, NAME(1)));
    limit_files(strlen(NAME(1)) + 1 + 20); /* half of the next one fits */
    assert_false(note(s, NAME(2)));
    assert_int_equal(size_of_names(), strlen(NAME(1)) + 1);
    limit_files(0);
    let_go_sync(s->let_go);
    assert_false(note(s, NAME(2)));
    assert_true(note(s, "host/account/20260101T100000.000Z-aaaaaaaa.sqlite"));
    assert_true(note(s, "fedcba98765432100123456789abcdef/full/x")); /* nobody else has it */
    limit_files(RLIM_INFINITY);
    assert_true(note(s, NAME(3)));
    restart_and_settle(s);
    assert_false(own_has(s, NAME(1)));
    assert_true(own_has(s, NAME(2)));
    assert_false(own_has(s, NAME(3)));
    end(s);
}

static void what_cannot_even_be_opened_stays(void **state)
{
    struct state *s = *state;
    char path[160];

    begin(s);
    (void)snprintf(path, sizeof(path), "%s/" MAILBOX, names_folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(note(s, NAME(1)));
    assert_int_equal(rmdir(path), 0);
    assert_true(note(s, NAME(1)));
    end(s);
}

static void half_a_line_of_before_takes_no_name_with_it(void **state)
{
    struct state *s = *state;
    char path[160];
    FILE *file;

    assert_int_equal(fixture_put(&s->own, NAME(1), 10, 1), ERR_OK);
    begin(s);
    (void)snprintf(path, sizeof(path), "%s/" MAILBOX, names_folder);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(MAILBOX "/log/89ab", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_true(note(s, NAME(1)));
    restart_and_settle(s);
    assert_false(own_has(s, NAME(1)));
    end(s);
}

static void let_go_as_many_as_are_remembered(struct state *s)
{
    char name[128];

    for (int i = 0; i < MIRROR_REMOVALS_MAX; i++) {
        (void)snprintf(name, sizeof(name), MAILBOX "/log/89abcdef0123456789abcdef/%012d.seg", i);
        assert_true(backup_mirrors_has_room(s->mirrors, str_from_c(name)));
        assert_true(note(s, name));
        backup_mirrors_removed(s->mirrors, str_from_c(name));
    }
}

/* The host lets go faster than an owner's far away can: it waits for the next time, so that none is
 * forgotten. */
static void more_than_are_remembered_wait(void **state)
{
    struct state *s = *state;

    begin(s);
    let_go_as_many_as_are_remembered(s);
    assert_false(backup_mirrors_has_room(s->mirrors, STR(NAME(1))));
    assert_false(note(s, NAME(1))); /* nor has its file */
    end(s);
}

static void stop_when_removed(void *owner)
{
    struct state *s = owner;

    if (!backup_mirrors_is_removing(s->mirrors, STR(MAILBOX "/")))
        net_loop_stop(s->host.loop);
    else
        net_timer_start(s->timer, 1);
}

/* An owner's that always has something to copy is never up to date, and lets go all the same: names
 * that it has let go are in nobody's way, in the file neither. */
static void what_was_let_go_makes_room(void **state)
{
    struct state *s = *state;
    unsigned char digest[CRYPT_HASH_BYTES] = {0};
    struct backup_put put = {.name = STR(NAME(1)), .fd = -1, .digest = digest};
    json_t *about = json_object();
    struct id mailbox;

    begin(s);
    let_go_as_many_as_are_remembered(s);
    assert_false(note(s, NAME(1)));
    s->timer = net_timer_new(s->host.loop, stop_when_removed, s);
    net_timer_start(s->timer, 0);
    net_loop_run(s->host.loop);
    net_timer_free(&s->timer);
    put.fd = memfd_create("copy", MFD_CLOEXEC);
    backup_mirrors_put(s->mirrors, &put);
    fd_close(&put.fd);
    assert_true(id_parse(STR(MAILBOX), &mailbox));
    backup_mirrors_describe(s->mirrors, &mailbox, about);
    assert_string_equal(json_string_value(json_object_get(about, "state")), "copying");
    json_decref(about);
    assert_true(note(s, NAME(1)));
    assert_int_equal(size_of_names(), strlen(NAME(1)) + 1);
    end(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_disk_keeps_what_cannot_be_noted),
        TEST(what_cannot_even_be_opened_stays),
        TEST(half_a_line_of_before_takes_no_name_with_it),
        TEST(more_than_are_remembered_wait),
        TEST(what_was_let_go_makes_room),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
