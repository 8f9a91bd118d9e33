#include "net/address_class.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* First, last and the neighbours of every range of the IANA registries (2025), and what is meant to
 * look like something else. */
static const struct {
    const char *address;
    enum net_address_class class;
} rows[] = {
    /* IPv4, by the registry's order */
    {"0.0.0.0", NET_ADDRESS_UNSPECIFIED},
    {"0.255.255.255", NET_ADDRESS_UNSPECIFIED},
    {"1.0.0.0", NET_ADDRESS_PUBLIC},
    {"9.255.255.255", NET_ADDRESS_PUBLIC},
    {"10.0.0.0", NET_ADDRESS_PRIVATE},
    {"10.255.255.255", NET_ADDRESS_PRIVATE},
    {"11.0.0.0", NET_ADDRESS_PUBLIC},
    {"100.63.255.255", NET_ADDRESS_PUBLIC},
    {"100.64.0.0", NET_ADDRESS_SHARED},
    {"100.127.255.255", NET_ADDRESS_SHARED},
    {"100.128.0.0", NET_ADDRESS_PUBLIC},
    {"126.255.255.255", NET_ADDRESS_PUBLIC},
    {"127.0.0.0", NET_ADDRESS_LOOPBACK},
    {"127.0.0.1", NET_ADDRESS_LOOPBACK},
    {"127.255.255.255", NET_ADDRESS_LOOPBACK},
    {"128.0.0.0", NET_ADDRESS_PUBLIC},
    {"169.253.255.255", NET_ADDRESS_PUBLIC},
    {"169.254.0.0", NET_ADDRESS_LINK_LOCAL},
    {"169.254.169.254", NET_ADDRESS_LINK_LOCAL},
    {"169.254.255.255", NET_ADDRESS_LINK_LOCAL},
    {"169.255.0.0", NET_ADDRESS_PUBLIC},
    {"172.15.255.255", NET_ADDRESS_PUBLIC},
    {"172.16.0.0", NET_ADDRESS_PRIVATE},
    {"172.31.255.255", NET_ADDRESS_PRIVATE},
    {"172.32.0.0", NET_ADDRESS_PUBLIC},
    {"191.255.255.255", NET_ADDRESS_PUBLIC},
    {"192.0.0.0", NET_ADDRESS_RESERVED},
    {"192.0.0.8", NET_ADDRESS_RESERVED},   /* dummy address, RFC 7600 */
    {"192.0.0.9", NET_ADDRESS_RESERVED},   /* PCP anycast, RFC 7723 */
    {"192.0.0.10", NET_ADDRESS_RESERVED},  /* TURN anycast, RFC 8155 */
    {"192.0.0.170", NET_ADDRESS_RESERVED}, /* NAT64 discovery, RFC 8880 */
    {"192.0.0.255", NET_ADDRESS_RESERVED},
    {"192.0.1.0", NET_ADDRESS_PUBLIC},
    {"192.0.2.0", NET_ADDRESS_DOCUMENTATION},
    {"192.0.2.255", NET_ADDRESS_DOCUMENTATION},
    {"192.0.3.0", NET_ADDRESS_PUBLIC},
    {"192.31.196.1", NET_ADDRESS_RESERVED},
    {"192.52.193.1", NET_ADDRESS_RESERVED},
    {"192.88.98.255", NET_ADDRESS_PUBLIC},
    {"192.88.99.1", NET_ADDRESS_RESERVED},
    {"192.88.100.0", NET_ADDRESS_PUBLIC},
    {"192.167.255.255", NET_ADDRESS_PUBLIC},
    {"192.168.0.0", NET_ADDRESS_PRIVATE},
    {"192.168.255.255", NET_ADDRESS_PRIVATE},
    {"192.169.0.0", NET_ADDRESS_PUBLIC},
    {"192.175.48.6", NET_ADDRESS_RESERVED},
    {"198.17.255.255", NET_ADDRESS_PUBLIC},
    {"198.18.0.0", NET_ADDRESS_BENCHMARKING},
    {"198.19.255.255", NET_ADDRESS_BENCHMARKING},
    {"198.20.0.0", NET_ADDRESS_PUBLIC},
    {"198.51.100.1", NET_ADDRESS_DOCUMENTATION},
    {"198.51.101.0", NET_ADDRESS_PUBLIC},
    {"203.0.112.255", NET_ADDRESS_PUBLIC},
    {"203.0.113.1", NET_ADDRESS_DOCUMENTATION},
    {"223.255.255.255", NET_ADDRESS_PUBLIC},
    {"224.0.0.0", NET_ADDRESS_MULTICAST},
    {"239.255.255.255", NET_ADDRESS_MULTICAST},
    {"240.0.0.0", NET_ADDRESS_RESERVED},
    {"255.255.255.254", NET_ADDRESS_RESERVED},
    {"255.255.255.255", NET_ADDRESS_RESERVED},
    {"93.184.216.34", NET_ADDRESS_PUBLIC},
    /* IPv6 */
    {"::", NET_ADDRESS_UNSPECIFIED},
    {"::1", NET_ADDRESS_LOOPBACK},
    {"0:0:0:0:0:0:0:1", NET_ADDRESS_LOOPBACK},
    {"::2", NET_ADDRESS_TRANSLATED},
    {"::127.0.0.1", NET_ADDRESS_TRANSLATED},
    {"::7f00:1", NET_ADDRESS_TRANSLATED},
    {"::ffff:0:0", NET_ADDRESS_TRANSLATED},
    {"::ffff:127.0.0.1", NET_ADDRESS_TRANSLATED},
    {"::ffff:7f00:1", NET_ADDRESS_TRANSLATED},
    {"::FFFF:10.0.0.1", NET_ADDRESS_TRANSLATED},
    {"::ffff:93.184.216.34", NET_ADDRESS_TRANSLATED},
    {"::ffff:0:127.0.0.1", NET_ADDRESS_TRANSLATED},
    {"64:ff9b::127.0.0.1", NET_ADDRESS_TRANSLATED},
    {"64:ff9b::7f00:1", NET_ADDRESS_TRANSLATED},
    {"64:ff9b::ffff:ffff", NET_ADDRESS_TRANSLATED},
    {"64:ff9b::1:0:0", NET_ADDRESS_RESERVED},
    {"64:ff9b:1::7f00:1", NET_ADDRESS_TRANSLATED},
    {"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NET_ADDRESS_TRANSLATED},
    {"64:ff9b:2::", NET_ADDRESS_RESERVED},
    {"100::", NET_ADDRESS_RESERVED},     /* discard, RFC 6666 */
    {"100:0:0:1::1", NET_ADDRESS_RESERVED}, /* dummy prefix, RFC 9780 */
    {"1fff:ffff::", NET_ADDRESS_RESERVED},
    {"2000::1", NET_ADDRESS_PUBLIC},
    {"2001::1", NET_ADDRESS_TRANSLATED}, /* Teredo */
    {"2001:0:4136:e378:8000:63bf:3fff:fdd2", NET_ADDRESS_TRANSLATED},
    {"2001:1::1", NET_ADDRESS_RESERVED}, /* PCP anycast */
    {"2001:2::1", NET_ADDRESS_BENCHMARKING},
    {"2001:2:1::1", NET_ADDRESS_RESERVED},
    {"2001:3::1", NET_ADDRESS_RESERVED},     /* AMT */
    {"2001:4:112::1", NET_ADDRESS_RESERVED}, /* AS112 */
    {"2001:10::1", NET_ADDRESS_RESERVED},    /* ORCHID */
    {"2001:20::1", NET_ADDRESS_RESERVED},    /* ORCHIDv2 */
    {"2001:30::1", NET_ADDRESS_RESERVED},    /* drone remote ID */
    {"2001:1ff:ffff::1", NET_ADDRESS_RESERVED},
    {"2001:200::1", NET_ADDRESS_PUBLIC},
    {"2001:4860:4860::8888", NET_ADDRESS_PUBLIC},
    {"2001:db7:ffff::1", NET_ADDRESS_PUBLIC},
    {"2001:db8::1", NET_ADDRESS_DOCUMENTATION},
    {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", NET_ADDRESS_DOCUMENTATION},
    {"2001:db9::1", NET_ADDRESS_PUBLIC},
    {"2002::1", NET_ADDRESS_TRANSLATED},
    {"2002:7f00:1::1", NET_ADDRESS_TRANSLATED},
    {"2002:ffff:ffff::", NET_ADDRESS_TRANSLATED},
    {"2003::1", NET_ADDRESS_PUBLIC},
    {"2606:2800:220:1:248:1893:25c8:1946", NET_ADDRESS_PUBLIC},
    {"2606:2800:220:1:0:5efe:7f00:1", NET_ADDRESS_TRANSLATED},   /* ISATAP */
    {"2606:2800:220:1:200:5efe:7f00:1", NET_ADDRESS_TRANSLATED}, /* ISATAP, universal bit */
    {"2620:4f:8000::1", NET_ADDRESS_RESERVED},
    {"2620:4f:8001::1", NET_ADDRESS_PUBLIC},
    {"3ffe:ffff::1", NET_ADDRESS_PUBLIC},
    {"3fff::1", NET_ADDRESS_DOCUMENTATION},
    {"3fff:fff:ffff::1", NET_ADDRESS_DOCUMENTATION},
    {"3fff:1000::1", NET_ADDRESS_PUBLIC},
    {"4000::1", NET_ADDRESS_RESERVED},
    {"5f00::1", NET_ADDRESS_RESERVED}, /* SRv6, RFC 9602 */
    {"fbff::1", NET_ADDRESS_RESERVED},
    {"fc00::1", NET_ADDRESS_PRIVATE},
    {"fdff:ffff::1", NET_ADDRESS_PRIVATE},
    {"fe00::1", NET_ADDRESS_RESERVED},
    {"fe80::1", NET_ADDRESS_LINK_LOCAL},
    {"febf:ffff::1", NET_ADDRESS_LINK_LOCAL},
    {"fec0::1", NET_ADDRESS_PRIVATE},
    {"ff00::1", NET_ADDRESS_MULTICAST},
    {"ff02::1", NET_ADDRESS_MULTICAST},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NET_ADDRESS_MULTICAST},
};

static void each_range_of_the_registries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip_address address, again;
        char text[IP_ADDRESS_ROOM];
        enum net_address_class class;

        assert_true(ip_address_parse(str_from_c(rows[i].address), &address));
        class = net_address_class(&address);
        if (class != rows[i].class)
            fail_msg("%s is %d, not %d (enum net_address_class)", rows[i].address, (int)class,
                     (int)rows[i].class);
        ip_address_format(&address, text);
        assert_true(ip_address_parse(str_from_c(text), &again));
        assert_true(ip_address_equal(&address, &again));
        assert_true(ip_address_from_bytes(str_make(address.bytes, address.is_v6 ? 16 : 4), &again));
        assert_true(ip_address_equal(&address, &again));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_range_of_the_registries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
