#include "courier/route.h"

#include "base/ascii.h"
#include "base/ip.h"

#include <idn2.h>

enum { NAME_MAX_LEN = 253 };

static void name_free(char **text)
{
    idn2_free(*text);
    *text = NULL;
}

/* Letters, digits, hyphens and underscores between dots; no label empty or over 63 bytes. */
static bool is_name(struct str name)
{
    struct str label;

    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return false;
    while (str_split(&name, '.', &label)) {
        if (label.len == 0 || label.len > 63)
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
                return false;
    }
    return true;
}

enum err courier_domain_normal(struct task *task, struct arena *arena, struct str domain,
                               struct str *out)
{
    CLEANUP(name_free) char *ascii = NULL;
    struct str copy;
    char *lower;

    if (domain.len > 4 * NAME_MAX_LEN)
        return fail(task, ERR_INVALID, "a domain name that is too long");
    copy = arena_copy(arena, domain);
    if (!str_is_ascii(copy)) {
        if (!str_is_utf8(copy) ||
            idn2_to_ascii_8z(copy.ptr, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
            return fail(task, ERR_INVALID, "an international domain name that is not valid");
        copy = arena_copy(arena, str_from_c(ascii));
    }
    if (!is_name(copy))
        return fail(task, ERR_INVALID, "no domain name");
    lower = ARENA_ARRAY(arena, char, copy.len + 1);
    for (size_t i = 0; i < copy.len; i++)
        lower[i] = ascii_lower(copy.ptr[i]);
    *out = str_make(lower, copy.len);
    return ERR_OK;
}

bool courier_literal_parse(struct str text, struct str *out_address)
{
    struct ip_address address;

    if (text.len < 2 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']')
        return false;
    text = str_make(text.ptr + 1, text.len - 2);
    if (str_starts_with_nocase(text, STR("IPv6:"))) {
        text = str_from(text, 5);
        if (!ip_address_parse(text, &address) || !address.is_v6)
            return false;
    } else if (!ip_address_parse(text, &address) || address.is_v6) {
        return false;
    }
    *out_address = text;
    return true;
}

enum err courier_host_parse(struct task *task, struct arena *arena, struct str text,
                            struct courier_target *out)
{
    ptrdiff_t colon = str_last_index(text, ':');
    struct ip_address address;
    struct str host;
    uint32_t port;

    if (colon <= 0 || !parse_u32(str_from(text, (size_t)colon + 1), &port) || port == 0 ||
        port > 65535)
        return fail(task, ERR_INVALID, "no \"host:port\"");
    host = str_upto(text, (size_t)colon);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_make(host.ptr + 1, host.len - 2);
    else if (str_index(host, ':') >= 0)
        return fail(task, ERR_INVALID, "an IPv6 address needs brackets before its port");
    *out = (struct courier_target){.kind = COURIER_TARGET_HOST, .port = (uint16_t)port};
    if (ip_address_parse(host, &address)) {
        out->host = arena_copy(arena, host);
        return ERR_OK;
    }
    return courier_domain_normal(task, arena, host, &out->host);
}

enum err courier_route_split(struct task *task, struct str text, struct str *out_domain,
                             struct str *out_host)
{
    struct str rest = str_trim(text);

    if (!str_split(&rest, ' ', out_domain) || str_trim(rest).len == 0)
        return fail(task, ERR_INVALID, "a route is \"domain host:port\"");
    *out_host = str_trim(rest);
    return ERR_OK;
}

bool courier_domain_matches(struct str pattern, struct str domain)
{
    if (str_equal(pattern, STR("*")))
        return true;
    if (!str_starts_with(pattern, STR("*.")))
        return str_equal_nocase(pattern, domain);
    pattern = str_from(pattern, 1);
    return domain.len > pattern.len &&
           str_equal_nocase(str_from(domain, domain.len - pattern.len), pattern);
}
