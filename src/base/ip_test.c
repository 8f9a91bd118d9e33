#include "base/ip.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void one_client_has_one_key(void **state)
{
    static const struct {
        const char *rule, *one, *other;
        bool is_same;
    } rows[] = {
        {"an IPv4 address", "192.0.2.1", "192.0.2.1", true},
        {"its neighbour", "192.0.2.1", "192.0.2.2", false},
        {"mapped into IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
        {"mapped, another", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
        {"a subscriber's /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
        {"written otherwise", "2001:db8:0:1::1", "2001:0DB8:0000:0001:0:0:0:1", true},
        {"the next /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"a /64 is not an IPv4 address", "c000:201::", "192.0.2.1", false},
        {"a local socket", "local", "local", true},
        {"no address", "local", "", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char one[IP_CLIENT_KEY_MAX], other[IP_CLIENT_KEY_MAX];
        struct str a = {(const char *)one, ip_client_key(str_from_c(rows[i].one), one)};
        struct str b = {(const char *)other, ip_client_key(str_from_c(rows[i].other), other)};

        if (str_equal(a, b) != rows[i].is_same)
            fail_msg("%s: %s and %s", rows[i].rule, rows[i].one, rows[i].other);
    }
}

static void a_long_text_is_cut(void **state)
{
    unsigned char key[IP_CLIENT_KEY_MAX];
    char text[200];

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(ip_client_key(str_make(text, sizeof(text)), key), IP_CLIENT_KEY_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_has_one_key),
        cmocka_unit_test(a_long_text_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
