/* IP addresses and networks: from text, to text, and which address is in which network. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/str.h"

enum {
    IP_ADDRESS_ROOM = 46, /* as text, with a NUL */
    IP_V4_BITS = 32,
    IP_V6_BITS = 128,
};

struct ip_address {
    bool is_v6;
    unsigned char bytes[16]; /* of IPv4: the first four */
};

/* The forms of RFC 4291 §2.2, and four decimal numbers; no zone, brackets or leading zeros. */
bool ip_address_parse(struct str text, struct ip_address *out);
/* `len` 4 or 16: as in A and AAAA records. */
bool ip_address_from_bytes(struct str bytes, struct ip_address *out);
/* RFC 5952. */
void ip_address_format(const struct ip_address *address, char out[static IP_ADDRESS_ROOM]);
bool ip_address_equal(const struct ip_address *a, const struct ip_address *b);
/* 4 or 16; what ip_address_from_bytes takes. */
size_t ip_address_len(const struct ip_address *address);
/* An IPv4 address that is mapped into IPv6 (::ffff:192.0.2.1) becomes that address; false: it is
 * none. And the other way round: false: it is IPv6 already. */
bool ip_address_unmap(struct ip_address *address);
bool ip_address_map(struct ip_address *address);

/* "192.0.2.0/24", "2001:db8::/32", or one address. */
struct ip_network {
    struct ip_address address;
    unsigned prefix_bits;
};

/* That address alone. */
struct ip_network ip_network_of(const struct ip_address *address);
/* What is mapped into IPv6 is IPv4: ::ffff:192.0.2.0/24 and ::ffff:192.0.2.0/120 are 192.0.2.0/24,
 * and never all that begins with so many bits. Between 32 and 96 bits it is none. */
bool ip_network_parse(struct str text, struct ip_network *out);
/* IPv4 and IPv6 are apart, as the bytes are: who wants them together maps, or unmaps, both. */
bool ip_network_has(const struct ip_network *network, const struct ip_address *address);
/* To a prefix of at most as many bits as it has; what is behind them becomes zero. */
void ip_network_cut(struct ip_network *network, unsigned prefix_bits);

/* Whether the first `bits` of both are the same. */
bool ip_has_prefix(const unsigned char *bytes, const unsigned char *prefix, unsigned bits);

/*
 * What is counted as one client: an IPv4 address (also when it is mapped into IPv6), or the /64
 * that an IPv6 address lies in, which is what one subscriber has; other text as it is. Gives how
 * many bytes were written.
 */
enum { IP_CLIENT_KEY_MAX = 46 };
size_t ip_client_key(struct str address, unsigned char out[IP_CLIENT_KEY_MAX]);

#endif
