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
/* The same as RSAPublicKey; without the algorithm's NULL; with a byte too many, and too few, inside. */
#define RSA_PLAIN                                                                                  \
    "MIGJAoGBAOQeU5CgFPNZGIazlXo2k/eJ1jpaTTxrmqF1HrDLlt04pvaMtCJj8nXoliLRC/H9vJjMI1vdb3XL"         \
    "cW60AIN/PBD8EL97/y4GwJH7LPUvGP48vqUe+owqszesbiGy1PlCO8c70/OjFnJVgvMF87YR4Lcincb7aSvI"         \
    "5MgpP6X8rjDdAgMBAAE="
#define RSA_NO_NULL                                                                                \
    "MIGdMAsGCSqGSIb3DQEBAQOBjQAwgYkCgYEA5B5TkKAU81kYhrOVejaT94nWOlpNPGuaoXUesMuW3Tim9oy0"         \
    "ImPydeiWItEL8f28mMwjW91vdctxbrQAg388EPwQv3v/LgbAkfss9S8Y/jy+pR76jCqzN6xuIbLU+UI7xzvT"         \
    "86MWclWC8wXzthHgtyKdxvtpK8jkyCk/pfyuMN0CAwEAAQ=="
#define RSA_LONG                                                                                   \
    "MIGKAoGBAOQeU5CgFPNZGIazlXo2k/eJ1jpaTTxrmqF1HrDLlt04pvaMtCJj8nXoliLRC/H9vJjMI1vdb3XL"         \
    "cW60AIN/PBD8EL97/y4GwJH7LPUvGP48vqUe+owqszesbiGy1PlCO8c70/OjFnJVgvMF87YR4Lcincb7aSvI"         \
    "5MgpP6X8rjDdAgMBAAEA"
#define RSA_CUT                                                                                    \
    "MIGJAoGBAOQeU5CgFPNZGIazlXo2k/eJ1jpaTTxrmqF1HrDLlt04pvaMtCJj8nXoliLRC/H9vJjMI1vdb3XL"         \
    "cW60AIN/PBD8EL97/y4GwJH7LPUvGP48vqUe+owqszesbiGy1PlCO8c70/OjFnJVgvMF87YR4Lcincb7aSvI"         \
    "5MgpP6X8rjDdAgMBAA=="
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
    {STR_INIT("p=" RSA_PLAIN), MAILAUTH_KEY_RSA, MAILAUTH_KEY_GOOD, false},
    {STR_INIT("p=" RSA_NO_NULL), MAILAUTH_KEY_RSA, MAILAUTH_KEY_GOOD, false},
    {STR_INIT("p=" RSA_LONG), MAILAUTH_KEY_RSA, MAILAUTH_KEY_UNUSABLE, false},
    {STR_INIT("p=" RSA_CUT), MAILAUTH_KEY_RSA, MAILAUTH_KEY_UNUSABLE, false},
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

/* What is read here, and what OpenSSL's decoder reads, is the same key. */
static void all_forms_are_one_key(void **state)
{
    static const struct str forms[] = {STR_INIT("p=" RSA), STR_INIT("p=" RSA_PLAIN),
                                       STR_INIT("p=" RSA_NO_NULL)};
    EVP_PKEY *keys[ARRAY_LEN(forms)] = {NULL};
    struct arena arena = {NULL};
    bool is_exact;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        assert_int_equal(
            mailauth_key_parse(&arena, forms[i], MAILAUTH_KEY_RSA, &keys[i], &is_exact),
            MAILAUTH_KEY_GOOD);
        assert_int_equal(EVP_PKEY_eq(keys[0], keys[i]), 1);
        assert_int_equal(EVP_PKEY_get_bits(keys[i]), 1024);
    }
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        mailauth_key_free(&keys[i]);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read),
        cmocka_unit_test(all_forms_are_one_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
