/*
 * Which IP addresses are on the public Internet. Who connects to where a stranger says
 * (webhooks) must not be led to this host, its network, or back to either through a translator: so
 * an address is public only if no entry of the IANA special-purpose registries (RFC 6890 and later)
 * has it, and none embeds another address.
 */
#ifndef NET_ADDRESS_CLASS_H
#define NET_ADDRESS_CLASS_H

#include "base/ip.h"

#include <sys/socket.h>

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

/* For connect: gives how much of *out is used. */
socklen_t net_address_to_socket(const struct ip_address *address, uint16_t port,
                                struct sockaddr_storage *out);

enum net_address_class net_address_class(const struct ip_address *address);

#endif
