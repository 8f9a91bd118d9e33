/* The archivist's orders: whose they are, how they wait, and what goes behind a newer backup. */
#include "backup/archivist_fixture.h"

#include "backup/prune.h"
#include "base/clock.h"
#include "base/memory.h"
#include "net/run_for.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

static void ask_admin(struct archivist_fixture *s, uint64_t tag, const char *json)
{
    struct wire_admin body = {.json = str_from_c(json)};

    assert_int_equal(wire_send(s->keeper.far, WIRE_ADMIN, tag, &body, NULL, 0), ERR_OK);
}

/* What nobody waits for any more takes no place of what others ask. */
static void a_list_that_is_given_up(void **unused)
{
    enum { LISTS_MAX = 4 };
    struct archivist_fixture *s = fixture_begin(true);
    char ask[200];

    (void)unused;
    (void)snprintf(ask, sizeof(ask),
                   "{\"command\":\"backup list\",\"mailboxes\":[{\"address\":\"a@x.test\","
                   "\"mailbox\":\"%s\"}]}",
                   s->mailbox.text);
    s->holding->is_silent = true;
    for (uint64_t tag = 1; tag <= LISTS_MAX; tag++)
        ask_admin(s, tag, ask);
    ask_admin(s, 5, ask);
    fixture_wait_for(s, &s->keeper, 1);
    assert_non_null(strstr(s->keeper.json, "\"busy\""));
    ask_admin(s, 6, "{\"command\":\"cancel\"}"); /* of none */
    ask_admin(s, 3, "{\"command\":\"cancel\"}");
    s->holding->is_silent = false;
    ask_admin(s, 7, ask);
    fixture_wait_for(s, &s->keeper, 2);
    assert_non_null(strstr(s->keeper.json, "\"ok\""));
    s->holding->is_silent = true;
    ask_admin(s, 8, ask);
    ask_admin(s, 9, ask);
    fixture_wait_for(s, &s->keeper, 3);
    assert_non_null(strstr(s->keeper.json, "\"busy\""));
    fixture_end(s);
}

static void a_mailbox_has_its_part(void **unused)
{
    struct archivist_fixture *s = fixture_begin(true);
    struct id other = id_random();

    (void)unused;
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, "full/a.sqlite", STR("abc")),
                     WIRE_OK);
    assert_int_equal(fixture_order_get(s, &s->store, &s->mailbox, "full/a.sqlite"), WIRE_OK);
    assert_true(s->store.has_fd);
    assert_int_equal(s->store.size_bytes, 3);
    assert_int_equal(fixture_order_get(s, &s->store, &other, "full/a.sqlite"), WIRE_UNKNOWN);
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "full/", ""), WIRE_OK);
    assert_non_null(
        strstr(s->store.json, "{\"name\":\"full/a.sqlite\",\"size\":3,\"modified\":\"2"));
    assert_true(s->store.is_last);
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "", "full/a.sqlite"), WIRE_OK);
    assert_string_equal(s->store.json, "[]");
    fixture_end(s);
}

static void who_may_name_what(void **unused)
{
    struct archivist_fixture *s = fixture_begin(true);
    struct id none = {""};
    char longest[BACKUP_NAME_MAX + 1] = "";

    (void)unused;
    memset(longest, 'a', BACKUP_NAME_MAX);
    assert_int_equal(fixture_order_put(s, &s->store, &none, "account/x", STR("abc")), WIRE_DENIED);
    assert_int_equal(fixture_order_put(s, &s->keeper, &none, "account/x.sqlite", STR("abc")),
                     WIRE_OK);
    assert_int_equal(fixture_order_put(s, &s->sealer, &s->mailbox, "full/x", STR("abc")),
                     WIRE_DENIED);
    assert_int_equal(
        fixture_order_put(s, &s->sealer, &s->mailbox, "drop/x.drop.sqlite", STR("abc")), WIRE_OK);
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, "../full/x", STR("abc")),
                     WIRE_INVALID);
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, "", STR("abc")), WIRE_INVALID);
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, longest, STR("abc")),
                     WIRE_INVALID);
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "/", ""), WIRE_INVALID);
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "full/", "../"), WIRE_INVALID);
    fixture_end(s);
}

static void without_a_destination_it_says_so(void **unused)
{
    struct archivist_fixture *s = fixture_begin(false);

    (void)unused;
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, "full/a.sqlite", STR("abc")),
                     WIRE_DISABLED);
    assert_string_equal(s->store.words, "none");
    fixture_end(s);
}

static void what_waits_is_bounded(void **unused)
{
    struct archivist_fixture *s = fixture_begin(true);
    struct id other = id_random();
    size_t sent = ARCHIVIST_ORDERS_PER_MAILBOX_MAX + 20;

    (void)unused;
    for (size_t i = 0; i < sent; i++)
        fixture_send_put(&s->store, &s->mailbox, "full/a.sqlite", STR("abc"));
    fixture_send_put(&s->store, &other, "full/a.sqlite", STR("abc"));
    fixture_wait_for(s, &s->store, sent + 1);
    assert_int_equal(s->store.status, WIRE_OK);
    fixture_end(s);
}

/* The names below m/full/ after a backup of each of these was put. */
static void put_backups(struct archivist_fixture *s, const char *const *stamps, size_t count,
                        const char *manifest)
{
    char name[128];

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "full/%s-1.sqlite", stamps[i]);
        assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, name, STR("copy")), WIRE_OK);
        (void)snprintf(name, sizeof(name), "full/%s-1.json", stamps[i]);
        assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, name, str_from_c(manifest)),
                         WIRE_OK);
        net_run_for(s->direct.loop, 20);
    }
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "full/", ""), WIRE_OK);
}

static const char *const stamps[] = {
    "20260101T100000.000Z", "20260102T100000.000Z", "20260103T100000.000Z",
    "20260103T110000.000Z", "20260103T110500.000Z",
};

static void old_ones_go_behind_a_newer_verified_one(void **unused)
{
    struct backup_policy policy = {.daily = 2, .hourly = 2};
    struct archivist_fixture *s = fixture_begin(true);

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    put_backups(s, stamps, ARRAY_LEN(stamps), "{\"verified\":true,\"size\":4}");
    assert_null(strstr(s->store.json, "20260101"));
    assert_non_null(strstr(s->store.json, "20260102T100000.000Z-1.sqlite"));
    assert_non_null(strstr(s->store.json, "20260103T100000.000Z-1.sqlite"));
    assert_null(strstr(s->store.json, "20260103T110000"));
    assert_non_null(strstr(s->store.json, "20260103T110500.000Z-1.json"));
    fixture_end(s);
}

static void nothing_goes_behind_an_unverified_one(void **unused)
{
    static const char *const manifests[] = {"{\"verified\":false}", "{}", "no JSON", ""};
    struct backup_policy policy = {.daily = 1, .hourly = 0};

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(manifests); i++) {
        struct archivist_fixture *s = fixture_begin(true);

        archivist_set_policy(s->archivist, &policy);
        put_backups(s, stamps, ARRAY_LEN(stamps), manifests[i]);
        for (size_t k = 0; k < ARRAY_LEN(stamps); k++)
            assert_non_null(strstr(s->store.json, stamps[k]));
        /* Nor because of an older one that is verified only now. */
        assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox,
                                           "full/20260102T100000.000Z-1.json",
                                           STR("{\"verified\":true,\"size\":4}")),
                         WIRE_OK);
        net_run_for(s->direct.loop, 20);
        assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "full/", ""), WIRE_OK);
        assert_non_null(strstr(s->store.json, stamps[0]));
        fixture_end(s);
    }
}

/* The destination said that it has it, and has less. */
static void nothing_goes_behind_one_that_is_not_whole(void **unused)
{
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct archivist_fixture *s = fixture_begin(true);

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    put_backups(s, stamps, ARRAY_LEN(stamps), "{\"verified\":true,\"size\":5}");
    for (size_t k = 0; k < ARRAY_LEN(stamps); k++)
        assert_non_null(strstr(s->store.json, stamps[k]));
    fixture_end(s);
}

/* A clock was wrong for a while: what is dated into the future stays, and the others go as ever. */
static void old_ones_go_although_one_is_of_the_future(void **unused)
{
    static const char *const future[] = {"20990101T100000.000Z"};
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct archivist_fixture *s = fixture_begin(true);

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    put_backups(s, future, 1, "{\"verified\":true,\"size\":4}");
    put_backups(s, stamps, ARRAY_LEN(stamps), "{\"verified\":true,\"size\":4}");
    assert_null(strstr(s->store.json, "20260101T"));
    assert_non_null(strstr(s->store.json, stamps[4]));
    assert_non_null(strstr(s->store.json, future[0]));
    fixture_end(s);
}

/* Of a process that died, and of the next one, which has more: the later one stays, however large.
 */
static void puts_of_one_name_stay_in_order(void **unused)
{
    struct archivist_fixture *s = fixture_begin(true);
    size_t large_len = ARCHIVIST_SMALL_BYTES + 1, small = 0;
    CLEANUP(mem_free) char *large = mem_new(large_len, 1);

    (void)unused;
    for (; small < 20; small++) {
        struct id other = id_random();

        fixture_send_put(&s->store, &other, "log/a", STR("abc"));
    }
    fixture_send_put(&s->store, &s->mailbox, "log/a", STR("abc"));
    fixture_send_put(&s->store, &s->mailbox, "log/a", str_make(large, large_len));
    fixture_wait_for(s, &s->store, small + 2);
    assert_int_equal(fixture_order_get(s, &s->store, &s->mailbox, "log/a"), WIRE_OK);
    assert_int_equal(s->store.size_bytes, large_len);
    fixture_end(s);
}

static void generations_of_the_log_go_with_their_backups(void **unused)
{
    static const char *const objects[] = {
        "base/g1.sqlite", "base/g1.json", "log/g1/000000000001.seg", "log/g1/000000000002.seg",
        "base/g2.sqlite", "base/g2.json", "log/g2/000000000001.seg"};
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct archivist_fixture *s = fixture_begin(true);
    char now[BACKUP_STAMP_ROOM], later[BACKUP_STAMP_ROOM];
    const char *news[] = {now}, *newer[] = {later};

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, objects[i], STR("x")),
                         WIRE_OK);
        net_run_for(s->direct.loop, 5);
    }
    /* All of g1 is older than this, g2 goes on. */
    backup_stamp_format(clock_now_ms() + 1000, now);
    put_backups(s, news, 1, "{\"verified\":true,\"size\":4}");
    /* But of the policy's one day. */
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "base/", ""), WIRE_OK);
    assert_non_null(strstr(s->store.json, "base/g1.json"));
    backup_stamp_format(clock_now_ms() + 25 * 60 * 60 * 1000, later);
    put_backups(s, newer, 1, "{\"verified\":true,\"size\":4}");
    net_run_for(s->direct.loop, 100); /* it goes in several turns */
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "base/", ""), WIRE_OK);
    assert_null(strstr(s->store.json, "base/g1"));
    assert_non_null(strstr(s->store.json, "base/g2.json"));
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "log/", ""), WIRE_OK);
    assert_null(strstr(s->store.json, "log/g1"));
    assert_non_null(strstr(s->store.json, "log/g2/000000000001.seg"));
    fixture_end(s);
}

/* As a destination whose clock says that: of all objects of these names that there are. */
static void put_back(const struct archivist_fixture *s, const char *pattern, const char *time)
{
    char command[256];

    (void)snprintf(command, sizeof(command), "find %s -path '*/%s' -exec touch -d '%s' {} +",
                   s->root, pattern, time);
    assert_int_equal(system(command), 0);
}

static void on_pruned(void *owner)
{
    ((struct archivist_fixture *)owner)->direct.is_done = true;
}

static bool on_removing(void *owner, struct str name)
{
    (void)owner;
    return name.len > 0;
}

static void on_removed(void *owner, struct str name)
{
    (void)owner;
    assert_true(name.len > 0);
}

static void prune_now(struct archivist_fixture *s, const char *newest, uint64_t size_bytes,
                      const struct backup_policy *policy)
{
    static const struct backup_prune_events events = {on_removing, on_removed, on_pruned};
    struct backup_prune *prune;
    char name[128];

    (void)snprintf(name, sizeof(name), "%s/%s", s->mailbox.text, newest);
    s->direct.is_done = false;
    prune = backup_prune_start(s->direct.destination, policy, str_from_c(name), size_bytes, &quiet,
                               &events, s);
    assert_non_null(prune);
    for (int i = 0; i < 400 && !s->direct.is_done; i++)
        net_run_for(s->direct.loop, 5);
    assert_true(s->direct.is_done);
}

/* A store of files whose battery is empty: what it says was put in 1971 was put today. */
static void a_destination_with_a_wrong_clock_keeps_the_log(void **unused)
{
    static const char *const objects[] = {"base/g1.sqlite", "base/g1.json", "log/g1/1.seg",
                                          "base/g2.sqlite", "base/g2.json"};
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct archivist_fixture *s = fixture_begin(true);
    char now[BACKUP_STAMP_ROOM], name[64];

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(objects); i++)
        assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, objects[i], STR("x")),
                         WIRE_OK);
    backup_stamp_format(clock_now_ms(), now);
    (void)snprintf(name, sizeof(name), "full/%s-1.sqlite", now);
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, name, STR("copy")), WIRE_OK);
    (void)snprintf(name, sizeof(name), "full/%s-1.json", now);
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, name, STR("{}")), WIRE_OK);
    put_back(s, "*", "1971-01-01T10:00:00Z");
    prune_now(s, name, 4, &policy);
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "base/", ""), WIRE_OK);
    assert_non_null(strstr(s->store.json, "base/g1.json"));
    fixture_end(s);
}

/* A base whose process ended before its manifest: it is as large as the mailbox. */
static void a_base_without_a_manifest_goes_after_a_day(void **unused)
{
    static const char *const objects[] = {"base/g1.sqlite", "base/g2.sqlite", "base/g2.json",
                                          "base/g3.sqlite"};
    struct backup_policy policy = {.daily = 7, .hourly = 24};
    struct archivist_fixture *s = fixture_begin(true);
    char now[BACKUP_STAMP_ROOM], name[64];

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(objects); i++)
        assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, objects[i], STR("x")),
                         WIRE_OK);
    backup_stamp_format(clock_now_ms(), now);
    (void)snprintf(name, sizeof(name), "full/%s-1.sqlite", now);
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, name, STR("copy")), WIRE_OK);
    (void)snprintf(name, sizeof(name), "full/%s-1.json", now);
    assert_int_equal(fixture_order_put(s, &s->store, &s->mailbox, name, STR("{}")), WIRE_OK);
    put_back(s, "base/g1*", "2 days ago");
    put_back(s, "base/g2*", "2 days ago");
    prune_now(s, name, 4, &policy);
    assert_int_equal(fixture_order_list(s, &s->store, &s->mailbox, "base/", ""), WIRE_OK);
    assert_null(strstr(s->store.json, "base/g1"));
    assert_non_null(strstr(s->store.json, "base/g2.json"));
    assert_non_null(strstr(s->store.json, "base/g3.sqlite"));
    fixture_end(s);
}

static void sealed_mail_and_accounts_have_the_same_policy(void **unused)
{
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct archivist_fixture *s = fixture_begin(true);
    struct id none = {""};

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "drop/%s.drop.sqlite", stamps[i]);
        assert_int_equal(fixture_order_put(s, &s->sealer, &s->mailbox, name, STR("x")), WIRE_OK);
        (void)snprintf(name, sizeof(name), "account/%s.sqlite", stamps[i]);
        assert_int_equal(fixture_order_put(s, &s->keeper, &none, name, STR("x")), WIRE_OK);
        net_run_for(s->direct.loop, 20);
    }
    assert_int_equal(fixture_order_list(s, &s->keeper, &s->mailbox, "drop/", ""), WIRE_OK);
    assert_null(strstr(s->keeper.json, stamps[0]));
    assert_non_null(strstr(s->keeper.json, stamps[4]));
    assert_int_equal(fixture_order_list(s, &s->keeper, &none, "account/", ""), WIRE_OK);
    assert_null(strstr(s->keeper.json, stamps[3]));
    assert_non_null(strstr(s->keeper.json, stamps[4]));
    fixture_end(s);
}

/* One destination for both, against the manual's advice. */
static void another_hosts_accounts_stay(void **unused)
{
    static const char *const names[] = {"account/20260101T100000.000Z-aaaaaaaa.sqlite",
                                        "account/20260101T110000.000Z-bbbbbbbb.sqlite",
                                        "account/20260101T120000.000Z-bbbbbbbb.sqlite"};
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct archivist_fixture *s = fixture_begin(true);
    struct id none = {""};

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(fixture_order_put(s, &s->keeper, &none, names[i], STR("x")), WIRE_OK);
        net_run_for(s->direct.loop, 20);
    }
    assert_int_equal(fixture_order_list(s, &s->keeper, &none, "account/", ""), WIRE_OK);
    assert_non_null(strstr(s->keeper.json, names[0]));
    assert_null(strstr(s->keeper.json, names[1]));
    assert_non_null(strstr(s->keeper.json, names[2]));
    fixture_end(s);
}

static void who_is_gone_is_forgotten(void **unused)
{
    struct archivist_fixture *s = fixture_begin(true);

    (void)unused;
    for (size_t i = 0; i < 20; i++)
        fixture_send_put(&s->store, &s->mailbox, "full/a.sqlite", STR("abc"));
    net_run_for(s->direct.loop, 0);
    archivist_asker_gone(s->archivist, s->store.near);
    net_run_for(s->direct.loop, 50);
    assert_int_equal(fixture_order_put(s, &s->keeper, &s->mailbox, "full/b", STR("abc")), WIRE_OK);
    fixture_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mailbox_has_its_part),
        cmocka_unit_test(a_list_that_is_given_up),
        cmocka_unit_test(who_may_name_what),
        cmocka_unit_test(without_a_destination_it_says_so),
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(old_ones_go_behind_a_newer_verified_one),
        cmocka_unit_test(nothing_goes_behind_an_unverified_one),
        cmocka_unit_test(nothing_goes_behind_one_that_is_not_whole),
        cmocka_unit_test(old_ones_go_although_one_is_of_the_future),
        cmocka_unit_test(puts_of_one_name_stay_in_order),
        cmocka_unit_test(generations_of_the_log_go_with_their_backups),
        cmocka_unit_test(a_destination_with_a_wrong_clock_keeps_the_log),
        cmocka_unit_test(a_base_without_a_manifest_goes_after_a_day),
        cmocka_unit_test(sealed_mail_and_accounts_have_the_same_policy),
        cmocka_unit_test(another_hosts_accounts_stay),
        cmocka_unit_test(who_is_gone_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
