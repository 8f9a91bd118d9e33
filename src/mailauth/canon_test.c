#include "mailauth/canon.h"

#include "base/macros.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static void digest_of(struct str text, unsigned char out[MAILAUTH_DIGEST_BYTES])
{
    EVP_MD_CTX *digest = mailauth_digest_new();

    assert_int_equal(EVP_DigestUpdate(digest, text.ptr, text.len), 1);
    mailauth_digest_end(&digest, out);
}

static const struct {
    const char *rule;
    enum mailauth_canon canon;
    struct str body, canonical;
} bodies[] = {
    {"§3.4.3: an empty body is one CRLF", MAILAUTH_SIMPLE, STR_INIT(""), STR_INIT("\r\n")},
    {"§3.4.3: empty lines at the end", MAILAUTH_SIMPLE, STR_INIT("a \r\n\r\n\r\n"),
     STR_INIT("a \r\n")},
    {"§3.4.3: a last line without its end", MAILAUTH_SIMPLE, STR_INIT("a"), STR_INIT("a\r\n")},
    {"§3.4.3: white space stays", MAILAUTH_SIMPLE, STR_INIT(" C \r\nD \t E\r\n\r\n"),
     STR_INIT(" C \r\nD \t E\r\n")},
    {"§3.4.4: an empty body is empty", MAILAUTH_RELAXED, STR_INIT(""), STR_INIT("")},
    {"§3.4.4: empty lines are empty", MAILAUTH_RELAXED, STR_INIT(" \r\n\t\r\n"), STR_INIT("")},
    {"§3.4.5: example 1", MAILAUTH_RELAXED, STR_INIT(" C \r\nD \t E\r\n\r\n\r\n"),
     STR_INIT(" C\r\nD E\r\n")},
    {"§3.4.4: a last line without its end", MAILAUTH_RELAXED, STR_INIT("a \t"), STR_INIT("a\r\n")},
    {"§3.4.4: empty lines before and within stay", MAILAUTH_RELAXED,
     STR_INIT("\r\n\r\na\r\n \r\nb"), STR_INIT("\r\n\r\na\r\n\r\nb\r\n")},
    {"a bare CR or LF is a byte like others", MAILAUTH_RELAXED, STR_INIT("a \r b\n c"),
     STR_INIT("a \r b\n c\r\n")},
};

static void a_body_has_its_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct mailauth_body_hash hash = {0};
        unsigned char expected[MAILAUTH_DIGEST_BYTES];

        mailauth_canon_body(bodies[i].canon, bodies[i].body, &hash);
        digest_of(bodies[i].canonical, expected);
        if (hash.len != bodies[i].canonical.len ||
            memcmp(hash.whole, expected, sizeof(expected)) != 0)
            fail_msg("%s", bodies[i].rule);
    }
}

static void beginnings_are_hashed_beside(void **state)
{
    struct str body = STR("ab  c\r\nd\r\n\r\n"), canonical = STR("ab c\r\nd\r\n");
    struct mailauth_body_hash hash = {.part_count = 12};

    (void)state;
    /* In no order, one twice, and one longer than the body. */
    for (size_t i = 0; i < 12; i++)
        hash.parts[i].limit = i == 11 ? 3 : (i * 7) % 11;
    mailauth_canon_body(MAILAUTH_RELAXED, body, &hash);
    assert_int_equal(hash.len, canonical.len);
    for (size_t i = 0; i < 12; i++) {
        unsigned char expected[MAILAUTH_DIGEST_BYTES];

        digest_of(str_upto(canonical, (size_t)hash.parts[i].limit), expected);
        assert_int_equal(hash.parts[i].is_there, hash.parts[i].limit <= canonical.len);
        if (hash.parts[i].is_there)
            assert_memory_equal(hash.parts[i].digest, expected, sizeof(expected));
    }
}

static const struct {
    const char *rule;
    enum mailauth_canon canon;
    bool is_signature;
    struct str field, canonical;
} fields[] = {
    {"§3.4.5: example, A", MAILAUTH_RELAXED, false, STR_INIT("A: X\r\n"), STR_INIT("a:X\r\n")},
    {"§3.4.5: example, B", MAILAUTH_RELAXED, false, STR_INIT("B : Y\t\r\n\tZ  \r\n"),
     STR_INIT("b:Y Z\r\n")},
    {"simple: as it is", MAILAUTH_SIMPLE, false, STR_INIT("B : Y\t\r\n\tZ  \r\n"),
     STR_INIT("B : Y\t\r\n\tZ  \r\n")},
    {"an empty value", MAILAUTH_RELAXED, false, STR_INIT("A: \r\n \r\n"), STR_INIT("a:\r\n")},
    {"§3.7: without b= and the last CRLF", MAILAUTH_RELAXED, true,
     STR_INIT("D: v=1; b= ab\r\n cd ; bh=b=; h=x\r\n"), STR_INIT("d:v=1; b=; bh=b=; h=x")},
    {"b= last", MAILAUTH_SIMPLE, true, STR_INIT("D: v=1; bh=x;\r\n\tb=ab\r\n cd\r\n"),
     STR_INIT("D: v=1; bh=x;\r\n\tb=")},
};

static void a_field_has_its_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        EVP_MD_CTX *digest = mailauth_digest_new();
        unsigned char got[MAILAUTH_DIGEST_BYTES], expected[MAILAUTH_DIGEST_BYTES];
        struct header_field field;
        size_t position = 0;

        assert_true(header_field_next(fields[i].field, &position, &field));
        if (fields[i].is_signature)
            mailauth_canon_signature(digest, fields[i].canon, &field);
        else
            mailauth_canon_field(digest, fields[i].canon, &field);
        mailauth_digest_end(&digest, got);
        digest_of(fields[i].canonical, expected);
        if (memcmp(got, expected, sizeof(expected)) != 0)
            fail_msg("%s", fields[i].rule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_has_its_form),
        cmocka_unit_test(beginnings_are_hashed_beside),
        cmocka_unit_test(a_field_has_its_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
