/* What the archivist says of a removed mailbox, so that nothing of it is left or comes later. */
#include "backup/archivist_fixture.h"

#include "base/clock.h"
#include "base/memory.h"
#include "net/run_for.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static enum err open_nothing(void *owner, struct task *task, const struct backup_own *own,
                             struct backup_destination **out)
{
    (void)owner;
    (void)own;
    *out = NULL;
    return (fail)(task, ERR_INVALID, "not here");
}

/* Before all owners' destinations are known, a removed mailbox's cannot be said to be empty. */
static void a_list_before_all_is_told(void **unused)
{
    static const struct wire_backup_own no_more = {.place = {0}};
    struct archivist_fixture *s = fixture_begin(true);

    (void)unused;
    archivist_allow_own(s->archivist, open_nothing, s);
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "", ""), WIRE_OK);
    assert_int_equal(wire_send(s->keeper.far, WIRE_BACKUP_OWN, 0, &no_more, NULL, 0), ERR_OK);
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    archivist_keeper_came(s->archivist); /* what the one before told is known still */
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    fixture_end(s);
}

/* Behind the last list of a removed mailbox uploads go that are in none, and what a server may end
 * later is waited for. */
static void what_comes_late(void **unused)
{
    static const int64_t late_ms = 300;
    struct archivist_fixture *s = fixture_begin(true);
    struct wire_backup_delete gone = {.mailbox = s->mailbox, .name = STR("full/1.sqlite")};

    (void)unused;
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, "full/1.sqlite", STR("one")),
                     WIRE_OK);
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    assert_int_equal(s->holding->abandoned, 0);
    assert_int_equal(wire_send(s->keeper.far, WIRE_BACKUP_DELETE, 1, &gone, NULL, 0), ERR_OK);
    fixture_wait_for(s, &s->keeper, 2);
    /* Who does not remove it asks for no more than a list. */
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "", ""), WIRE_OK);
    assert_int_equal(s->holding->abandoned, 0);
    s->holding->abandon_err = ERR_IO;
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_UNAVAILABLE);
    s->holding->abandon_err = ERR_OK;
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    assert_string_equal(s->keeper.json, "[]");
    assert_true(s->keeper.is_last);
    assert_int_equal(s->holding->abandoned, 2);
    /* The process before this one may have put something. */
    archivist_set_late(s->archivist, 3600 * 1000);
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    archivist_set_late(s->archivist, late_ms);
    net_run_for(s->direct.loop, late_ms);
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    s->holding->lost_put_ms = clock_monotonic_ms() + 1000;
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    s->holding->lost_put_ms = clock_monotonic_ms() - late_ms;
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    fixture_end(s);
}

/* Its upload takes longer than the purge: it must not come when all was found to be gone. */
static void puts_of_a_removed_mailbox_are_waited_for_or_dropped(void **unused)
{
    struct archivist_fixture *s = fixture_begin(true);
    size_t large_len = ARCHIVIST_SMALL_BYTES + 1;
    CLEANUP(mem_free) char *large = mem_new(large_len, 1);
    struct id other = id_random();
    char name[32];

    (void)unused;
    s->holding->is_holding = true;
    for (int i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof(name), "full/%d.sqlite", i);
        fixture_send_put(&s->store, &s->mailbox, name, str_make(large, large_len));
    }
    fixture_send_put(&s->store, &other, "full/a.sqlite", str_make(large, large_len));
    /* Its process may ask what it likes. */
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "", ""), WIRE_OK);
    assert_int_equal(s->store.answers, 1);
    assert_int_equal(s->holding->count, 3); /* the others wait */
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    fixture_wait_for(s, &s->store, 3);
    assert_int_equal(s->store.status, WIRE_UNAVAILABLE);
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    fixture_let_them_go(s->holding);
    fixture_wait_for(s, &s->store, 7);
    assert_int_equal(s->store.status, WIRE_OK);
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    assert_non_null(strstr(s->keeper.json, "full/0.sqlite"));
    assert_non_null(strstr(s->keeper.json, "full/2.sqlite"));
    assert_null(strstr(s->keeper.json, "full/3.sqlite"));
    assert_null(strstr(s->keeper.json, "full/4.sqlite"));
    assert_int_equal(fixture_order_get(s, &s->store, &other, "full/a.sqlite"), WIRE_OK);
    fixture_end(s);
}

/* The archivist ends with some under way; and another's removal is no matter of theirs. */
static void puts_of_others_are_not_touched(void **unused)
{
    struct archivist_fixture *s = fixture_begin(true);
    struct id removed = id_random();

    (void)unused;
    s->holding->is_holding = true;
    for (int i = 0; i < FIXTURE_HELD_MAX + 4; i++)
        fixture_send_put(&s->store, &s->mailbox, "log/a", STR("abc"));
    fixture_send_put(&s->store, &s->mailbox, "log/b", STR("abc"));
    net_run_for(s->direct.loop, 20);
    assert_int_equal(fixture_order_list(s, &s->keeper, &removed, "", ""), WIRE_OK);
    assert_int_equal(s->holding->count, 2); /* one of each name */
    assert_int_equal(s->store.answers, 0);
    fixture_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_before_all_is_told),
        cmocka_unit_test(what_comes_late),
        cmocka_unit_test(puts_of_a_removed_mailbox_are_waited_for_or_dropped),
        cmocka_unit_test(puts_of_others_are_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
