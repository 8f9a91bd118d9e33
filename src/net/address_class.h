/*
 * IP addresses, and which of them are on the public Internet. Who connects to where a stranger says
 * (webhooks) must not be led to this host, its network, or back to either through a translator: so
 * an address is public only if no entry of the IANA special-purpose registries (RFC 6890 and later)
 * has it, and none embeds another address.
 */
#ifndef NET_ADDRESS_CLASS_H
#define NET_ADDRESS_CLASS_H

#include "base/str.h"

#include <sys/socket.h>

enum { NET_ADDRESS_ROOM = 46 }; /* as text, with a NUL */

struct net_address {
    bool is_v6;
    unsigned char bytes[16]; /* of IPv4: the first four */
};

enum net_address_class {
    NET_ADDRESS_PUBLIC,
    NET_ADDRESS_UNSPECIFIED, /* 0.0.0.0/8, :: */
    NET_ADDRESS_LOOPBACK,    /* 127.0.0.0/8, ::1 */
    NET_ADDRESS_PRIVATE,     /* RFC 1918, fc00::/7, fec0::/10 */
    NET_ADDRESS_SHARED,      /* 100.64.0.0/10, carriers' NAT (RFC 6598) */
    NET_ADDRESS_LINK_LOCAL,
    NET_ADDRESS_MULTICAST,
    NET_ADDRESS_DOCUMENTATION,
    NET_ADDRESS_BENCHMARKING,
    NET_ADDRESS_TRANSLATED, /* IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo, ISATAP */
    NET_ADDRESS_RESERVED,   /* for protocols, for the future, not global unicast */
};

/* The forms of RFC 4291 §2.2, and four decimal numbers; no zone, brackets or leading zeros. */
bool net_address_parse(struct str text, struct net_address *out);
/* `len` 4 or 16: as in A and AAAA records. */
bool net_address_from_bytes(struct str bytes, struct net_address *out);
/* RFC 5952. */
void net_address_format(const struct net_address *address, char out[static NET_ADDRESS_ROOM]);
socklen_t net_address_to_socket(const struct net_address *address, uint16_t port,
                                struct sockaddr_storage *out);
bool net_address_equal(const struct net_address *a, const struct net_address *b);

enum net_address_class net_address_class(const struct net_address *address);
/* "loopback", "private", … */
const char *net_address_class_name(enum net_address_class class);

/* "192.0.2.0/24", "2001:db8::/32", or one address. */
struct net_network {
    struct net_address address;
    unsigned prefix_bits;
};
bool net_network_parse(struct str text, struct net_network *out);
bool net_network_has(const struct net_network *network, const struct net_address *address);

#endif
