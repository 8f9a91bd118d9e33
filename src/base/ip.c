#include "base/ip.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum { CLIENT_V6_BYTES = 8 };

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 §2.5.5.2 */

bool ip_address_parse(struct str text, struct ip_address *out)
{
    struct ip_address address = {.is_v6 = str_index(text, ':') >= 0};
    char copy[IP_ADDRESS_ROOM] = {0};

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    if (inet_pton(address.is_v6 ? AF_INET6 : AF_INET, copy, address.bytes) != 1)
        return false;
    *out = address;
    return true;
}

bool ip_address_from_bytes(struct str bytes, struct ip_address *out)
{
    if (bytes.len != 4 && bytes.len != 16)
        return false;
    *out = (struct ip_address){.is_v6 = bytes.len == 16};
    memcpy(out->bytes, bytes.ptr, bytes.len);
    return true;
}

void ip_address_format(const struct ip_address *address, char out[static IP_ADDRESS_ROOM])
{
    const char *text =
        inet_ntop(address->is_v6 ? AF_INET6 : AF_INET, address->bytes, out, IP_ADDRESS_ROOM);

    assert(text != NULL);
}

size_t ip_address_len(const struct ip_address *address)
{
    return address->is_v6 ? 16 : 4;
}

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b)
{
    return a->is_v6 == b->is_v6 && memcmp(a->bytes, b->bytes, ip_address_len(a)) == 0;
}

bool ip_address_unmap(struct ip_address *address)
{
    if (!address->is_v6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
        return false;
    address->is_v6 = false;
    memmove(address->bytes, address->bytes + sizeof(mapped), 4);
    return true;
}

bool ip_address_map(struct ip_address *address)
{
    if (address->is_v6)
        return false;
    address->is_v6 = true;
    memmove(address->bytes + sizeof(mapped), address->bytes, 4);
    memcpy(address->bytes, mapped, sizeof(mapped));
    return true;
}

struct ip_network ip_network_of(const struct ip_address *address)
{
    return (struct ip_network){*address, address->is_v6 ? IP_V6_BITS : IP_V4_BITS};
}

/* Of IPv4 addresses that are mapped into IPv6: their own bits, counted in IPv6 or as everybody
 * does. */
static bool unmap_network(struct ip_network *network)
{
    if (!ip_address_unmap(&network->address))
        return true;
    if (network->prefix_bits >= IP_V6_BITS - IP_V4_BITS)
        network->prefix_bits -= IP_V6_BITS - IP_V4_BITS;
    return network->prefix_bits <= IP_V4_BITS;
}

/* address ["/" bits] */
bool ip_network_parse(struct str text, struct ip_network *out)
{
    ptrdiff_t slash = str_index(text, '/');
    struct ip_address address;
    struct ip_network network;
    uint32_t bits;

    if (!ip_address_parse(slash < 0 ? text : str_upto(text, (size_t)slash), &address))
        return false;
    network = ip_network_of(&address);
    if (slash >= 0) {
        if (!parse_u32(str_from(text, (size_t)slash + 1), &bits) || bits > network.prefix_bits)
            return false;
        network.prefix_bits = bits;
    }
    if (!unmap_network(&network))
        return false;
    *out = network;
    return true;
}

bool ip_has_prefix(const unsigned char *bytes, const unsigned char *prefix, unsigned bits)
{
    size_t whole = bits / 8;
    unsigned char mask = (unsigned char)(0xff00u >> (bits % 8));

    return memcmp(bytes, prefix, whole) == 0 &&
           (mask == 0 || ((bytes[whole] ^ prefix[whole]) & mask) == 0);
}

bool ip_network_has(const struct ip_network *network, const struct ip_address *address)
{
    return network->address.is_v6 == address->is_v6 &&
           ip_has_prefix(address->bytes, network->address.bytes, network->prefix_bits);
}

void ip_network_cut(struct ip_network *network, unsigned prefix_bits)
{
    unsigned char *bytes = network->address.bytes;

    assert(prefix_bits <= network->prefix_bits);
    for (unsigned i = 0; i < ip_address_len(&network->address); i++) {
        if (prefix_bits <= 8 * i)
            bytes[i] = 0;
        else if (prefix_bits < 8 * i + 8)
            bytes[i] &= (unsigned char)(0xff00u >> (prefix_bits % 8));
    }
    network->prefix_bits = prefix_bits;
}

size_t ip_client_key(struct str address, unsigned char out[IP_CLIENT_KEY_MAX])
{
    struct ip_address ip;

    address = str_upto(address, IP_CLIENT_KEY_MAX - 1);
    if (!ip_address_parse(address, &ip)) {
        if (address.len > 0)
            memcpy(out, address.ptr, address.len);
        return address.len;
    }
    (void)ip_address_unmap(&ip);
    if (ip.is_v6) {
        memcpy(out, ip.bytes, CLIENT_V6_BYTES);
        return CLIENT_V6_BYTES;
    }
    memcpy(out, ip.bytes, 4);
    return 4;
}
