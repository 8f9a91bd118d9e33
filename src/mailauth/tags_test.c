#include "mailauth/tags.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct {
    const char *rule;
    struct str text;
    bool is_strict_list, is_lax_list;
    struct str b; /* the value of "b", ptr NULL: none */
} lists[] = {
    {"two tags", STR_INIT("a=1; b=2"), true, true, STR_INIT("2")},
    {"a semicolon at the end", STR_INIT("a=1;b=2; "), true, true, STR_INIT("2")},
    {"white space around names and values", STR_INIT(" a = 1 ;\r\n\tb\t= 2 3 \r\n"), true, true,
     STR_INIT("2 3")},
    {"an empty value", STR_INIT("b="), true, true, STR_INIT("")},
    {"an = in a value", STR_INIT("b=AA=="), true, true, STR_INIT("AA==")},
    {"names have their case", STR_INIT("B=1"), true, true, {NULL, 0}},
    {"an empty entry", STR_INIT("a=1;;b=2"), false, true, STR_INIT("2")},
    {"what is no tag", STR_INIT("a=1; x; b=2"), false, true, STR_INIT("2")},
    {"a name that is none", STR_INIT("1a=1; b=2"), false, true, STR_INIT("2")},
    {"a name twice", STR_INIT("b=1; b=2"), false, false, STR_INIT("1")},
    {"nothing", STR_INIT(""), false, false, {NULL, 0}},
    {"only a semicolon", STR_INIT(";"), false, false, {NULL, 0}},
};

static void lists_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct mailauth_tags tags;
        struct str b;

        if (mailauth_tags_parse(lists[i].text, false, &tags) != lists[i].is_strict_list ||
            mailauth_tags_parse(lists[i].text, true, &tags) != lists[i].is_lax_list)
            fail_msg("%s", lists[i].rule);
        b = mailauth_tag(&tags, STR("b"));
        if ((b.ptr == NULL) != (lists[i].b.ptr == NULL) || !str_equal(b, lists[i].b))
            fail_msg("%s: b is \"%.*s\"", lists[i].rule, STR_ARG(b));
    }
}

static void there_is_a_limit(void **state)
{
    struct mailauth_tags tags;
    struct arena arena = {NULL};
    struct str text = STR("");

    (void)state;
    for (int i = 0; i < MAILAUTH_TAGS_MAX; i++)
        text = arena_printf(&arena, "%.*st%d=1;", STR_ARG(text), i);
    assert_true(mailauth_tags_parse(text, false, &tags));
    text = arena_printf(&arena, "%.*sx=1", STR_ARG(text));
    assert_false(mailauth_tags_parse(text, false, &tags));
    arena_free(&arena);
}

static void base64_may_be_folded(void **state)
{
    static const struct {
        struct str text, bytes; /* ptr NULL: refused */
    } cases[] = {
        {STR_INIT("aGVsbG8="), STR_INIT("hello")},
        {STR_INIT(" aGV\r\n\tsbG8 = "), STR_INIT("hello")},
        {STR_INIT("aGVsbG8"), STR_INIT("hello")},
        {STR_INIT(""), STR_INIT("")},
        {STR_INIT("aGVsbG8?"), {NULL, 0}},
        {STR_INIT("aGVsb"), {NULL, 0}},
    };
    struct arena arena = {NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str bytes = {0};

        assert_int_equal(mailauth_base64(&arena, cases[i].text, &bytes),
                         cases[i].bytes.ptr != NULL);
        assert_true(str_equal(bytes, cases[i].bytes));
    }
    arena_free(&arena);
}

static void words_in_lists(void **state)
{
    (void)state;
    assert_true(mailauth_list_has(STR("to : From"), ':', STR("from")));
    assert_false(mailauth_list_has(STR("to : from-x"), ':', STR("from")));
    assert_false(mailauth_list_has(STR(""), ':', STR("from")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(there_is_a_limit),
        cmocka_unit_test(base64_may_be_folded),
        cmocka_unit_test(words_in_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
