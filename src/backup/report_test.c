/* What `sealpost backup list` says of a destination from which backups are let go meanwhile. */
#include "backup/report.h"

#include "backup/fixture.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MAILBOX "0123456789abcdef01234567"

/* --- a destination that lets one go before it is read --- */

struct letting {
    struct backup_destination base;
    struct backup_destination *inner; /* own */
    const char *goes[4];              /* each with the next thing that is read; NULL: no more */
    size_t gone;
};

static char root[FIXTURE_ROOT_ROOM];

static struct letting *letting_of(struct backup_destination *destination)
{
    return CONTAINER_OF(destination, struct letting, base);
}

static void take(const char *stem, const char *kind)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/" MAILBOX "/%s%s", root, stem, kind);
    assert_int_equal(unlink(path), 0);
}

static struct backup_call *get(struct backup_destination *destination, struct str name,
                               backup_on_done on_done, void *owner)
{
    struct letting *letting = letting_of(destination);
    const char *stem =
        letting->gone < ARRAY_LEN(letting->goes) ? letting->goes[letting->gone] : NULL;

    if (stem != NULL) {
        letting->gone++;
        take(stem, ".json");
        take(stem, ".sqlite");
    }
    return backup_get(letting->inner, name, on_done, owner);
}

static struct backup_call *list(struct backup_destination *destination, struct str prefix,
                                struct str after, size_t count_max, backup_on_done on_done,
                                void *owner)
{
    return backup_list(letting_of(destination)->inner, prefix, after, count_max, on_done, owner);
}

static const struct backup_destination_kind kind = {.get = get, .list = list};

/* --- the world --- */

struct state {
    struct backup_fixture direct;
    struct letting letting;
    json_t *items; /* own */
};

static int set_up(void **out)
{
    static const char *const stems[] = {
        "full/20260101T100000.000Z-1", "full/20260102T100000.000Z-2", "full/20260103T100000.000Z-3",
        "full/20260104T100000.000Z-4"};
    struct state *s = NEW(struct state);
    struct task task;

    task_init(&task, clock_now_ms());
    fixture_make_root(root, "sealpost-report");
    fixture_open(&s->direct, root);
    for (size_t i = 0; i < ARRAY_LEN(stems); i++) {
        const char *copy = arena_printf(&task.arena, MAILBOX "/%s.sqlite", stems[i]).ptr;
        const char *manifest = arena_printf(&task.arena, MAILBOX "/%s.json", stems[i]).ptr;

        assert_int_equal(fixture_put(&s->direct, copy, 100, 1), ERR_OK);
        assert_int_equal(fixture_put(&s->direct, manifest, 2, 1), ERR_OK);
    }
    s->letting = (struct letting){.base = {.kind = &kind}, .inner = s->direct.destination};
    task_done(&task);
    *out = s;
    return 0;
}

static int tear_down(void **state)
{
    struct state *s = *state;

    json_decref(s->items);
    fixture_done(&s->direct);
    mem_free(&s);
    return fixture_remove_root(root);
}

static void on_done(void *owner, json_t *items, const char *words)
{
    struct state *s = owner;

    assert_null(words);
    s->items = items;
    net_loop_stop(s->direct.loop);
}

static void report(struct state *s, bool has_details)
{
    json_t *mailboxes = json_pack("[{s:s, s:s}]", "mailbox", MAILBOX, "address", "a@example.org");

    (void)backup_report_start(&s->letting.base, mailboxes, has_details, on_done, s);
    net_loop_run(s->direct.loop);
    json_decref(mailboxes);
}

static const char *name_of(const struct state *s, size_t i)
{
    return json_string_value(json_object_get(json_array_get(s->items, i), "name"));
}

static void what_goes_meanwhile_is_not_listed(void **state)
{
    struct state *s = *state;

    s->letting.goes[0] = "full/20260101T100000.000Z-1";
    s->letting.goes[1] = "full/20260102T100000.000Z-2";
    report(s, true);
    assert_int_equal(json_array_size(s->items), 2);
    assert_string_equal(name_of(s, 0), "full/20260103T100000.000Z-3.sqlite");
    assert_string_equal(name_of(s, 1), "full/20260104T100000.000Z-4.sqlite");
    assert_null(json_object_get(json_array_get(s->items, 0), "listed"));
}

static void the_newest_that_goes_meanwhile_gives_way_to_another(void **state)
{
    struct state *s = *state;

    s->letting.goes[0] = "full/20260104T100000.000Z-4";
    report(s, false);
    assert_int_equal(json_array_size(s->items), 1);
    assert_string_equal(name_of(s, 0), "full/20260103T100000.000Z-3.sqlite");
}

static void a_copy_without_a_manifest_is_not_verified(void **state)
{
    struct state *s = *state;

    take("full/20260104T100000.000Z-4", ".json");
    report(s, false);
    assert_string_equal(name_of(s, 0), "full/20260104T100000.000Z-4.sqlite");
    assert_string_equal(json_string_value(json_object_get(json_array_get(s->items, 0), "verified")),
                        "no");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_goes_meanwhile_is_not_listed),
        TEST(the_newest_that_goes_meanwhile_gives_way_to_another),
        TEST(a_copy_without_a_manifest_is_not_verified),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
