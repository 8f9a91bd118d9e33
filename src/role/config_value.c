#include "role/config_value.h"

#include "base/ascii.h"
#include "net/address_class.h"

#include <string.h>
#include <sys/un.h>

struct unit {
    struct str name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {STR_INIT("K"), 1024},
    {STR_INIT("M"), 1024 * 1024},
    {STR_INIT("G"), 1024 * 1024 * 1024},
    {STR_INIT(""), 1},
};

static const struct unit duration_units[] = {
    {STR_INIT("ms"), 1},
    {STR_INIT("s"), 1000},
    {STR_INIT("m"), 60 * 1000},
    {STR_INIT("h"), 60 * 60 * 1000},
    {STR_INIT("d"), 24 * 60 * 60 * 1000},
};

static bool parse_with_unit(struct str text, const struct unit *units, size_t unit_count,
                            uint64_t *out_value)
{
    size_t digits = 0;
    struct str unit;
    uint64_t value;

    while (digits < text.len && ascii_is_digit(text.ptr[digits]))
        digits++;
    unit = str_from(text, digits);
    if (!parse_u64(str_upto(text, digits), &value))
        return false;
    for (size_t i = 0; i < unit_count; i++) {
        if (str_equal_nocase(unit, units[i].name))
            return !__builtin_mul_overflow(value, units[i].factor, out_value);
    }
    return false;
}

const char *config_parse_size(struct str text, uint64_t *out_bytes)
{
    return parse_with_unit(text, size_units, ARRAY_LEN(size_units), out_bytes)
               ? NULL
               : "not a size; write bytes, or a number with K, M or G, such as 50M";
}

const char *config_parse_duration(struct str text, uint64_t *out_ms)
{
    return parse_with_unit(text, duration_units, ARRAY_LEN(duration_units), out_ms)
               ? NULL
               : "not a duration; write a number with ms, s, m, h or d, such as 75s";
}

const char *config_parse_number(struct str text, uint64_t *out_value)
{
    return parse_u64(text, out_value) ? NULL : "not a number";
}

const char *config_parse_flag(struct str text, bool *out_flag)
{
    static const struct {
        struct str name;
        bool value;
    } names[] = {
        {STR_INIT("yes"), true},   {STR_INIT("true"), true}, {STR_INIT("on"), true},
        {STR_INIT("1"), true},     {STR_INIT("no"), false},  {STR_INIT("false"), false},
        {STR_INIT("off"), false},  {STR_INIT("0"), false},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_equal_nocase(text, names[i].name)) {
            *out_flag = names[i].value;
            return NULL;
        }
    }
    return "neither yes nor no";
}

static const char *parse_host(struct str host, uint16_t port, struct sockaddr_storage *out_address,
                              socklen_t *out_len)
{
    bool is_v6 = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    struct ip_address address;

    if (is_v6)
        host = str_upto(str_from(host, 1), host.len - 2);
    if (!ip_address_parse(host, &address) || address.is_v6 != is_v6)
        return "not an IP address; write it as 127.0.0.1:143 or [::1]:143";
    *out_len = net_address_to_socket(&address, port, out_address);
    return NULL;
}

const char *config_parse_address(struct str text, struct sockaddr_storage *out_address,
                                 socklen_t *out_len)
{
    ptrdiff_t colon = str_last_index(text, ':');
    uint32_t port;

    if (colon < 0 || !parse_u32(str_from(text, (size_t)colon + 1), &port) || port == 0 ||
        port > 65535)
        return "no port; write an address as 127.0.0.1:143 or [::1]:143";
    memset(out_address, 0, sizeof(*out_address));
    return parse_host(str_upto(text, (size_t)colon), (uint16_t)port, out_address, out_len);
}

const char *config_parse_server(struct str text, struct sockaddr_storage *out_address,
                                socklen_t *out_len)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};

    if (text.len == 0 || text.ptr[0] != '/')
        return config_parse_address(text, out_address, out_len);
    if (text.len >= sizeof(local.sun_path))
        return "the path of the socket is too long";
    memcpy(local.sun_path, text.ptr, text.len);
    memset(out_address, 0, sizeof(*out_address));
    memcpy(out_address, &local, sizeof(local));
    *out_len = sizeof(local);
    return NULL;
}

const char *config_parse_hostname(struct str text)
{
    size_t label = 0;

    if (text.len == 0 || text.len > 253)
        return "not a host name";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '.' && label > 0 && text.ptr[i - 1] != '-') {
            label = 0;
            continue;
        }
        label++;
        if (label > 63 || !(ascii_is_alnum(c) || (c == '-' && label > 1)))
            return "not a host name; letters, digits, hyphens and dots make one";
    }
    return label == 0 || text.ptr[text.len - 1] == '-' ? "not a host name" : NULL;
}

/* ---- networks ---- */

const char *config_parse_network(struct str text, struct ip_network *out)
{
    ptrdiff_t slash = str_index(text, '/');
    struct ip_network network;

    if (!ip_network_parse(text, &network))
        return slash >= 0 && ip_address_parse(str_upto(text, (size_t)slash), &network.address)
                   ? "not a network; behind the slash stands how many bits count"
                   : "not a network; write it as 192.0.2.0/24 or 2001:db8::/32";
    if (ip_address_map(&network.address))
        network.prefix_bits += IP_V6_BITS - IP_V4_BITS;
    *out = network;
    return NULL;
}

bool config_network_contains(const struct ip_network *network, struct str address)
{
    struct ip_address ip;

    if (!ip_address_parse(address, &ip))
        return false;
    (void)ip_address_map(&ip);
    return ip_network_has(network, &ip);
}

/* ---- block lists ---- */

/* 1*DIGIT ["." 1*3DIGIT], in thousandths */
static bool parse_points(struct str text, uint64_t *out)
{
    ptrdiff_t dot = str_index(text, '.');
    struct str decimals = dot < 0 ? STR("0") : str_from(text, (size_t)dot + 1);
    uint32_t whole, part;

    if (!parse_u32(dot < 0 ? text : str_upto(text, (size_t)dot), &whole) || whole > 1000000 ||
        decimals.len > 3 || !parse_u32(decimals, &part))
        return false;
    for (size_t i = decimals.len; i < 3; i++)
        part *= 10;
    *out = (uint64_t)whole * 1000 + part;
    return true;
}

const char *config_parse_block_list(struct str text, struct str *out_zone, uint64_t *out_score)
{
    ptrdiff_t blank = str_last_index(str_trim(text), ' ');

    text = str_trim(text);
    if (blank < 0 || !parse_points(str_from(text, (size_t)blank + 1), out_score))
        return "not a block list; write its zone and its points, such as \"bl.example.org 3\"";
    *out_zone = str_trim(str_upto(text, (size_t)blank));
    return config_parse_hostname(*out_zone);
}
