/*
 * The IANA IPv4 and IPv6 Special-Purpose Address Registries as a table. What they call globally
 * reachable but what serves protocols only (AS112, AMT, TURN and PCP anycast) is not public here
 * either: nobody has a server of his own there.
 */
#include "net/address_class.h"

#include "base/macros.h"

#include <netinet/in.h>
#include <string.h>

struct range {
    unsigned char bytes[16];
    unsigned char prefix_bits;
    enum net_address_class class;
};

/* The first that fits decides. */
static const struct range ipv4_ranges[] = {
    {{0}, 8, NET_ADDRESS_UNSPECIFIED},                  /* "this network", RFC 791 §3.2 */
    {{10}, 8, NET_ADDRESS_PRIVATE},                     /* RFC 1918 */
    {{100, 64}, 10, NET_ADDRESS_SHARED},                /* RFC 6598 */
    {{127}, 8, NET_ADDRESS_LOOPBACK},                   /* RFC 1122 §3.2.1.3 */
    {{169, 254}, 16, NET_ADDRESS_LINK_LOCAL},           /* RFC 3927; cloud metadata lives there */
    {{172, 16}, 12, NET_ADDRESS_PRIVATE},               /* RFC 1918 */
    {{192, 0, 0}, 24, NET_ADDRESS_RESERVED},            /* IETF protocols, RFC 6890 §2.1 */
    {{192, 0, 2}, 24, NET_ADDRESS_DOCUMENTATION},       /* TEST-NET-1, RFC 5737 */
    {{192, 31, 196}, 24, NET_ADDRESS_RESERVED},         /* AS112, RFC 7535 */
    {{192, 52, 193}, 24, NET_ADDRESS_RESERVED},         /* AMT, RFC 7450 */
    {{192, 88, 99}, 24, NET_ADDRESS_RESERVED},          /* 6to4 relays, RFC 7526 */
    {{192, 168}, 16, NET_ADDRESS_PRIVATE},              /* RFC 1918 */
    {{192, 175, 48}, 24, NET_ADDRESS_RESERVED},         /* AS112, RFC 7534 */
    {{198, 18}, 15, NET_ADDRESS_BENCHMARKING},          /* RFC 2544 */
    {{198, 51, 100}, 24, NET_ADDRESS_DOCUMENTATION},    /* TEST-NET-2, RFC 5737 */
    {{203, 0, 113}, 24, NET_ADDRESS_DOCUMENTATION},     /* TEST-NET-3, RFC 5737 */
    {{224}, 4, NET_ADDRESS_MULTICAST},                  /* RFC 5771 */
    {{240}, 4, NET_ADDRESS_RESERVED},                   /* RFC 1112 §4, and the broadcast address */
};

static const struct range ipv6_ranges[] = {
    {{0}, 128, NET_ADDRESS_UNSPECIFIED},                              /* RFC 4291 §2.5.2 */
    {{[15] = 1}, 128, NET_ADDRESS_LOOPBACK},                          /* RFC 4291 §2.5.3 */
    {{[10] = 0xff, 0xff}, 96, NET_ADDRESS_TRANSLATED},                /* mapped, RFC 4291 §2.5.5.2 */
    {{0}, 96, NET_ADDRESS_TRANSLATED},                                /* compatible, §2.5.5.1 */
    {{[8] = 0xff, 0xff}, 96, NET_ADDRESS_TRANSLATED},                 /* SIIT, RFC 2765 §2.1 */
    {{0, 0x64, 0xff, 0x9b}, 96, NET_ADDRESS_TRANSLATED},              /* NAT64, RFC 6052 */
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, NET_ADDRESS_TRANSLATED},        /* NAT64, RFC 8215 */
    {{0x20, 0x01}, 32, NET_ADDRESS_TRANSLATED},                       /* Teredo, RFC 4380 */
    {{0x20, 0x01, 0, 2}, 48, NET_ADDRESS_BENCHMARKING},               /* RFC 5180 */
    {{0x20, 0x01}, 23, NET_ADDRESS_RESERVED},                         /* IETF protocols, RFC 2928 */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, NET_ADDRESS_DOCUMENTATION},        /* RFC 3849 */
    {{0x20, 0x02}, 16, NET_ADDRESS_TRANSLATED},                       /* 6to4, RFC 3056 */
    {{0x26, 0x20, 0, 0x4f, 0x80}, 48, NET_ADDRESS_RESERVED},          /* AS112, RFC 7534 */
    {{0x3f, 0xff}, 20, NET_ADDRESS_DOCUMENTATION},                    /* RFC 9637 */
    {{0xfc}, 7, NET_ADDRESS_PRIVATE},                                 /* RFC 4193 */
    {{0xfe, 0x80}, 10, NET_ADDRESS_LINK_LOCAL},                       /* RFC 4291 §2.5.6 */
    {{0xfe, 0xc0}, 10, NET_ADDRESS_PRIVATE},                          /* site-local, RFC 3879 */
    {{0xff}, 8, NET_ADDRESS_MULTICAST},                               /* RFC 4291 §2.7 */
};

static const struct range global_unicast = {{0x20}, 3, NET_ADDRESS_PUBLIC}; /* RFC 4291 §2.4 */

socklen_t net_address_to_socket(const struct ip_address *address, uint16_t port,
                                struct sockaddr_storage *out)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};

    *out = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
    if (address->is_v6) {
        memcpy(&v6.sin6_addr, address->bytes, 16);
        memcpy(out, &v6, sizeof(v6));
        return sizeof(v6);
    }
    memcpy(&v4.sin_addr, address->bytes, 4);
    memcpy(out, &v4, sizeof(v4));
    return sizeof(v4);
}

static bool find(const struct range *ranges, size_t count, const unsigned char *bytes,
                 enum net_address_class *out)
{
    for (size_t i = 0; i < count; i++) {
        if (ip_has_prefix(bytes, ranges[i].bytes, ranges[i].prefix_bits)) {
            *out = ranges[i].class;
            return true;
        }
    }
    return false;
}

/* An interface identifier made of an IPv4 address, under any prefix (RFC 5214 §6.1). */
static bool is_isatap(const unsigned char *bytes)
{
    return (bytes[8] & 0xfc) == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe;
}

enum net_address_class net_address_class(const struct ip_address *address)
{
    const unsigned char *bytes = address->bytes;
    enum net_address_class class = NET_ADDRESS_PUBLIC;

    if (!address->is_v6) {
        (void)find(ipv4_ranges, ARRAY_LEN(ipv4_ranges), bytes, &class);
        return class;
    }
    if (find(ipv6_ranges, ARRAY_LEN(ipv6_ranges), bytes, &class))
        return class;
    if (is_isatap(bytes))
        return NET_ADDRESS_TRANSLATED;
    return ip_has_prefix(bytes, global_unicast.bytes, global_unicast.prefix_bits)
               ? NET_ADDRESS_PUBLIC
               : NET_ADDRESS_RESERVED;
}
