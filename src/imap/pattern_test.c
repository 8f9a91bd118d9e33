#include "imap/pattern.h"

#include "base/clock.h"
#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static bool matches(const char *reference, const char *text, struct str name)
{
    struct imap_pattern pattern;
    struct task task;
    bool is_match;

    task_init(&task, 0);
    imap_pattern_init(&pattern, &task, str_from_c(reference), str_from_c(text), false);
    is_match = imap_pattern_matches(&pattern, name);
    task_done(&task);
    return is_match;
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *pattern, *name;
        bool is_match;
    } ROWS[] = {
        {"", "*", "a/b/c", true},
        {"", "%", "a", true},
        {"", "%", "a/b", false},
        {"", "%/%", "a/b", true},
        {"", "a/%", "a/b", true},
        {"", "a/%", "a", false},
        {"", "a%", "a", true},
        {"a/", "%", "a/b", true},
        {"a/", "%", "b", false},
        {"", "*b", "a/b", true},
        {"", "%b", "a/b", false},
        {"", "*%", "a/b", true},
        {"", "%*", "a/b", true},
        {"", "%%%", "a/b", false},
        {"", "a*c*e", "abcde", true},
        {"", "a*c*f", "abcde", false},
        {"", "A", "a", false},
        {"", "inbox", "INBOX", true},
        {"", "iNb%", "INBOX", true},
        {"", "inbox/a", "INBOX/a", true},
        {"", "inbox/A", "INBOX/a", false},
        {"", "inboxes", "INBOXES", false},
        {"", "", "a", false},
        {"", "ab", "a", false},
        {"", "a", "ab", false},
        /* Modified UTF-7: a wildcard stands for characters, not for pieces of their encoding. */
        {"", "&ZeVnLA-*", "日本語", true},
        {"", "*&ip4-", "日本語", true},
        {"&ZeVnLA-", "%", "日本/語", false},
        {"", "e&AwE-%", "éa", true},
        {"", "&ZeVn*", "日本", true},
        {"", "&ZeVn*", "a", false},
        {"", "a&*", "a&b", true},
        {"", "a&b", "a&b", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (matches(ROWS[i].reference, ROWS[i].pattern, str_from_c(ROWS[i].name)) !=
            ROWS[i].is_match)
            fail_msg("row %zu: %s %s", i, ROWS[i].pattern, ROWS[i].name);
}

/* Patterns longer than a machine word, and the one that makes backtracking explode. */
static void test_long_patterns(void **state)
{
    (void)state;
    char pattern[2001], name[1001];

    for (size_t i = 0; i < 1000; i++)
        memcpy(pattern + 2 * i, i % 2 == 0 ? "*a" : "%a", 2);
    pattern[2000] = '\0';
    memset(name, 'a', sizeof(name) - 1);
    name[1000] = '\0';
    assert_true(matches("", pattern, str_from_c(name)));
    name[999] = 'b';
    assert_false(matches("", pattern, str_from_c(name)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_long_patterns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
