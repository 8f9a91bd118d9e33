/* Unique-ids as other servers make them. */
#include "transfer/uidl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_templates(void **state)
{
    static const struct {
        const char *text, *uidl; /* of UID 26 in UIDVALIDITY 1763787600; "": there is none */
    } rows[] = {
        {"dovecot", "0000001a69214350"},
        {"Cyrus", "1763787600.26"},
        {"sealpost", "692143500000001a"},
        {"%u", "26"},
        {"%v-%u", "1763787600-26"},
        {"UID%u-%v", "UID26-1763787600"},
        {"%08Xv%08Xu", "692143500000001a"},
        {"%Xu", "1a"},
        {"%010u", "0000000026"},
        {"%v", ""}, /* the same for all */
        {"", ""},
        {"%", ""},
        {"%u%", ""},
        {"%f%u", ""},
        {"%8u", ""},
        {"%08", ""},
        {"%08X", ""},
        {"%099u", ""},
        {"a %u", ""}, /* not a character of one */
        {"\303\274%u", ""},
        {"%u%v%u%v%u%v%u%v", ""}, /* with larger numbers it were too long */
        {"courier", ""},          /* its POP3 numbers messages by itself */
    };
    struct arena arena = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str template = transfer_uidl_template(str_from_c(rows[i].text));
        struct str uidl = transfer_uidl_make(&arena, template, 26, 1763787600);

        if (!str_equal(uidl, str_from_c(rows[i].uidl)) ||
            (template.len == 0) != (rows[i].uidl[0] == 0))
            fail_msg("%s: %.*s", rows[i].text, STR_ARG(uidl));
    }
    assert_int_equal(transfer_uidl_make(&arena, STR("%u.%v"), 0, 7).len, 0);
    assert_int_equal(transfer_uidl_make(&arena, STR("%u.%v"), 7, 0).len, 0);
    assert_int_equal(transfer_uidl_make(&arena, STR("%u"), 7, 0).len, 1);
    arena_free(&arena);
}

static void test_greetings(void **state)
{
    (void)state;
    assert_true(str_equal(transfer_uidl_template_of_greeting(
                              STR("* OK [CAPABILITY IMAP4rev1] Dovecot (Debian) ready.\r\n")),
                          transfer_uidl_template(STR("dovecot"))));
    assert_true(str_equal(transfer_uidl_template_of_greeting(
                              STR("* OK mail.example Cyrus IMAP 3.6.1 server ready\r\n")),
                          transfer_uidl_template(STR("cyrus"))));
    assert_int_equal(transfer_uidl_template_of_greeting(STR("* OK ready\r\n")).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_greetings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
