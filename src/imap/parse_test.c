#include "imap/parse.h"

#include "base/clock.h"
#include "base/macros.h"
#include "imap/args.h"
#include "imap/command.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct imap_parser parser_of(struct task *task, struct str text)
{
    task_init(task, 0);
    return (struct imap_parser){.rest = text, .task = task};
}

static void test_sets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t star;
        const char *resolved; /* NULL: refused */
    } ROWS[] = {
        {"1", 9, "1:1"},
        {"1,2,3", 9, "1:3"},
        {"5:1", 9, "1:5"},
        {"*", 9, "9:9"},
        {"7:*", 5, "5:7"},
        {"*:7", 5, "5:7"},
        {"1:*", 0, ""},
        {"4,1:2,3,9", 9, "1:4 9:9"},
        {"1:4294967295", 3, "1:4294967295"},
        {"4294967295:*,1", 3, "1:1 3:4294967295"},
        {"", 9, NULL},
        {"0", 9, NULL},
        {"01", 9, NULL},
        {"1,", 9, NULL},
        {",1", 9, NULL},
        {"1:", 9, NULL},
        {":1", 9, NULL},
        {"1:2:3", 9, NULL},
        {"4294967296", 9, NULL},
        {"**", 9, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct task task;
        struct imap_set set;
        struct str text = STR("");
        bool is_set;

        task_init(&task, 0);
        is_set = imap_set_parse(&task, str_from_c(ROWS[i].text), &set);
        assert_int_equal(is_set, ROWS[i].resolved != NULL);
        if (is_set) {
            imap_set_resolve(&set, ROWS[i].star);
            for (size_t k = 0; k < set.count; k++)
                text = arena_printf(&task.arena, "%.*s%s%u:%u", STR_ARG(text), k > 0 ? " " : "",
                                    set.ranges[k].first, set.ranges[k].last);
            assert_true(str_equal(text, str_from_c(ROWS[i].resolved)));
        }
        task_done(&task);
    }
}

static void test_astrings(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        const char *value; /* NULL: refused */
        const char *rest;
    } ROWS[] = {
        {STR_INIT("abc def"), "abc", " def"},
        {STR_INIT("a]b"), "a]b", ""},
        {STR_INIT("\"a b\" c"), "a b", " c"},
        {STR_INIT("\"a\\\"\\\\b\""), "a\"\\b", ""},
        {STR_INIT("\"\""), "", ""},
        {STR_INIT("{3}\r\nabcd"), "abc", "d"},
        {STR_INIT("{3+}\r\nabcd"), "abc", "d"},
        {STR_INIT("{0}\r\n"), "", ""},
        {STR_INIT("\"abc"), NULL, NULL},
        {STR_INIT("\"a\\"), NULL, NULL},
        {STR_INIT("\"a\\nb\""), NULL, NULL},
        {STR_INIT("\"a\0b\""), NULL, NULL},
        {STR_INIT("{3}\r\na\0b"), NULL, NULL},
        {STR_INIT("{9}\r\nabc"), NULL, NULL},
        {STR_INIT("{99999999999999999999}\r\nabc"), NULL, NULL},
        {STR_INIT("{}\r\n"), NULL, NULL},
        {STR_INIT(""), NULL, NULL},
        {STR_INIT("(a)"), NULL, NULL},
        {STR_INIT("\xc3\xa4"), NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct task task;
        struct imap_parser parser = parser_of(&task, ROWS[i].text);
        struct str value;
        enum err err = imap_parse_astring(&parser, &value);

        assert_int_equal(err, ROWS[i].value == NULL ? ERR_INVALID : ERR_OK);
        if (err == ERR_OK) {
            assert_true(str_equal(value, str_from_c(ROWS[i].value)));
            assert_true(str_equal(parser.rest, str_from_c(ROWS[i].rest)));
        }
        task_done(&task);
    }
}

static void test_mailboxes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name; /* NULL: impossible */
    } ROWS[] = {
        {"inbox", "INBOX"},     {"\"InBoX\"", "INBOX"},  {"inbox/Sub", "INBOX/Sub"},
        {"inboxes", "inboxes"}, {"a&AOQ-", "a\xc3\xa4"}, {"&", NULL},
        {"R&D", NULL},          {"R&-D", "R&D"},         {"a&Awg-", "\xc3\xa4"}, /* decomposed */
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct task task;
        struct imap_parser parser = parser_of(&task, str_from_c(ROWS[i].text));
        struct str name;
        enum err err = imap_parse_mailbox(&parser, &name);

        assert_int_equal(err, ROWS[i].name == NULL ? ERR_INVALID : ERR_OK);
        assert_int_equal(parser.is_name_impossible, ROWS[i].name == NULL);
        if (err == ERR_OK)
            assert_true(str_equal(name, str_from_c(ROWS[i].name)));
        task_done(&task);
    }
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t day; /* -1: refused */
    } ROWS[] = {
        {"1-Jan-1970", 0},   {"01-jan-1970", 0},  {"\"2-JAN-1970\"", 1}, {"29-Feb-2024", 19782},
        {"29-Feb-2023", -1}, {"32-Jan-2020", -1}, {"0-Jan-2020", -1},    {"1-Foo-2020", -1},
        {"1-Jan-20", -1},    {"1-Jan-2020x", -1}, {"1 Jan 2020", -1},    {"", -1},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct task task;
        struct imap_parser parser = parser_of(&task, str_from_c(ROWS[i].text));
        int64_t day = -1;
        enum err err = imap_parse_date(&parser, &day);

        if (err == ERR_OK && !imap_at_end(&parser))
            err = ERR_INVALID;
        assert_int_equal(err, ROWS[i].day < 0 ? ERR_INVALID : ERR_OK);
        if (err == ERR_OK)
            assert_int_equal(day, ROWS[i].day);
        task_done(&task);
    }
}

static void test_date_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *utc; /* NULL: refused */
        int zone_minutes;
    } ROWS[] = {
        {"\"22-Nov-2026 06:00:00 +0100\"", "2026-11-22T05:00:00.000Z", 60},
        {"\" 1-Jan-2026 00:00:00 -0330\"", "2026-01-01T03:30:00.000Z", -210},
        {"\"1-Jan-2026 00:00:00 +0000\"", NULL, 0},
        {"\" 1-Jan-2026 24:00:00 +0000\"", NULL, 0},
        {"\" 1-Jan-2026 00:60:00 +0000\"", NULL, 0},
        {"\" 1-Jan-2026 00:00:00 0000\"", NULL, 0},
        {"\" 1-Jan-2026 00:00:00 +000\"", NULL, 0},
        {"\" 1-Jan-2026 00:00:00 +0099\"", NULL, 0},
        {" 1-Jan-2026 00:00:00 +0000", NULL, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct task task;
        struct imap_parser parser = parser_of(&task, str_from_c(ROWS[i].text));
        int16_t zone;
        int64_t ms, expected;
        enum err err = imap_parse_date_time(&parser, &ms, &zone);

        assert_int_equal(err, ROWS[i].utc == NULL ? ERR_INVALID : ERR_OK);
        if (err == ERR_OK) {
            assert_true(clock_parse_iso(str_from_c(ROWS[i].utc), &expected));
            assert_int_equal(ms, expected);
            assert_int_equal(zone, ROWS[i].zone_minutes);
        }
        task_done(&task);
    }
}

/* What stays of a command while it runs; 0 under a sanitizer. */
static size_t memory_of(enum err (*parse)(struct imap_parser *parser, union imap_args *args),
                        struct str text)
{
    size_t before = mallinfo2().uordblks, used;
    union imap_args *args;
    struct task task;
    struct imap_parser parser = parser_of(&task, text);

    args = ARENA_NEW(&task.arena, union imap_args);
    assert_int_equal(parse(&parser, args), ERR_OK);
    used = mallinfo2().uordblks - before;
    task_done(&task);
    return used;
}

/* A line of many short items takes a small multiple of what it is, not a list's room for each. */
static void test_many_lists_of_flags_are_small(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, SIZE_MAX);
    buf_put(&text, STR(" INBOX"));
    for (size_t i = 0; i < 6000; i++)
        buf_put(&text, STR(" () {1+}\r\nx"));
    assert_true(memory_of(imap_parse_append, buf_str(&text)) < 256 * 1024);
    buf_reset(&text);
    buf_put(&text, STR(" INBOX"));
    for (size_t i = 0; i < 5000; i++)
        buf_put(&text, STR(" (a) {1+}\r\nx"));
    assert_true(memory_of(imap_parse_append, buf_str(&text)) < 1024 * 1024);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),       cmocka_unit_test(test_astrings),
        cmocka_unit_test(test_mailboxes),  cmocka_unit_test(test_dates),
        cmocka_unit_test(test_date_times), cmocka_unit_test(test_many_lists_of_flags_are_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
