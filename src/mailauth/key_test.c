#include "mailauth/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* 1024 bits, as SubjectPublicKeyInfo: RFC 8463 appendix A.2. */
#define RSA                                                                                        \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/"   \
    "J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLz"   \
    "BfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
#define ED25519 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static const struct {
    struct str record;
    enum mailauth_key_kind kind;
    enum mailauth_key_problem problem;
    bool is_exact;
} records[] = {
    {STR_INIT("v=DKIM1; p=" RSA), MAILAUTH_KEY_RSA, MAILAUTH_KEY_GOOD, false},
    {STR_INIT("k=rsa; t=y : s; s=x:*; h=sha1:sha256; p=" RSA), MAILAUTH_KEY_RSA, MAILAUTH_KEY_GOOD,
     true},
    {STR_INIT("v=DKIM1; k=ed25519; p=" ED25519), MAILAUTH_KEY_ED25519, MAILAUTH_KEY_GOOD, false},
    {STR_INIT("v=DKIM1; k=ed25519; p=" ED25519), MAILAUTH_KEY_RSA, MAILAUTH_KEY_OTHER, false},
    {STR_INIT("v=DKIM1; p=" RSA), MAILAUTH_KEY_ED25519, MAILAUTH_KEY_OTHER, false},
    {STR_INIT("v=DKIM1; h=sha1; p=" RSA), MAILAUTH_KEY_RSA, MAILAUTH_KEY_OTHER, false},
    {STR_INIT("v=DKIM1; s=tlsrpt; p=" RSA), MAILAUTH_KEY_RSA, MAILAUTH_KEY_OTHER, false},
    {STR_INIT("v=DKIM1; p="), MAILAUTH_KEY_RSA, MAILAUTH_KEY_REVOKED, false},
    {STR_INIT("v=DKIM1; p=" ED25519), MAILAUTH_KEY_RSA, MAILAUTH_KEY_UNUSABLE, false},
    {STR_INIT("v=DKIM1; k=ed25519; p=" RSA), MAILAUTH_KEY_ED25519, MAILAUTH_KEY_UNUSABLE, false},
    {STR_INIT("v=DKIM1; p=AA" RSA), MAILAUTH_KEY_RSA, MAILAUTH_KEY_UNUSABLE, false},
    {STR_INIT("v=DKIM1; p=?"), MAILAUTH_KEY_RSA, MAILAUTH_KEY_UNUSABLE, false},
    {STR_INIT("p=" RSA "; v=DKIM1"), MAILAUTH_KEY_RSA, MAILAUTH_KEY_NOT_ONE, false},
    {STR_INIT("v=DKIM2; p=" RSA), MAILAUTH_KEY_RSA, MAILAUTH_KEY_NOT_ONE, false},
    {STR_INIT("v=DKIM1; k=rsa"), MAILAUTH_KEY_RSA, MAILAUTH_KEY_NOT_ONE, false},
    {STR_INIT("v=spf1 -all"), MAILAUTH_KEY_RSA, MAILAUTH_KEY_NOT_ONE, false},
    {STR_INIT(""), MAILAUTH_KEY_RSA, MAILAUTH_KEY_NOT_ONE, false},
};

static void records_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        CLEANUP(mailauth_key_free) EVP_PKEY *key = NULL;
        struct arena arena = {NULL};
        bool is_exact = false;
        enum mailauth_key_problem problem =
            mailauth_key_parse(&arena, records[i].record, records[i].kind, &key, &is_exact);

        if (problem != records[i].problem || is_exact != records[i].is_exact ||
            (key != NULL) != (problem == MAILAUTH_KEY_GOOD))
            fail_msg("%.*s", STR_ARG(records[i].record));
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
