#include "backup/name.h"
#include "backup/place.h"
#include "backup/retention.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void names(void **state)
{
    static const struct {
        const char *rule;
        const char *name;
        bool is_valid;
    } cases[] = {
        {"a segment", "6f1c6f1c6f1c6f1c6f1c6f1c/log/20261121T100000.000Z/000000000001.seg", true},
        {"a backup", "m/full/20261121T100000.000Z-17.sqlite", true},
        {"empty", "", false},
        {"an empty part", "a//b", false},
        {"a slash before", "/a", false},
        {"a slash behind", "a/", false},
        {"up", "a/../b", false},
        {"here", "./a", false},
        {"hidden: ours are", "a/.incoming/b", false},
        {"a digest's name", "a/b.digest", false},
        {"a space", "a b", false},
        {"a control", "a\nb", false},
        {"what URLs would encode", "a%2fb", false},
        {"too deep", "1/2/3/4/5/6/7/8/9", false},
        {"as deep as may be", "1/2/3/4/5/6/7/8", true},
    };
    char longest[BACKUP_NAME_MAX + 2];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (backup_name_is_valid(str_from_c(cases[i].name)) != cases[i].is_valid)
            fail_msg("%s", cases[i].rule);
    }
    memset(longest, 'a', sizeof(longest));
    assert_true(backup_name_is_valid(str_make(longest, BACKUP_NAME_MAX)));
    assert_false(backup_name_is_valid(str_make(longest, BACKUP_NAME_MAX + 1)));
    assert_true(backup_prefix_is_valid(STR("")));
    assert_true(backup_prefix_is_valid(STR("full/")));
    assert_true(backup_prefix_is_valid(STR("full/2026")));
    assert_false(backup_prefix_is_valid(STR("/")));
    assert_false(backup_prefix_is_valid(STR("../")));
}

static void stamps(void **state)
{
    static const char *const none[] = {
        "",
        "20261121T100000.000",
        "20261121T100000.000z",
        "20261121T100000.000Zx",
        "20260231T100000.000Z",
        "20261321T100000.000Z",
        "20261121T250000.000Z",
        "2026112 T100000.000Z",
        "20261121 100000.000Z",
    };
    char text[BACKUP_STAMP_ROOM];
    int64_t ms, again;

    (void)state;
    assert_true(clock_parse_iso(STR("2026-11-21T10:00:00.042Z"), &ms));
    backup_stamp_format(ms, text);
    assert_string_equal(text, "20261121T100000.042Z");
    assert_true(backup_stamp_parse(STR("20261121T100000.042Z-17.sqlite"), &again));
    assert_true(again == ms);
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        if (backup_stamp_parse(str_from_c(none[i]), &ms))
            fail_msg("%s", none[i]);
    }
}

static void places(void **state)
{
    static const struct {
        const char *text;
        bool is_valid, is_s3;
        const char *bucket, *prefix;
    } cases[] = {
        {"/var/backups", true, false, "", ""},
        {"backups", false, false, "", ""},
        {"s3:https://s3.example.com/mail", true, true, "mail", ""},
        {"s3:https://s3.example.com/mail/a/b/", true, true, "mail", "a/b/"},
        {"s3:http://127.0.0.1:9000/mail/x", true, true, "mail", "x/"},
        {"s3:https://s3.example.com/", false, false, "", ""},
        {"s3:https://s3.example.com/mail/../x", false, false, "", ""},
        {"s3:https://user@s3.example.com/mail", false, false, "", ""},
        {"s3:https://s3.example.com/mail?x=y", false, false, "", ""},
        {"s3:https://s3.example.com/mail/a%20b", false, false, "", ""},
        {"s3:ftp://s3.example.com/mail", false, false, "", ""},
        {"s3-host:https://mail.s3.example.com/a", true, true, "", "a/"},
        {"s3-host:https://mail.s3.example.com", true, true, "", ""},
    };
    struct arena arena = {NULL};
    struct backup_place place;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *reason = backup_place_parse(&arena, str_from_c(cases[i].text), &place);

        if ((reason == NULL) != cases[i].is_valid)
            fail_msg("%s: %s", cases[i].text, reason == NULL ? "valid" : reason);
        if (reason != NULL)
            continue;
        assert_int_equal(place.is_s3, cases[i].is_s3);
        assert_true(!place.is_s3 || str_equal(place.bucket, str_from_c(cases[i].bucket)));
        assert_true(!place.is_s3 || str_equal(place.prefix, str_from_c(cases[i].prefix)));
    }
    arena_free(&arena);
}

/* A backup at each of these hours since the epoch. */
static void check_kept(const struct backup_policy *policy, const int *hours, size_t count,
                       const char *expected)
{
    int64_t times[64] = {0};
    bool is_kept[64];
    char found[65] = "";

    for (size_t i = 0; i < count; i++)
        times[i] = (int64_t)hours[i] * 60 * 60 * 1000 + 5;
    backup_retain(policy, times, count, is_kept);
    for (size_t i = 0; i < count; i++)
        found[i] = is_kept[i] ? 'x' : '.';
    assert_string_equal(found, expected);
}

static void retention(void **state)
{
    static const struct backup_policy usual = {.daily = 3, .hourly = 2}, none = {.daily = 0};
    static const int hours[] = {1, 2, 24, 30, 49, 50, 73, 74, 74, 75};
    static const int rare[] = {100, 1000, 10000};

    (void)state;
    check_kept(&usual, hours, ARRAY_LEN(hours), "...x.x..xx");
    check_kept(&usual, rare, ARRAY_LEN(rare), "xxx");
    check_kept(&none, rare, ARRAY_LEN(rare), "..x");
    check_kept(&usual, rare, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(stamps),
        cmocka_unit_test(places),
        cmocka_unit_test(retention),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
