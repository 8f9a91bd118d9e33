#include "mailauth/domain.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct {
    struct str text, normal; /* ptr NULL: no domain */
    struct str organization;
} domains[] = {
    {STR_INIT("A.Test"), STR_INIT("a.test"), STR_INIT("a.test")},
    {STR_INIT("x.y.example.com."), STR_INIT("x.y.example.com"), STR_INIT("example.com")},
    {STR_INIT("x.example.co.uk"), STR_INIT("x.example.co.uk"), STR_INIT("example.co.uk")},
    {STR_INIT("co.uk"), STR_INIT("co.uk"), STR_INIT("co.uk")},
    {STR_INIT("com"), STR_INIT("com"), STR_INIT("com")},
    {STR_INIT("b\xc3\xbc"
              "cher.example"),
     STR_INIT("xn--bcher-kva.example"), STR_INIT("xn--bcher-kva.example")},
    {STR_INIT("x_y._z.example.com"), STR_INIT("x_y._z.example.com"), STR_INIT("example.com")},
    {STR_INIT(""), {NULL, 0}, {NULL, 0}},
    {STR_INIT("."), {NULL, 0}, {NULL, 0}},
    {STR_INIT("a..b"), {NULL, 0}, {NULL, 0}},
    {STR_INIT("a b"), {NULL, 0}, {NULL, 0}},
    {STR_INIT("[192.0.2.1]"), {NULL, 0}, {NULL, 0}},
    {STR_INIT("a\xff.test"), {NULL, 0}, {NULL, 0}},
    {STR_INIT("1234567890123456789012345678901234567890123456789012345678901234.test"),
     {NULL, 0},
     {NULL, 0}},
};

static void domains_have_one_spelling(void **state)
{
    struct arena arena = {NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
        struct str normal = {0}, organization;

        if (mailauth_domain_normal(&arena, domains[i].text, &normal) !=
                (domains[i].normal.ptr != NULL) ||
            !str_equal(normal, domains[i].normal))
            fail_msg("%.*s is %.*s", STR_ARG(domains[i].text), STR_ARG(normal));
        if (normal.ptr == NULL)
            continue;
        organization = mailauth_domain_organization(normal);
        if (!str_equal(organization, domains[i].organization))
            fail_msg("%.*s is of %.*s", STR_ARG(normal), STR_ARG(organization));
    }
    arena_free(&arena);
}

static void within(void **state)
{
    (void)state;
    assert_true(mailauth_domain_is_within(STR("a.test"), STR("a.test")));
    assert_true(mailauth_domain_is_within(STR("x.a.test"), STR("a.test")));
    assert_false(mailauth_domain_is_within(STR("xa.test"), STR("a.test")));
    assert_false(mailauth_domain_is_within(STR("test"), STR("a.test")));
    assert_false(mailauth_domain_is_within(STR("a.test"), STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_have_one_spelling),
        cmocka_unit_test(within),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
