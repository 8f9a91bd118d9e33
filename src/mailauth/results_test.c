#include "mailauth/results.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct {
    struct str value;
    bool is_ours;
} values[] = {
        {STR_INIT("us.test.; dmarc=pass"), true},
        {STR_INIT("us.(c)test; dmarc=pass"), true},
        {STR_INIT("other.test.; dmarc=pass"), false},
    {STR_INIT(" us.test; spf=pass"), true},
    {STR_INIT("US.TEST"), true},
    {STR_INIT(" us.test 1; x"), true},
    {STR_INIT("\r\n\t(c) us.test(c); x"), true},
    {STR_INIT(" \"us.test\"; x"), true},
    {STR_INIT(" ; us.test; x"), true},
    {STR_INIT(" us.test/1; x"), true},
    {STR_INIT(" not-us.test; us.test"), false},
    {STR_INIT(" us.test.x; x"), false},
    {STR_INIT(" \"them.test\"; us.test"), false},
    {STR_INIT(" them.test; (us.test) x"), false},
    {STR_INIT(""), false},
};

static void whose_a_field_is(void **state)
{
    struct arena arena = {NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (mailauth_results_is_ours(&arena, values[i].value, STR("us.test")) != values[i].is_ours)
            fail_msg("%.*s", STR_ARG(values[i].value));
    arena_free(&arena);
}

static void the_whole_field(void **state)
{
    struct arena arena = {NULL};
    struct mailauth_request request = {.sender = STR(""), .authserv = STR("us.test")};
    struct mailauth_verdict verdict = {
        .spf = MAILAUTH_SOFTFAIL,
        .spf_domain = STR("h.test"),
        .signatures = {{MAILAUTH_FAIL, STR("a.test"), STR("s\"\r\n"), "no key"}},
        .signature_count = 1,
        .dmarc = MAILAUTH_FAIL,
        .dmarc_published = MAILAUTH_POLICY_QUARANTINE,
        .author_domain = STR("a.test"),
        .arc = MAILAUTH_PASS,
        .arc_domain = STR("f.test"),
    };
    struct str field = mailauth_results_write(&arena, &request, &verdict);

    (void)state;
    assert_true(str_equal(field, STR("Authentication-Results: us.test;\r\n"
                                     "\tspf=softfail smtp.helo=h.test;\r\n"
                                     "\tdkim=fail reason=\"no key\" header.d=a.test"
                                     " header.s=\"s\\\"??\";\r\n"
                                     "\tdmarc=fail (p=quarantine) header.from=a.test;\r\n"
                                     "\tarc=pass (sealed by f.test)\r\n")));
    request.authserv = STR("");
    assert_int_equal(mailauth_results_write(&arena, &request, &verdict).len, 0);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whose_a_field_is),
        cmocka_unit_test(the_whole_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
