#include "net/url.h"

#include "base/ascii.h"

#include <idn2.h>
#include <string.h>

enum { HOST_MAX = 253, LABEL_MAX = 63, HTTP_PORT = 80, HTTPS_PORT = 443 };

static uint16_t default_port(const struct net_url *url)
{
    return url->is_https ? HTTPS_PORT : HTTP_PORT;
}

/* ---- The host ---- */

static void free_idn(char **text)
{
    if (*text != NULL)
        idn2_free(*text);
    *text = NULL;
}

static struct str lower(struct arena *arena, struct str text)
{
    char *bytes = arena_alloc(arena, text.len + 1, 1);

    for (size_t i = 0; i < text.len; i++)
        bytes[i] = ascii_lower(text.ptr[i]);
    return str_make(bytes, text.len);
}

/* Letters of other scripts, full-width digits and dots among them, become ASCII (UTS #46). */
static bool to_ascii(struct arena *arena, struct str host, struct str *out)
{
    CLEANUP(free_idn) char *ascii = NULL;

    if (str_is_ascii(host)) {
        *out = lower(arena, host);
        return true;
    }
    host = arena_copy(arena, host);
    if (!str_is_utf8(host) ||
        idn2_to_ascii_8z(host.ptr, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    *out = lower(arena, str_from_c(ascii));
    return true;
}

/* Letters, digits, hyphens; and underscores, which some hosts have. */
static bool is_host_name(struct str host)
{
    struct str rest = host, label;

    if (host.len == 0 || host.len > HOST_MAX)
        return false;
    while (str_split(&rest, '.', &label)) {
        if (label.len == 0 || label.len > LABEL_MAX)
            return false;
        for (size_t i = 0; i < label.len; i++) {
            if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
                return false;
        }
    }
    return true;
}

/* One part of an IPv4 address: decimal, octal after 0, hexadecimal after 0x ("0x" alone is 0). */
static bool parse_part(struct str text, uint64_t *out)
{
    uint64_t base = 10, value = 0;

    if (str_starts_with(text, STR("0x"))) {
        base = 16;
        text = str_from(text, 2);
    } else if (text.len > 1 && text.ptr[0] == '0') {
        base = 8;
        text = str_from(text, 1);
    } else if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        uint64_t digit = ascii_is_digit(c)      ? (uint64_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a') + 10
                                                : 99;

        if (digit >= base)
            return false;
        value = value * base + digit;
        if (value > UINT32_MAX)
            return false;
    }
    *out = value;
    return true;
}

/* Does whoever reads addresses by inet_aton's rules try to read this as one? */
static bool ends_in_number(struct str host)
{
    ptrdiff_t dot = str_last_index(host, '.');
    struct str last = str_from(host, (size_t)(dot + 1));
    bool is_decimal = last.len > 0;
    uint64_t value;

    for (size_t i = 0; i < last.len; i++)
        is_decimal = is_decimal && ascii_is_digit(last.ptr[i]);
    return is_decimal || parse_part(last, &value) || str_starts_with(last, STR("0x"));
}

/* "a.b.c.d", "a.b.c", "a.b", "a": the last part fills what is left. */
static bool parse_ipv4(struct str host, struct ip_address *out)
{
    struct str rest = host, text;
    uint64_t parts[4], value = 0;
    size_t count = 0;

    while (str_split(&rest, '.', &text)) {
        if (count == ARRAY_LEN(parts) || !parse_part(text, &parts[count]))
            return false;
        count++;
    }
    for (size_t i = 0; i + 1 < count; i++) {
        if (parts[i] > 255)
            return false;
        value |= parts[i] << (24 - 8 * i);
    }
    if (count == 0 || parts[count - 1] >= UINT64_C(1) << (8 * (5 - count)))
        return false;
    value |= parts[count - 1];
    *out = (struct ip_address){.is_v6 = false};
    for (size_t i = 0; i < 4; i++)
        out->bytes[i] = (unsigned char)(value >> (24 - 8 * i));
    return true;
}

static void set_address(struct arena *arena, struct net_url *url)
{
    char text[IP_ADDRESS_ROOM];

    url->is_address = true;
    ip_address_format(&url->address, text);
    url->host = arena_copy(arena, str_from_c(text));
}

static const char *parse_host(struct arena *arena, struct str text, struct net_url *out)
{
    struct str host;

    if (text.len > 0 && text.ptr[0] == '[') {
        if (text.ptr[text.len - 1] != ']' ||
            !ip_address_parse(str_make(text.ptr + 1, text.len - 2), &out->address) ||
            !out->address.is_v6)
            return "no IPv6 address between the brackets";
        set_address(arena, out);
        return NULL;
    }
    if (text.len > NET_URL_MAX || !to_ascii(arena, text, &host))
        return "the host is no name";
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (!is_host_name(host))
        return "the host is no name";
    if (!ends_in_number(host)) {
        out->host = host;
        return NULL;
    }
    if (!parse_ipv4(host, &out->address))
        return "the host is a number but no address";
    set_address(arena, out);
    return NULL;
}

static const char *parse_authority(struct arena *arena, struct str text, struct net_url *out)
{
    ptrdiff_t bracket = str_last_index(text, ']');
    ptrdiff_t colon = str_last_index(text, ':');
    uint32_t port;

    if (str_index(text, '@') >= 0)
        return "a user or password in a URL is not supported";
    if (str_index(text, '%') >= 0)
        return "the host is no name";
    out->port = default_port(out);
    if (colon > bracket) {
        struct str digits = str_from(text, (size_t)colon + 1);

        if (digits.len > 0) {
            if (digits.len > 5 || !parse_u32(digits, &port) || port == 0 || port > UINT16_MAX)
                return "the port is none";
            out->port = (uint16_t)port;
        }
        text = str_upto(text, (size_t)colon);
    }
    return parse_host(arena, text, out);
}

/* ---- The rest ---- */

/* Only what may stand in a request line; bytes over 127 are written as %XX. */
static const char *take_target(struct arena *arena, struct str text, struct str *out)
{
    static const char digits[] = "0123456789ABCDEF";
    char *bytes = arena_alloc(arena, text.len * 3 + 2, 1);
    size_t len = 0;

    if (text.len == 0 || text.ptr[0] != '/')
        bytes[len++] = '/';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c < 0x80) {
            bytes[len++] = (char)c;
            continue;
        }
        bytes[len++] = '%';
        bytes[len++] = digits[c >> 4];
        bytes[len++] = digits[c & 15];
    }
    *out = str_make(bytes, len);
    return NULL;
}

static const char *check_bytes(struct str text)
{
    if (text.len > NET_URL_MAX)
        return "a URL of more than 2048 bytes";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == ' ' || ascii_is_control(c))
            return "a URL with white space in it";
        if (c == '\\' || c == '"' || c == '<' || c == '>' || c == '^' || c == '`' || c == '{' ||
            c == '|' || c == '}')
            return "a URL with characters that none has";
    }
    return NULL;
}

static struct str without_fragment(struct str text)
{
    ptrdiff_t hash = str_index(text, '#');

    return hash < 0 ? text : str_upto(text, (size_t)hash);
}

/* What stands behind "//", for a scheme that is known. */
static const char *parse_hierarchy(struct arena *arena, struct str text, struct net_url *out)
{
    size_t end = 0;
    const char *reason;

    while (end < text.len && text.ptr[end] != '/' && text.ptr[end] != '?')
        end++;
    reason = parse_authority(arena, str_upto(text, end), out);
    return reason != NULL ? reason : take_target(arena, str_from(text, end), &out->target);
}

static bool take_scheme(struct str *text, struct net_url *out)
{
    if (str_starts_with_nocase(*text, STR("https:"))) {
        out->is_https = true;
        *text = str_from(*text, 6);
        return true;
    }
    if (str_starts_with_nocase(*text, STR("http:"))) {
        *text = str_from(*text, 5);
        return true;
    }
    return false;
}

const char *net_url_parse(struct arena *arena, struct str text, struct net_url *out)
{
    struct net_url url = {.is_https = false};
    const char *reason = check_bytes(text);

    if (reason != NULL)
        return reason;
    text = without_fragment(text);
    if (!take_scheme(&text, &url) || !str_starts_with(text, STR("//")))
        return "neither http:// nor https://";
    reason = parse_hierarchy(arena, str_from(text, 2), &url);
    if (reason == NULL)
        *out = url;
    return reason;
}

/* ---- References ---- */

/* RFC 3986 §5.2.4, on the path alone. */
static struct str remove_dots(struct arena *arena, struct str path)
{
    char *bytes = arena_alloc(arena, path.len + 2, 1);
    struct str rest = path, segment;
    size_t len = 0;
    bool is_folder = false;

    if (rest.len > 0 && rest.ptr[0] == '/')
        rest = str_from(rest, 1);
    while (str_split(&rest, '/', &segment)) {
        is_folder = str_equal(segment, STR(".")) || str_equal(segment, STR(".."));
        if (str_equal(segment, STR(".."))) {
            while (len > 0 && bytes[--len] != '/')
                continue;
        } else if (!is_folder) {
            bytes[len++] = '/';
            if (segment.len > 0)
                memcpy(bytes + len, segment.ptr, segment.len);
            len += segment.len;
        }
    }
    if (is_folder || len == 0)
        bytes[len++] = '/';
    return str_make(bytes, len);
}

static struct str path_of(struct str target)
{
    ptrdiff_t mark = str_index(target, '?');

    return mark < 0 ? target : str_upto(target, (size_t)mark);
}

static struct str merge(struct arena *arena, struct str target, struct str reference)
{
    struct str path = path_of(reference);
    struct str query = str_from(reference, path.len);
    struct str base = path_of(target);

    if (reference.len == 0)
        return target;
    if (path.len == 0)
        path = base;
    else if (path.ptr[0] != '/')
        path = arena_printf(arena, "%.*s%.*s",
                            STR_ARG(str_upto(base, (size_t)(str_last_index(base, '/') + 1))),
                            STR_ARG(path));
    path = remove_dots(arena, path);
    return arena_printf(arena, "%.*s%.*s", STR_ARG(path), STR_ARG(query));
}

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) ":" */
static bool has_scheme(struct str text)
{
    size_t i = 0;

    while (i < text.len && (ascii_is_alnum(text.ptr[i]) || text.ptr[i] == '+' ||
                            text.ptr[i] == '-' || text.ptr[i] == '.'))
        i++;
    return i > 0 && i < text.len && text.ptr[i] == ':' && ascii_is_alpha(text.ptr[0]);
}

const char *net_url_resolve(struct arena *arena, const struct net_url *base, struct str reference,
                            struct net_url *out)
{
    struct net_url url = *base;
    const char *reason;

    reference = str_trim(reference);
    if (has_scheme(reference))
        return net_url_parse(arena, reference, out);
    reason = check_bytes(reference);
    if (reason != NULL)
        return reason;
    reference = without_fragment(reference);
    if (str_starts_with(reference, STR("//"))) {
        url = (struct net_url){.is_https = base->is_https};
        reason = parse_hierarchy(arena, str_from(reference, 2), &url);
    } else {
        reason = take_target(arena, merge(arena, base->target, reference), &url.target);
    }
    if (reason == NULL)
        *out = url;
    return reason;
}

/* ---- As text ---- */

struct str net_url_authority(struct arena *arena, const struct net_url *url)
{
    bool is_v6 = url->is_address && url->address.is_v6;
    struct str host = is_v6 ? arena_printf(arena, "[%.*s]", STR_ARG(url->host)) : url->host;

    return url->port == default_port(url)
               ? host
               : arena_printf(arena, "%.*s:%u", STR_ARG(host), (unsigned)url->port);
}

struct str net_url_text(struct arena *arena, const struct net_url *url)
{
    return arena_printf(arena, "%s://%.*s%.*s", url->is_https ? "https" : "http",
                        STR_ARG(net_url_authority(arena, url)), STR_ARG(url->target));
}
