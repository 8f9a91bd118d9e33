#include "imap/search.h"

#include "base/buf.h"
#include "base/macros.h"
#include "base/memory.h"
#include "imap/facts.h"
#include "imap/search_match.h"
#include "imap/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const LEAVES[] = {
    [IMAP_SEARCH_ALL] = "all",          [IMAP_SEARCH_FLAG] = "flag",
    [IMAP_SEARCH_SEQUENCE] = "numbers", [IMAP_SEARCH_UID] = "uid",
    [IMAP_SEARCH_MODSEQ] = "modseq",    [IMAP_SEARCH_STRING] = "string",
    [IMAP_SEARCH_HEADER] = "header",    [IMAP_SEARCH_OLDER] = "older",
};

/* The program as text: and( … ), or( … ), and a word for each other key. */
static void write_program(const struct imap_search_program *search, struct buf *out)
{
    uint32_t ends[IMAP_SEARCH_DEPTH_MAX + 1];
    size_t depth = 0;

    for (uint32_t i = 0; i < search->node_count; i++) {
        while (depth > 0 && ends[depth - 1] == i) {
            buf_putf(out, ")");
            depth--;
        }
        switch (search->nodes[i].op) {
        case IMAP_SEARCH_AND:
            buf_putf(out, "and(");
            ends[depth++] = search->nodes[i].next;
            break;
        case IMAP_SEARCH_OR:
            buf_putf(out, "or(");
            ends[depth++] = search->nodes[i].next;
            break;
        case IMAP_SEARCH_NOT:
            buf_putf(out, "not(");
            ends[depth++] = search->nodes[i].next;
            break;
        default: /* the leaves that the rows below have */
            assert_non_null(LEAVES[search->nodes[i].op]);
            buf_putf(out, "%s ", LEAVES[search->nodes[i].op]);
        }
    }
    while (depth-- > 0)
        buf_putf(out, ")");
}

static enum err parse(struct task *task, struct str text, struct imap_search_program *search)
{
    struct imap_parser parser = {.rest = text, .task = task};

    task_init(task, 0);
    memset(search, 0, sizeof(*search));
    return imap_search_parse(&parser, search);
}

static void test_programs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *program; /* NULL: refused */
    } ROWS[] = {
        {"ALL", "and(all )"},
        {"SEEN UNSEEN", "and(flag flag )"},
        {"NOT SEEN", "and(not(flag ))"},
        {"OR SEEN ALL", "and(or(flag all ))"},
        {"OR (SEEN ALL) NOT (OR ALL SEEN) DELETED",
         "and(or(and(flag all )not(and(or(all flag ))))flag )"},
        {"NOT NOT NOT ALL", "and(not(not(not(all ))))"},
        {"((ALL))", "and(and(and(all )))"},
        {"1:3,7 UID 4:*", "and(numbers uid )"},
        {"CHARSET utf-8 SUBJECT \"x\"", "and(string )"},
        {"MODSEQ 5", "and(modseq )"},
        {"MODSEQ \"/flags/\\\\draft\" all 620162338", "and(modseq )"},
        {"HEADER subject \"\"", "and(header )"},
        {"$", "and(numbers )"},
        {"UID 1,$ OLDER 5", "and(uid older )"},
        {"$,1", NULL},
        {"UID ,$", NULL},
        {"UID $,$", NULL},
        {"OLDER 0", NULL},
        {"", NULL},
        {"()", NULL},
        {"(ALL", NULL},
        {"ALL)", NULL},
        {"OR ALL", NULL},
        {"(OR ALL) SEEN", NULL},
        {"NOT", NULL},
        {"NOT )", NULL},
        {"ALL ", NULL},
        {"ALLSEEN", NULL},
        {"SUBJECT", NULL},
        {"SUBJECT \"\xff\"", NULL},
        {"CHARSET US-ASCII SUBJECT \"\xc3\xa4\"", NULL},
        {"SINCE 1-Jan-20", NULL},
        {"MODSEQ 99999999999999999999", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct imap_search_program search;
        struct task task;
        struct buf out;
        enum err err = parse(&task, str_from_c(ROWS[i].text), &search);

        if ((err == ERR_OK) != (ROWS[i].program != NULL))
            fail_msg("row %zu: %s", i, ROWS[i].text);
        buf_init(&out, SIZE_MAX);
        if (err == ERR_OK)
            write_program(&search, &out);
        if (err == ERR_OK && !str_equal(buf_str(&out), str_from_c(ROWS[i].program)))
            fail_msg("row %zu: %.*s", i, (int)out.len, out.ptr);
        buf_free(&out);
        task_done(&task);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct imap_search_program search;
    struct task task;
    struct buf text;

    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < 10000; i++)
        buf_put(&text, STR("("));
    assert_int_equal(parse(&task, buf_str(&text), &search), ERR_INVALID);
    task_done(&task);
    buf_reset(&text);
    for (size_t i = 0; i < 10000; i++)
        buf_put(&text, STR("NOT "));
    assert_int_equal(parse(&task, buf_str(&text), &search), ERR_INVALID);
    task_done(&task);
    buf_reset(&text);
    for (size_t i = 0; i < 10000; i++)
        buf_put(&text, STR("ALL "));
    assert_int_equal(parse(&task, buf_str(&text), &search), ERR_INVALID);
    task_done(&task);
    buf_free(&text);
}

static void test_charsets(void **state)
{
    (void)state;
    struct imap_search_program search;
    struct task task;

    assert_int_equal(parse(&task, STR("CHARSET KOI8-R SUBJECT x"), &search), ERR_OK);
    assert_true(search.is_wrong_charset);
    task_done(&task);
    assert_int_equal(parse(&task, STR("CHARSET us-ascii SUBJECT x"), &search), ERR_OK);
    assert_false(search.is_wrong_charset);
    task_done(&task);
}

/* SAVE keeps ranges, and no more of them than a session may hold (RFC 5182 §2.1 NOTSAVED). */
static void test_saved_results_are_bounded(void **state)
{
    (void)state;
    enum { COUNT = 2 * IMAP_SAVED_RANGES_MAX + 2 };
    struct imap_view view;
    uint32_t *indexes = NEW_ARRAY(uint32_t, COUNT);

    imap_view_init(&view);
    view.uids = NEW_ARRAY(uint32_t, COUNT);
    view.count = COUNT;
    for (uint32_t i = 0; i < COUNT; i++) {
        view.uids[i] = 10 + 2 * i;
        indexes[i] = i;
    }
    assert_true(imap_view_save(&view, indexes, COUNT));
    assert_int_equal(view.saved_count, 1);
    for (uint32_t i = 0; i < COUNT / 2; i++)
        indexes[i] = 2 * i;
    assert_false(imap_view_save(&view, indexes, COUNT / 2));
    assert_int_equal(view.saved_count, 0);
    assert_true(imap_view_save(&view, indexes, COUNT / 2 - 1));
    assert_int_equal(view.saved_count, IMAP_SAVED_RANGES_MAX);
    mem_free(&indexes);
    imap_view_done(&view);
}

/* Where a flag is wanted that no message has, none is looked at. */
static void test_what_matches_no_message(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_none;
    } ROWS[] = {
        {"DRAFT", true},
        {"SEEN DRAFT", true},
        {"TEXT x DRAFT", true},
        {"OR DRAFT ANSWERED", true},
        {"NEW", true},
        {"NOT UNDRAFT", true},
        {"NOT (OR UNDRAFT SEEN)", true},
        {"SEEN", false},
        {"UNDRAFT", false},
        {"NOT DRAFT", false},
        {"OR DRAFT SEEN", false},
        {"OR DRAFT TEXT x", false},
        {"NOT (TEXT x DRAFT)", false},
        {"NOT (TEXT x UNDRAFT)", false},
    };
    struct imap_view view;

    imap_view_init(&view);
    view.facts = imap_facts_new();
    imap_facts_add(view.facts, 0);
    imap_facts_add(view.facts, VAULT_FLAG_SEEN);
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct imap_search_program search;
        struct task task;

        assert_int_equal(parse(&task, str_from_c(ROWS[i].text), &search), ERR_OK);
        assert_true(strstr(ROWS[i].text, "DRAFT") == NULL ||
                    !imap_search_matches_none(&view, &search)); /* the flags are not at hand */
        for (uint32_t node = 0; node < search.node_count; node++)
            search.nodes[node].is_at_hand = search.nodes[node].op == IMAP_SEARCH_FLAG;
        if (imap_search_matches_none(&view, &search) != ROWS[i].is_none)
            fail_msg("row %zu: %s", i, ROWS[i].text);
        task_done(&task);
    }
    imap_view_done(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_charsets),
        cmocka_unit_test(test_saved_results_are_bounded),
        cmocka_unit_test(test_what_matches_no_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
