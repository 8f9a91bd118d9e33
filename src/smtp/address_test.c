#include "smtp/address.h"

#include "base/macros.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct {
    const char *rule, *text, *canonical; /* NULL: refused with `problem` */
    enum smtp_address_problem problem;
} addresses[] = {
    {"a dot-string", "ann.b+tag@demo.test", "ann.b+tag@demo.test", SMTP_ADDRESS_OK},
    {"case is kept", "Ann@Demo.TEST", "Ann@Demo.TEST", SMTP_ADDRESS_OK},
    {"all of atext", "!#$%&'*+-/=?^_`{|}~@a", "!#$%&'*+-/=?^_`{|}~@a", SMTP_ADDRESS_OK},
    {"needless quotes go", "\"ann\"@demo.test", "ann@demo.test", SMTP_ADDRESS_OK},
    {"needless pairs go", "\"a\\nn\"@demo.test", "ann@demo.test", SMTP_ADDRESS_OK},
    {"needed quotes stay", "\"a b\"@demo.test", "\"a b\"@demo.test", SMTP_ADDRESS_OK},
    {"an @ in quotes", "\"a@b\"@demo.test", "\"a@b\"@demo.test", SMTP_ADDRESS_OK},
    {"quoted quotes stay", "\"a\\\"b\\\\\"@demo.test", "\"a\\\"b\\\\\"@demo.test", SMTP_ADDRESS_OK},
    {"an empty quoted string", "\"\"@demo.test", "\"\"@demo.test", SMTP_ADDRESS_OK},
    {"UTF-8", "änn@dömo.test", "änn@dömo.test", SMTP_ADDRESS_OK},
    {"an underscore in a domain", "a@_b.test", "a@_b.test", SMTP_ADDRESS_OK},
    {"an IPv4 literal", "a@[192.0.2.1]", "a@[192.0.2.1]", SMTP_ADDRESS_OK},
    {"an IPv6 literal", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]", SMTP_ADDRESS_OK},
    {"a general literal", "a@[x-y:z!]", "a@[x-y:z!]", SMTP_ADDRESS_OK},
    {"nothing", "", NULL, SMTP_ADDRESS_SYNTAX},
    {"no domain", "ann", NULL, SMTP_ADDRESS_SYNTAX},
    {"an empty domain", "ann@", NULL, SMTP_ADDRESS_SYNTAX},
    {"no local part", "@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"two @", "a@b@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"a dot first", ".a@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"a dot last", "a.@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"two dots", "a..b@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"a space", "a b@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"a tab in quotes", "\"a\tb\"@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"an open quoted string", "\"a@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"text behind quotes", "\"a\"b@demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"an empty label", "a@demo..test", NULL, SMTP_ADDRESS_SYNTAX},
    {"a dot at the end", "a@demo.test.", NULL, SMTP_ADDRESS_SYNTAX},
    {"a hyphen first", "a@-demo.test", NULL, SMTP_ADDRESS_SYNTAX},
    {"not an IPv4 address", "a@[192.0.2.256]", NULL, SMTP_ADDRESS_SYNTAX},
    {"not an IPv6 address", "a@[IPv6:g::]", NULL, SMTP_ADDRESS_SYNTAX},
    {"a literal without a tag", "a@[:x]", NULL, SMTP_ADDRESS_SYNTAX},
    {"bytes that are not UTF-8", "\xc3@demo.test", NULL, SMTP_ADDRESS_UTF8},
    {"nor in the domain", "a@\xff.test", NULL, SMTP_ADDRESS_UTF8},
    {"a local part of 65 bytes",
     "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg@demo.test", NULL,
     SMTP_ADDRESS_TOO_LONG},
};

static void test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct arena arena = {NULL};
        struct smtp_address address = {0};
        enum smtp_address_problem problem =
            smtp_address_parse(&arena, str_from_c(addresses[i].text), &address);

        if (problem != addresses[i].problem ||
            !str_equal(address.text, str_from_c(addresses[i].canonical)))
            fail_msg("%s: %d, %.*s", addresses[i].rule, (int)problem, STR_ARG(address.text));
        arena_free(&arena);
    }
}

static const struct {
    const char *rule, *text;
    bool is_reverse, is_path;
    const char *canonical, *rest;
} paths[] = {
    {"a path", "<a@b> SIZE=1", true, true, "a@b", " SIZE=1"},
    {"the null path", "<>", true, true, "", ""},
    {"no null path in RCPT", "<>", false, false, NULL, NULL},
    {"postmaster in RCPT", "<PostMaster>", false, true, "postmaster", ""},
    {"no postmaster in MAIL", "<Postmaster>", true, false, NULL, NULL},
    {"a source route", "<@x.test,@y.test:a@b>x", false, true, "a@b", "x"},
    {"a route without an address", "<@x.test:>", false, false, NULL, NULL},
    {"a bad route", "<@x.test,y.test:a@b>", false, false, NULL, NULL},
    {"a bracket in quotes", "<\"a>b\"@c>", false, true, "\"a>b\"@c", ""},
    {"a quoted quote", "<\"a\\\">b\"@c>", false, true, "\"a\\\">b\"@c", ""},
    {"no end", "<a@b", false, false, NULL, NULL},
    {"no beginning", "a@b>", false, false, NULL, NULL},
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct arena arena = {NULL};
        struct smtp_address address = {0};
        struct str rest = str_from_c(paths[i].text);
        bool is_path = smtp_path_parse(&arena, &rest, paths[i].is_reverse, &address) ==
                       SMTP_ADDRESS_OK;

        if (is_path != paths[i].is_path ||
            (is_path && (!str_equal(address.text, str_from_c(paths[i].canonical)) ||
                         !str_equal(rest, str_from_c(paths[i].rest)))))
            fail_msg("%s: %d, %.*s", paths[i].rule, is_path, STR_ARG(address.text));
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_paths),
    };

    return cmocka_run_group_tests_name("smtp/address", tests, NULL, NULL);
}
