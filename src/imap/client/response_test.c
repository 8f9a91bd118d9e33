/* A server's answers: where they end, and what is in them. */
#include "imap/client/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    const char *name, *bytes;
    enum err err;
    const char *tag, *tokens; /* S string, A atom, ( and ) */
} rows[] = {
    {"a list", "* LIST (\\Sent) \"/\" \"a \\\"b\\\"\"\r\n", ERR_OK, "*", "A(A)SS"},
    {"a literal", "* 1 FETCH (UID 3 BODY[] {4}\r\na)\r\n)\r\n", ERR_OK, "*", "AA(AAAS)"},
    {"two literals", "* LIST () NIL {1}\r\na\r\n", ERR_OK, "*", "A()AS"},
    {"a section with spaces", "* 1 FETCH (BODY[HEADER.FIELDS (DATE)] {0}\r\n)\r\n", ERR_OK, "*",
     "AA(AS)"},
    {"free text", "a1 NO (it is \"not\r\n", ERR_OK, "a1", "A"},
    {"go on", "+ (anything\r\n", ERR_OK, "+", ""},
    {"an open list", "* 1 FETCH (UID 3\r\n", ERR_INVALID, NULL, NULL},
    {"a list that was not open", "* SEARCH 1)\r\n", ERR_INVALID, NULL, NULL},
    {"a string without end", "* LIST () \"/\r\n", ERR_INVALID, NULL, NULL},
    {"nothing", "\r\n", ERR_INVALID, NULL, NULL},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(task_done) struct task task;
        struct imap_response_scanner scanner = {0};
        struct str bytes = str_from_c(rows[i].bytes);
        struct imap_response response;
        size_t len;

        task_init(&task, 0);
        print_message("%s\n", rows[i].name);
        for (size_t cut = 0; cut < bytes.len; cut++) {
            assert_int_equal(
                imap_response_scan(&scanner, &task, str_upto(bytes, cut), 1000, &len), ERR_OK);
            assert_int_equal(len, 0);
        }
        assert_int_equal(imap_response_scan(&scanner, &task, bytes, 1000, &len), ERR_OK);
        assert_int_equal(len, bytes.len);
        assert_int_equal(imap_response_parse(&task, bytes, &response), rows[i].err);
        if (rows[i].err != ERR_OK)
            continue;
        assert_true(str_equal(response.tag, str_from_c(rows[i].tag)));
        assert_int_equal(response.count, str_from_c(rows[i].tokens).len);
        for (size_t j = 0; j < response.count; j++)
            assert_int_equal("AS()"[response.tokens[j].kind], rows[i].tokens[j]);
    }
}

static void test_values(void **state)
{
    CLEANUP(task_done) struct task task;
    struct imap_response response;
    uint32_t number = 0;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(imap_response_parse(&task, STR("* LIST () \"/\" \"a \\\"b\\\\\"\r\n"),
                                         &response),
                     ERR_OK);
    assert_true(str_equal(response.tokens[4].text, STR("a \"b\\")));
    assert_int_equal(
        imap_response_parse(&task, STR("* OK [UIDVALIDITY 4294967295] ok\r\n"), &response), ERR_OK);
    assert_true(imap_response_code(&response, STR("uidvalidity"), &number));
    assert_int_equal(number, UINT32_MAX);
    assert_false(imap_response_code(&response, STR("UIDNEXT"), &number));
}

static void test_limits(void **state)
{
    CLEANUP(task_done) struct task task;
    struct imap_response_scanner scanner = {0};
    size_t len;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(imap_response_scan(&scanner, &task, STR("* X {2000}\r\n"), 1000, &len),
                     ERR_LIMIT);
    scanner = (struct imap_response_scanner){0};
    assert_int_equal(imap_response_scan(&scanner, &task,
                                        STR("* X {99999999999999999999}\r\n"), 1000, &len),
                     ERR_OK); /* no number: then it is no literal */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
