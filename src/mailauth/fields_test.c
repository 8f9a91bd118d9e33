#include "mailauth/author.h"
#include "mailauth/fields.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct str message =
    STR_INIT("To: 1\r\nFROM: 2\r\nto : 3\r\nnot a field\r\nX:\r\n 4\r\n"
             "tO: 5\r\n\r\nTo: body\r\n");

static void from_the_bottom_up(void **state)
{
    struct arena arena = {NULL};
    struct mailauth_fields fields;
    struct mailauth_taker taker;

    (void)state;
    mailauth_fields_read(&arena, message, &fields);
    assert_int_equal(fields.count, 5);
    assert_false(fields.is_too_many);
    assert_true(str_equal(fields.body, STR("To: body\r\n")));
    assert_int_equal(mailauth_fields_count(&fields, STR("To")), 3);
    assert_int_equal(mailauth_fields_count(&fields, STR("Y")), 0);
    assert_int_equal(mailauth_fields_count(&fields, STR("from")), 1);
    mailauth_taker_init(&arena, &fields, &taker);
    assert_true(str_equal(mailauth_take(&taker, STR("TO"))->text.value, STR(" 5")));
    assert_true(str_equal(mailauth_take(&taker, STR("to"))->text.value, STR(" 3")));
    assert_non_null(mailauth_take(&taker, STR("from")));
    assert_int_equal(mailauth_take(&taker, STR("x"))->start, 37);
    assert_true(str_equal(mailauth_take(&taker, STR("to"))->text.value, STR(" 1")));
    assert_null(mailauth_take(&taker, STR("to")));
    assert_null(mailauth_take(&taker, STR("y")));
    arena_free(&arena);
}

static void there_is_a_limit(void **state)
{
    struct arena arena = {NULL};
    struct mailauth_fields fields;
    struct buf text;

    (void)state;
    buf_init(&text, SIZE_MAX);
    for (int i = 0; i < MAILAUTH_FIELDS_MAX; i++)
        buf_putf(&text, "X%d: y\r\n", i);
    mailauth_fields_read(&arena, buf_str(&text), &fields);
    assert_false(fields.is_too_many);
    assert_int_equal(mailauth_fields_count(&fields, STR("x16383")), 1);
    assert_int_equal(mailauth_fields_count(&fields, STR("x16384")), 0);
    buf_put(&text, STR("From: a@b\r\n\r\nbody"));
    mailauth_fields_read(&arena, buf_str(&text), &fields);
    assert_true(fields.is_too_many);
    assert_int_equal(fields.count, MAILAUTH_FIELDS_MAX);
    assert_true(str_equal(fields.body, STR("body")));
    buf_free(&text);
    arena_free(&arena);
}

static const struct {
    struct str message;
    bool is_one;
    size_t count;
    struct str first;
} authors[] = {
    {STR_INIT("From: a@b.test\r\n\r\n"), true, 1, STR_INIT("b.test")},
    {STR_INIT("From: x@y.test <a@B.Test>\r\n\r\n"), false, 2, STR_INIT("b.test")},
    {STR_INIT("From: N x@Y.test (c) n <a@b.test>\r\n\r\n"), false, 2, STR_INIT("b.test")},
    {STR_INIT("From: x@ <a@b.test>\r\n\r\n"), false, 1, STR_INIT("b.test")},
    {STR_INIT("From: x@b.test <a@B.Test>\r\n\r\n"), true, 1, STR_INIT("b.test")},
    {STR_INIT("From: \"x@y.test\" (c@d.test) <a@B.Test>\r\n\r\n"), true, 1, STR_INIT("b.test")},
    {STR_INIT("From: A\r\n <a@b.test>\r\n\r\n"), true, 1, STR_INIT("b.test")},
    {STR_INIT("From: a@b.test, c@b.test\r\n\r\n"), false, 1, STR_INIT("b.test")},
    {STR_INIT("From: a@b.test, c@d.test\r\n\r\n"), false, 2, STR_INIT("b.test")},
    {STR_INIT("From: a@b.test\r\nFrom: c@d.test\r\n\r\n"), false, 2, STR_INIT("d.test")},
    {STR_INIT("From: us: a@b.test;\r\n\r\n"), false, 1, STR_INIT("b.test")},
    {STR_INIT("From: a\r\n\r\n"), false, 0, STR_INIT("")},
    {STR_INIT("From: a@[192.0.2.1]\r\n\r\n"), false, 0, STR_INIT("")},
    {STR_INIT("From:\r\n\r\n"), false, 0, STR_INIT("")},
    {STR_INIT("To: a@b.test\r\n\r\n"), false, 0, STR_INIT("")},
};

static void who_is_the_author(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(authors); i++) {
        struct arena arena = {NULL};
        struct mailauth_fields fields;
        struct mailauth_authors found;

        mailauth_fields_read(&arena, authors[i].message, &fields);
        mailauth_authors_read(&arena, &fields, &found);
        if (found.is_one != authors[i].is_one || found.count != authors[i].count ||
            (found.count > 0 && !str_equal(found.domains[0], authors[i].first)))
            fail_msg("%.*s", STR_ARG(authors[i].message));
        assert_int_equal(found.is_none, str_find(authors[i].message, STR("From")) < 0);
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_bottom_up),
        cmocka_unit_test(there_is_a_limit),
        cmocka_unit_test(who_is_the_author),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
