/* Regular expressions as aliases, and what their groups make of targets. */
#include "account/pattern.h"

#include "account/target.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct str c(const char *text)
{
    return str_from_c(text);
}

static void test_what_is_one(void **state)
{
    static const struct {
        const char *text;
        bool is_one, compiles;
    } rows[] = {
        {"/^support-(.+)$/", true, true},
        {"/a/", true, true},
        {"/(?<who>.+)/", true, true},
        {"//", false, false},
        {"/", false, false},
        {"", false, false},
        {"support", false, false},
        {"/support", false, false},
        {"support/", false, false},
        {"/(/", true, false},
        {"/[/", true, false},
        {"/*/", true, false},
        {"/\\C/", true, false}, /* it could cut a character */
        {"/((((((((((((((((((((((a))))))))))))))))))))))/", true, false}, /* nested too deep */
        {"/(?:(?:a{1000}){1000}){10}/", true, false}, /* compiles to megabytes */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct account_pattern *pattern = NULL;
        struct task task;

        task_init(&task, 0);
        assert_int_equal(account_pattern_is_one(c(rows[i].text)), rows[i].is_one);
        assert_int_equal(account_pattern_compile(&task, c(rows[i].text), &pattern),
                         rows[i].compiles ? ERR_OK : ERR_INVALID);
        account_pattern_free(&pattern);
        task_done(&task);
    }
}

static void test_a_pattern_has_an_end(void **state)
{
    struct account_pattern *pattern = NULL;
    char text[ACCOUNT_PATTERN_TEXT_MAX + 2];
    struct task task;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[0] = text[ACCOUNT_PATTERN_TEXT_MAX - 1] = '/';
    task_init(&task, 0);
    assert_int_equal(account_pattern_compile(&task, str_make(text, ACCOUNT_PATTERN_TEXT_MAX),
                                             &pattern),
                     ERR_OK);
    account_pattern_free(&pattern);
    text[ACCOUNT_PATTERN_TEXT_MAX - 1] = 'a';
    text[ACCOUNT_PATTERN_TEXT_MAX] = '/';
    assert_int_equal(account_pattern_compile(&task, str_make(text, ACCOUNT_PATTERN_TEXT_MAX + 1),
                                             &pattern),
                     ERR_INVALID);
    task_done(&task);
}

static void test_matching(void **state)
{
    static const struct {
        const char *pattern, *local, *text, *result; /* result NULL: no match, or no expansion */
    } rows[] = {
        {"/^support-(.+)$/", "support-bob", "$1@x.test", "bob@x.test"},
        {"/^support-(.+)$/", "SUPPORT-Bob", "$1@x.test", "Bob@x.test"},
        {"/^support-(.+)$/", "support-", "$1@x.test", NULL},
        {"/^support-(.+)$/", "xsupport-bob", "$1@x.test", NULL},
        {"/support/", "my-support-x", "a@x.test", "a@x.test"},
        {"/^(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)$/", "abcdefghijk", "$9$1@x.test", "ia@x.test"},
        {"/^(a)|(b)$/", "b", "[$1]$2", "[]b"},
        {"/^(.+)$/", "a", "${1}0@x.test", "a0@x.test"},
        {"/^(.+)$/", "a", "$10@x.test", "a0@x.test"}, /* one digit is a group */
        {"/^(.+)$/", "a", "$$1@x.test", "$1@x.test"},
        {"/^(.+)$/", "a", "x$", NULL},
        {"/^(.+)$/", "a", "$2", NULL}, /* no such group */
        {"/^(.+)$/", "a", "$0", NULL},
        {"/^(.+)$/", "a", "${1", NULL},
        {"/^(.+)$/", "a", "${x}", NULL},
        {"/^\xc3\xbc(.*)$/", "\xc3\x9c" "ber", "$1", "ber"}, /* case of all letters */
        {"/b\\K/", "ab", "x", "x"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct account_pattern *pattern = NULL;
        struct account_captures captures;
        struct str text = STR("");
        struct task task;
        bool is_made;

        task_init(&task, 0);
        assert_int_equal(account_pattern_compile(&task, c(rows[i].pattern), &pattern), ERR_OK);
        is_made = account_pattern_match(pattern, c(rows[i].local), &captures) &&
                  account_pattern_expand(&task, c(rows[i].text), &captures,
                                         account_pattern_groups(pattern), 100, &text) == ERR_OK;
        assert_int_equal(is_made, rows[i].result != NULL);
        if (is_made)
            assert_true(str_equal(text, c(rows[i].result)));
        account_pattern_free(&pattern);
        task_done(&task);
    }
}

/* A pattern that would take for ever is given up, soon. */
static void test_a_dear_pattern(void **state)
{
    struct account_pattern *pattern = NULL;
    struct account_captures captures;
    int64_t began_us;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(account_pattern_compile(&task, c("/^(?:(?:a+)+)+$/"), &pattern), ERR_OK);
    assert_true(account_pattern_match(pattern, c("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &captures));
    began_us = clock_processor_us();
    assert_false(account_pattern_match(
        pattern, c("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"), &captures));
    assert_true(clock_processor_us() - began_us < 20 * 1000);
    account_pattern_free(&pattern);
    task_done(&task);
}

static void test_expansion_is_bounded(void **state)
{
    struct account_captures captures = {{{NULL, 0}}};
    struct str text;
    struct task task;

    (void)state;
    captures.groups[1] = c("0123456789");
    task_init(&task, 0);
    assert_int_equal(account_pattern_expand(&task, c("$1$1"), &captures, 1, 20, &text), ERR_OK);
    assert_int_equal(account_pattern_expand(&task, c("$1$1"), &captures, 1, 19, &text), ERR_LIMIT);
    task_done(&task);
}

static void test_the_cache_follows_changes(void **state)
{
    struct account_patterns *patterns = account_patterns_new();
    const struct account_pattern *pattern;
    struct account_captures captures;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(account_patterns_get(patterns, &task, 1, c("/a/"), &pattern), ERR_OK);
    assert_true(account_pattern_match(pattern, c("a"), &captures));
    assert_int_equal(account_patterns_get(patterns, &task, 1, c("/b/"), &pattern), ERR_OK);
    assert_false(account_pattern_match(pattern, c("a"), &captures));
    assert_int_equal(account_patterns_get(patterns, &task, 257, c("/c/"), &pattern), ERR_OK);
    assert_true(account_pattern_match(pattern, c("c"), &captures));
    assert_int_equal(account_patterns_get(patterns, &task, 1, c("/b/"), &pattern), ERR_OK);
    assert_true(account_pattern_match(pattern, c("b"), &captures));
    assert_int_equal(account_patterns_get(patterns, &task, 1, c("/(/"), &pattern), ERR_INVALID);
    account_patterns_free(&patterns);
    task_done(&task);
}

/* The mail was for Info+Tag@home.test. */
static void test_targets(void **state)
{
    static const struct account_destination destination = {
        STR_INIT("Info+Tag"), STR_INIT("Tag"), STR_INIT("home.test")};
    static const struct {
        const char *text, *to, *via; /* to NULL: none */
    } rows[] = {
        {"Bob@Example.ORG", "Bob+Tag@example.org", ""},
        {"bob+own@example.org", "bob+own@example.org", ""},
        {"bob@", "bob+Tag@home.test", ""},
        {"@example.org", "Info+Tag@example.org", ""},
        {"example.org", "Info+Tag@example.org", ""},
        {"b\xc3\xbc" "cher.example", "Info+Tag@xn--bcher-kva.example", ""},
        {"mail.example.org:25", "Info+Tag@home.test", "mail.example.org:25"},
        {"192.0.2.1:2525", "Info+Tag@home.test", "192.0.2.1:2525"},
        {"[2001:db8::1]:25", "Info+Tag@home.test", "[2001:db8::1]:25"},
        {"\"a b\"@example.org", "\"a b\"@example.org", ""},
        {"mail.example.org:0", NULL, NULL},
        {"mail.example.org:65536", NULL, NULL},
        {"mail.example.org:", NULL, NULL},
        {":25", NULL, NULL},
        {"[zz]:25", NULL, NULL},
        {"[]:25", NULL, NULL},
        {"a b@example.org", NULL, NULL},
        {"bob@[192.0.2.1]", NULL, NULL},
        {"bob@ex ample", NULL, NULL},
        {"@", NULL, NULL},
        {"", NULL, NULL},
        {"a\r\nb@example.org", NULL, NULL},
        {"bob@example.org\nx", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct account_forward forward;
        struct task task;
        enum err err;

        task_init(&task, 0);
        err = account_target_resolve(&task, c(rows[i].text), &destination, &forward);
        if ((err == ERR_OK) != (rows[i].to != NULL))
            print_error("%s\n", rows[i].text);
        assert_int_equal(err, rows[i].to == NULL ? ERR_INVALID : ERR_OK);
        if (err == ERR_OK) {
            assert_true(str_equal(forward.to, c(rows[i].to)));
            assert_true(str_equal(forward.via, c(rows[i].via)));
        }
        task_done(&task);
    }
}

static void test_a_tag_that_is_too_long_stays_behind(void **state)
{
    char tag[65] = {0};
    struct account_destination destination = {STR("x"), str_make(tag, 60), STR("home.test")};
    struct account_forward forward;
    struct task task;

    (void)state;
    memset(tag, 't', sizeof(tag));
    task_init(&task, 0);
    assert_int_equal(account_target_resolve(&task, c("bobby@x.test"), &destination, &forward),
                     ERR_OK);
    assert_true(str_equal(forward.to, c("bobby@x.test")));
    assert_int_equal(account_target_resolve(&task, c("bob@x.test"), &destination, &forward),
                     ERR_OK);
    assert_int_equal(forward.to.len, 64 + strlen("@x.test"));
    task_done(&task);
}

static void test_webhooks(void **state)
{
    static const struct {
        const char *url;
        bool is_one;
    } rows[] = {
        {"https://example.org/hook", true}, {"HTTP://example.org:8080/?a=b", true},
        {"https://[2001:db8::1]/", true},   {"https://example.org", true},
        {"ftp://example.org/", false},      {"example.org", false},
        {"https://", false},                {"https:///x", false},
        {"https://:80/", false},            {"https://user:word@example.org/", false},
        {"https://example.org/a b", false}, {"https://example.org/\r\n", false},
        {"https://ex\xc3\xa4mple.org/", false}, {"https://example.org/@x", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct task task;

        task_init(&task, 0);
        assert_int_equal(account_webhook_check(&task, c(rows[i].url)),
                         rows[i].is_one ? ERR_OK : ERR_INVALID);
        task_done(&task);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_one),
        cmocka_unit_test(test_a_pattern_has_an_end),
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_a_dear_pattern),
        cmocka_unit_test(test_expansion_is_bounded),
        cmocka_unit_test(test_the_cache_follows_changes),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_a_tag_that_is_too_long_stays_behind),
        cmocka_unit_test(test_webhooks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
