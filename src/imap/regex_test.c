/* Patterns match as they should, and whatever they are, they end. */
#include "imap/regex.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static enum imap_regex_answer find(const char *pattern, struct str text, int64_t *left_us)
{
    struct imap_regex *regex;
    enum imap_regex_answer answer;
    struct task task;

    task_init(&task, 0);
    assert_int_equal(imap_regex_compile(&task, str_from_c(pattern), &regex), ERR_OK);
    answer = imap_regex_find(regex, text, left_us);
    task_done(&task);
    return answer;
}

static void test_matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        enum imap_regex_answer answer;
    } ROWS[] = {
        {"h[ae]llo", "Say HALLO", IMAP_REGEX_YES},
        {"h[ae]llo", "hullo", IMAP_REGEX_NO},
        {"^second$", "first\r\nsecond\r\nthird", IMAP_REGEX_YES},
        {"\xc3\xa4pfel", "\xc3\x84PFEL", IMAP_REGEX_YES},
        {"^.$", "\xe6\x97\xa5", IMAP_REGEX_YES},
        {"\\bfox\\b", "a \xff fox", IMAP_REGEX_YES}, /* not all of it UTF-8 */
        {"(?<=a)b", "ab", IMAP_REGEX_YES},
        {"", "", IMAP_REGEX_YES},
        {"x", "", IMAP_REGEX_NO},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        int64_t left_us = IMAP_REGEX_MESSAGE_US;

        if (find(ROWS[i].pattern, str_from_c(ROWS[i].text), &left_us) != ROWS[i].answer)
            fail_msg("row %zu: %s", i, ROWS[i].pattern);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const PATTERNS[] = {
        "(", "[a", "a{2,1}", "\\C", "(?:(?:(?:a{1000}){1000}){1000})", "\xff",
    };
    struct imap_regex *regex;
    struct task task;
    struct buf text;

    for (size_t i = 0; i < ARRAY_LEN(PATTERNS); i++) {
        task_init(&task, 0);
        assert_int_equal(imap_regex_compile(&task, str_from_c(PATTERNS[i]), &regex), ERR_INVALID);
        task_done(&task);
    }
    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < IMAP_REGEX_PATTERN_MAX + 1; i++)
        buf_put(&text, STR("a"));
    task_init(&task, 0);
    assert_int_equal(imap_regex_compile(&task, buf_str(&text), &regex), ERR_INVALID);
    task_done(&task);
    buf_reset(&text);
    for (size_t i = 0; i < IMAP_REGEX_NESTING_MAX + 1; i++)
        buf_put(&text, STR("("));
    for (size_t i = 0; i < IMAP_REGEX_NESTING_MAX + 1; i++)
        buf_put(&text, STR(")"));
    task_init(&task, 0);
    assert_int_equal(imap_regex_compile(&task, buf_str(&text), &regex), ERR_INVALID);
    task_done(&task);
    buf_free(&text);
}

/*
 * Each of these would take hours on its text, and no required letter spares PCRE2 the trouble. The
 * property is that it ends with TOO_DEAR; the time it took is processor time, checked with room for
 * a slow machine and for sanitizers.
 */
static void test_catastrophes(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        size_t len; /* so many times "a", then "!" */
    } ROWS[] = {
        {"(a+)+$", 5000},
        {"(a|a)*$", 5000},
        {"(a|aa)+$", 1 << 20},
        {"(.*)*(.*)*(.*)*[=x]", 2000},
        {"a*a*a*a*a*a*a*[bc]", 1 << 20},
        {"^(([a-z])+.)+[A-Z]([a-z])+$", 3000},
        {"(a(?R)?)+[bc]", 3000},
        {"(?:(?:a{0,9}){0,9}){0,9}[bc]", 4000},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        int64_t left_us = IMAP_REGEX_MESSAGE_US, start_us = clock_processor_us(), took_us;
        struct buf text;

        buf_init(&text, SIZE_MAX);
        for (size_t k = 0; k < ROWS[i].len; k++)
            buf_put(&text, STR("a"));
        buf_put(&text, STR("!"));
        if (find(ROWS[i].pattern, buf_str(&text), &left_us) != IMAP_REGEX_TOO_DEAR)
            fail_msg("row %zu: %s", i, ROWS[i].pattern);
        took_us = clock_processor_us() - start_us;
        if (took_us > 10 * IMAP_REGEX_MESSAGE_US)
            fail_msg("row %zu: %s: %lld us", i, ROWS[i].pattern, (long long)took_us);
        buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_catastrophes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
