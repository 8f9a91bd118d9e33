/* Header blocks, encoded words, dates and subjects. */
#include "message/charset.h"
#include "message/date.h"
#include "message/message.h"
#include "message/subject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_text(const char *rule, struct str found, const char *expected)
{
    if (!str_equal(found, str_from_c(expected)))
        fail_msg("%s:\n  found    %.*s\n  expected %s", rule, STR_ARG(found), expected);
}

static void test_fields(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *header, *expected;
        bool is_not;
    } rows[] = {
        {"in their order, unchanged", "To: a\r\nX: y\r\nsubject:b\r\n c\r\n\r\n",
         "To: a\r\nsubject:b\r\n c\r\n\r\n", false},
        {"the others", "To: a\r\nX: y\r\nsubject:b\r\n c\r\n\r\n", "X: y\r\n\r\n", true},
        {"all of a name", "To: a\r\nTo : b\r\nTox: c\r\n\r\n", "To: a\r\nTo : b\r\n\r\n", false},
        {"none", "X: y\r\n\r\n", "\r\n", false},
        {"bare LF", "To: a\nX: y\n\nbody", "To: a\n\n", false},
        {"no empty line", "To: a\r\nX: y", "To: a\r\n", false},
        {"lines that are no field", "junk\r\n: x\r\nTo: a\r\n\r\n", "junk\r\n: x\r\n\r\n", true},
        {"empty header", "", "", false},
    };
    static const struct str names[] = {STR_INIT("SUBJECT"), STR_INIT("to"), STR_INIT("to"),
                                       STR_INIT("")};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        message_header_fields(str_from_c(rows[i].header), names, ARRAY_LEN(names), rows[i].is_not,
                              &out);
        assert_text(rows[i].rule, buf_str(&out), rows[i].expected);
        buf_free(&out);
    }
}

static void test_next(void **state)
{
    (void)state;
    const struct str header = STR("A: 1\r\nB: x\r\na:\t2\r\n 3\r\n\r\nA: body\r\n");
    size_t position = 0;
    struct str value;

    assert_true(message_header_next(header, STR("a"), &position, &value));
    assert_text("first", value, "1");
    assert_true(message_header_next(header, STR("A"), &position, &value));
    assert_text("second, with its folding", value, "2\r\n 3");
    assert_false(message_header_next(header, STR("A"), &position, &value));
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *value, *expected;
    } rows[] = {
        {"plain", "  a  b ", "a  b"},
        {"Q", "=?iso-8859-1?Q?a=E4_b?=", "aä b"},
        {"B", "=?UTF-8?B?w6TDtg==?=", "äö"},
        {"language (RFC 2231)", "=?utf-8*de?q?=C3=A4?=", "ä"},
        {"no blank between two words", "=?utf-8?q?a?= \r\n =?utf-8?q?b?= c", "ab c"},
        {"a character split between words", "=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"},
        {"two charsets", "=?utf-8?q?=C3=A4?= =?iso-8859-1?q?=E4?=", "ää"},
        {"inside a word", "a=?utf-8?q?b?=c", "abc"},
        {"blanks inside, as some write", "=?utf-8?q?a b?=", "a b"},
        {"no end", "=?utf-8?q?a", "=?utf-8?q?a"},
        {"no charset",
         "=?"
         "?q?a?=",
         "=?"
         "?q?a?="},
        {"no such encoding", "=?utf-8?z?a?=", "=?utf-8?z?a?="},
        {"no such charset", "=?x-none?q?a=E4?=", "a\xef\xbf\xbd"},
        {"an empty word",
         "=?utf-8?q?"
         "?=x",
         "x"},
        {"invalid in its charset", "=?utf-8?q?=FF?=", "\xef\xbf\xbd"},
        {"raw UTF-8", "\xc3\xa4", "ä"},
        {"raw Latin-1", "\xe4\x80", "ä€"},
        {"folded", "a\r\n b\r\n\tc", "a b\tc"},
        {"Japanese", "=?iso-2022-jp?b?GyRCJDMkcxsoQg==?=", "こん"},
        {"Korean by its usual name", "=?ks_c_5601-1987?b?sKE=?=", "가"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        message_header_decode(str_from_c(rows[i].value), &out);
        assert_text(rows[i].rule, buf_str(&out), rows[i].expected);
        buf_free(&out);
    }
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
        int64_t seconds, day;
    } rows[] = {
        {"Thu, 1 Jan 1970 00:00:00 +0000", true, 0, 0},
        {"Fri, 21 Nov 1997 09:55:06 -0600", true, 880127706, 10186},
        {"21 Nov 97 09:55:06 GMT", true, 880106106, 10186},
        {"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", true, 880070400, 10186},
        {"Thu, 13 Feb 1969 23:32:54 -0330 (Newfoundland)", true, -27723426, -322},
        {"Thu, 1 Jan 1970 00:30:00 +0100", true, -1800, 0},
        {"1 Jan 2026", true, 1767225600, 20454},
        {"22-Nov-2026 05:00:00 +0000", true, 1795323600, 20779},
        {"Sun Nov 22 05:00:00 2026", true, 1795323600, 20779},
        {"Sun, 22 Nov 2026 05:00:60 +0000", true, 1795323659, 20779},
        {"Mon, 5 Feb 2024 10:61:00 +0000", true, 1707091200, 19758},
        {"Mon, 5 Feb 2024 10:61:00 -0500", true, 1707109200, 19758},
        {"Mon Feb 5 10:61:00 -0500 2024", true, 1707109200, 19758},
        {"Mon, 5 Feb 2024 10:30 : -0500", true, 1707147000, 19758},
        {"Mon, 5 Feb 2024 10:60:30 +0000", true, 1707091200, 19758},
        {"Mon, 5 Feb 2024 10:30:61 +0000", true, 1707091200, 19758},
        {"Mon, 5 Feb 2024 24:00:00 +0000", true, 1707091200, 19758},
        {"Mon, 5 Feb 2024 10:30:x +0000", true, 1707091200, 19758},
        {"Mon, 5 Feb 2024 10:", true, 1707091200, 19758},
        {"22 Nov 126 05:00 EST", true, 1795341600, 20779},
        {"29 Feb 2024 00:00:00 Z", true, 1709164800, 19782},
        {"29 Feb 2023 00:00:00 Z", false, 0, 0},
        {"0 Jan 2026 00:00:00 Z", false, 0, 0},
        {"32 Jan 2026 00:00:00 Z", false, 0, 0},
        {"tomorrow", false, 0, 0},
        {"", false, 0, 0},
        {"((((", false, 0, 0},
        {"1 1 1 1", false, 0, 0},
        {"---- ++++ ,,,,", false, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = 0, day = 0;

        if (date_parse(str_from_c(rows[i].text), &ms, &day) != rows[i].is_valid)
            fail_msg("%s", rows[i].text);
        if (ms != rows[i].seconds * 1000 || day != rows[i].day)
            fail_msg("%s: %ld, %ld", rows[i].text, (long)ms / 1000, (long)day);
    }
}

/* RFC 5256 §2.1 */
static void test_subjects(void **state)
{
    (void)state;
    static const struct {
        const char *subject, *base;
        bool is_reply;
    } rows[] = {
        {"hello", "hello", false},
        {"Re: hello", "hello", true},
        {"re: FW: Fwd : hello (fwd) (FWD)", "hello", true},
        {"[list] Re: [list] hello", "hello", true},
        {"Re[2]: hello", "hello", true},
        {"Re: [list]: hello", ": hello", true},
        {"[fwd: Re: hello]", "hello", true},
        {"[blob]", "[blob]", false},
        {"[a] [b]", "[b]", false},
        {"hello\t \r\n world  ", "hello world", false},
        {"", "", false},
        {"Re:", "", true},
        {"Report", "Report", false},
        {"[open", "[open", false},
        {"Fwd: ä", "ä", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena = {0};

        assert_text(rows[i].subject, subject_base(&arena, str_from_c(rows[i].subject)),
                    rows[i].base);
        if (subject_is_reply(&arena, str_from_c(rows[i].subject)) != rows[i].is_reply)
            fail_msg("%s: is_reply", rows[i].subject);
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),   cmocka_unit_test(test_next),
        cmocka_unit_test(test_words),    cmocka_unit_test(test_dates),
        cmocka_unit_test(test_subjects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
