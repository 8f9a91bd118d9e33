#include "base/ip.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void what_is_no_address(void **state)
{
    static const char *const texts[] = {"",
                                        "1",
                                        "127.1",
                                        "0x7f.0.0.1",
                                        "0177.0.0.1",
                                        "127.0.0.1.",
                                        "127.0.0.01",
                                        "256.1.1.1",
                                        "[::1]",
                                        "::1%lo",
                                        "fe80::1%1",
                                        "1.2.3.4 ",
                                        " 1.2.3.4",
                                        ":::",
                                        "1:2:3:4:5:6:7:8:9",
                                        "localhost",
                                        "::ffff:127.1",
                                        "2130706433",
                                        "12345::"};
    struct ip_address address;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (ip_address_parse(str_from_c(texts[i]), &address))
            fail_msg("%s was taken", texts[i]);
    }
    assert_false(ip_address_parse(str_make("1.2.3.4\0x", 9), &address));
    assert_false(ip_address_from_bytes(STR("12345"), &address));
}

static void networks(void **state)
{
    static const struct {
        const char *network, *address;
        bool has;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"192.0.2.128/25", "192.0.2.129", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1", "::1", true},
        {"::/0", "10.0.0.1", false},
        {"127.0.0.0/8", "::ffff:127.0.0.1", false},
        {"::ffff:10.0.0.0/8", "10.1.2.3", true},
        {"::ffff:10.0.0.0/8", "11.0.0.1", false},
        {"::ffff:10.0.0.0/8", "::1", false},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "11.0.0.1", false},
        {"::ffff:0:0/96", "8.8.8.8", true},
        {"::ffff:10.0.0.1", "10.0.0.1", true},
        {"::ffff:10.0.0.1", "10.0.0.2", false},
    };
    static const char *const wrong[] = {"10.0.0.0/33",
                                        "::/129",
                                        "10/8",
                                        "10.0.0.0/",
                                        "/8",
                                        "x/8",
                                        "10.0.0.0/-1",
                                        "10.0.0.0/8/8",
                                        "",
                                        "::ffff:10.0.0.0/33",
                                        "::ffff:10.0.0.0/95",
                                        "::ffff:10.0.0.0/129"};
    struct ip_network network;
    struct ip_address address;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(ip_network_parse(str_from_c(cases[i].network), &network));
        assert_true(ip_address_parse(str_from_c(cases[i].address), &address));
        if (ip_network_has(&network, &address) != cases[i].has)
            fail_msg("%s and %s", cases[i].network, cases[i].address);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (ip_network_parse(str_from_c(wrong[i]), &network))
            fail_msg("%s was taken", wrong[i]);
    }
}

static void mapped_addresses(void **state)
{
    static const struct {
        const char *v6, *v4; /* NULL: not mapped */
    } rows[] = {
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::ffff:c000:201", "192.0.2.1"},
        {"::192.0.2.1", NULL},
        {"::fffe:c000:201", NULL},
        {"2001:db8::1", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip_address v6, v4, address;

        assert_true(ip_address_parse(str_from_c(rows[i].v6), &v6));
        assert_false(ip_address_map(&v6));
        address = v6;
        if (ip_address_unmap(&address) != (rows[i].v4 != NULL))
            fail_msg("%s", rows[i].v6);
        if (rows[i].v4 == NULL) {
            assert_true(ip_address_equal(&address, &v6));
            continue;
        }
        assert_true(ip_address_parse(str_from_c(rows[i].v4), &v4));
        assert_true(ip_address_equal(&address, &v4));
        assert_false(ip_address_unmap(&v4));
        assert_true(ip_address_map(&v4));
        assert_true(ip_address_equal(&v4, &v6));
    }
}

static void networks_are_cut(void **state)
{
    static const struct {
        const char *network;
        unsigned bits;
        const char *address;
    } rows[] = {
        {"192.0.2.255", 32, "192.0.2.255"},
        {"192.0.2.255", 31, "192.0.2.254"},
        {"192.0.2.255", 25, "192.0.2.128"},
        {"192.0.2.255", 24, "192.0.2.0"},
        {"192.0.2.255/24", 17, "192.0.0.0"},
        {"255.255.255.255", 1, "128.0.0.0"},
        {"192.0.2.255", 0, "0.0.0.0"},
        {"2001:db8:ffff::1", 33, "2001:db8:8000::"},
        {"2001:db8:ffff::1", 128, "2001:db8:ffff::1"},
        {"2001:db8:ffff::1", 0, "::"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip_network network;
        char text[IP_ADDRESS_ROOM];

        assert_true(ip_network_parse(str_from_c(rows[i].network), &network));
        ip_network_cut(&network, rows[i].bits);
        ip_address_format(&network.address, text);
        assert_string_equal(text, rows[i].address);
        assert_int_equal(network.prefix_bits, rows[i].bits);
    }
}

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
        cmocka_unit_test(what_is_no_address),     cmocka_unit_test(networks),
        cmocka_unit_test(mapped_addresses),       cmocka_unit_test(networks_are_cut),
        cmocka_unit_test(one_client_has_one_key), cmocka_unit_test(a_long_text_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
