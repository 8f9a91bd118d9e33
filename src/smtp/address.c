/* The grammar of addresses. Views into the peer's text go in, canonical copies come out. */
#include "smtp/address.h"

#include "base/ascii.h"
#include "base/ip.h"

#include <string.h>

/* atext (RFC 5322 §3.2.3), and any byte of a UTF-8 sequence (RFC 6531 §3.3). */
static bool is_atext(char c)
{
    if (ascii_is_alnum(c) || ascii_is_8bit(c))
        return true;
    return c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL;
}

/* Dot-string = Atom *("." Atom) */
static bool is_dot_string(struct str text)
{
    bool is_after_dot = true;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.') {
            if (is_after_dot)
                return false;
            is_after_dot = true;
        } else if (!is_atext(text.ptr[i])) {
            return false;
        } else {
            is_after_dot = false;
        }
    }
    return !is_after_dot;
}

/*
 * Quoted-string = DQUOTE *QcontentSMTP DQUOTE
 * QcontentSMTP  = qtextSMTP / quoted-pairSMTP ("\" and a graphic or space)
 *
 * The length of the one at the front, 0: none. `out` (as long as the text) gets its meaning.
 */
static size_t read_quoted(struct str text, char *out, size_t *out_len)
{
    size_t i = 1, len = 0;

    if (text.len == 0 || text.ptr[0] != '"')
        return 0;
    while (i < text.len && text.ptr[i] != '"') {
        if (text.ptr[i] == '\\') {
            if (++i == text.len || ascii_is_8bit(text.ptr[i]))
                return 0;
        }
        if (ascii_is_control(text.ptr[i]))
            return 0;
        out[len++] = text.ptr[i++];
    }
    if (i == text.len)
        return 0;
    *out_len = len;
    return i + 1;
}

/* The canonical form: bare where a dot-string says it, else quoted with as few "\" as possible. */
static struct str write_local(struct arena *arena, struct str meaning)
{
    char *out;
    size_t len = 0;

    if (is_dot_string(meaning))
        return arena_copy(arena, meaning);
    out = arena_alloc(arena, meaning.len * 2 + 2, 1);
    out[len++] = '"';
    for (size_t i = 0; i < meaning.len; i++) {
        if (meaning.ptr[i] == '"' || meaning.ptr[i] == '\\')
            out[len++] = '\\';
        out[len++] = meaning.ptr[i];
    }
    out[len++] = '"';
    return str_make(out, len);
}

bool smtp_domain_is_valid(struct str domain)
{
    struct str rest = domain, label;

    if (domain.len == 0 || domain.len > SMTP_DOMAIN_MAX || !str_is_utf8(domain))
        return false;
    while (str_split(&rest, '.', &label)) {
        if (label.len == 0 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char c = label.ptr[i];

            if (!ascii_is_alnum(c) && !ascii_is_8bit(c) && c != '-' && c != '_')
                return false;
        }
    }
    return true;
}

/*
 * address-literal         = "[" ( IPv4 / "IPv6:" IPv6 / General-address-literal ) "]"
 * General-address-literal = Standardized-tag ":" 1*dcontent
 */
static bool is_literal(struct str text)
{
    struct ip_address address;
    struct str inner, tag;

    if (text.len < 3 || text.len > SMTP_LITERAL_MAX || text.ptr[0] != '[' ||
        text.ptr[text.len - 1] != ']')
        return false;
    inner = str_make(text.ptr + 1, text.len - 2);
    for (size_t i = 0; i < inner.len; i++) {
        if (inner.ptr[i] <= ' ' || inner.ptr[i] > '~' || strchr("[\\]", inner.ptr[i]) != NULL)
            return false;
    }
    if (str_index(inner, ':') < 0)
        return ip_address_parse(inner, &address);
    str_split(&inner, ':', &tag);
    if (inner.ptr == NULL || inner.len == 0 || tag.len == 0)
        return false;
    if (str_equal_nocase(tag, STR("IPv6")))
        return ip_address_parse(inner, &address) && address.is_v6;
    for (size_t i = 0; i < tag.len; i++) {
        if (!ascii_is_alnum(tag.ptr[i]) && tag.ptr[i] != '-')
            return false;
    }
    return tag.ptr[tag.len - 1] != '-';
}

/* Local-part at the front of the text; its length in *out_len, canonical in *out_local. */
static enum smtp_address_problem read_local(struct arena *arena, struct str text,
                                            size_t *out_len, struct str *out_local)
{
    struct str meaning;
    size_t len, meaning_len;

    if (text.len > 0 && text.ptr[0] == '"') {
        char *out = arena_alloc(arena, text.len, 1);

        len = read_quoted(text, out, &meaning_len);
        if (len == 0)
            return SMTP_ADDRESS_SYNTAX;
        meaning = str_make(out, meaning_len);
    } else {
        for (len = 0; len < text.len && (is_atext(text.ptr[len]) || text.ptr[len] == '.'); len++)
            ;
        meaning = str_upto(text, len);
        if (!is_dot_string(meaning))
            return SMTP_ADDRESS_SYNTAX;
    }
    *out_local = write_local(arena, meaning);
    if (out_local->len > SMTP_LOCAL_PART_MAX)
        return SMTP_ADDRESS_TOO_LONG;
    if (!str_is_utf8(meaning))
        return SMTP_ADDRESS_UTF8;
    *out_len = len;
    return SMTP_ADDRESS_OK;
}

enum smtp_address_problem smtp_address_parse(struct arena *arena, struct str text,
                                             struct smtp_address *out)
{
    struct smtp_address address = {0};
    enum smtp_address_problem problem;
    size_t local_len;

    if (text.len > SMTP_LOCAL_PART_MAX * 2 + 2 + 1 + SMTP_DOMAIN_MAX)
        return SMTP_ADDRESS_TOO_LONG;
    problem = read_local(arena, text, &local_len, &address.local);
    if (problem != SMTP_ADDRESS_OK)
        return problem;
    if (local_len == text.len || text.ptr[local_len] != '@')
        return SMTP_ADDRESS_SYNTAX;
    address.domain = str_from(text, local_len + 1);
    if (address.domain.len > SMTP_DOMAIN_MAX)
        return SMTP_ADDRESS_TOO_LONG;
    address.is_literal = is_literal(address.domain);
    if (!address.is_literal && !smtp_domain_is_valid(address.domain))
        return str_is_utf8(address.domain) ? SMTP_ADDRESS_SYNTAX : SMTP_ADDRESS_UTF8;
    address.domain = arena_copy(arena, address.domain);
    if (address.local.len + 1 + address.domain.len + 2 > SMTP_PATH_MAX)
        return SMTP_ADDRESS_TOO_LONG;
    address.text = arena_printf(arena, "%.*s@%.*s", STR_ARG(address.local),
                                STR_ARG(address.domain));
    address.has_utf8 = !str_is_ascii(address.text);
    *out = address;
    return SMTP_ADDRESS_OK;
}

/* The ">" that ends the path; one inside a quoted string does not. */
static bool find_path_end(struct str text, size_t *out_end)
{
    bool is_quoted = false;

    for (size_t i = 1; i < text.len; i++) {
        if (is_quoted && text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '"')
            is_quoted = !is_quoted;
        else if (text.ptr[i] == '>' && !is_quoted) {
            *out_end = i;
            return true;
        }
    }
    return false;
}

/* A-d-l = At-domain *("," At-domain), then ":". Moves *inner behind it. */
static bool skip_route(struct str *inner)
{
    struct str route, hop;

    if (!str_split(inner, ':', &route) || inner->ptr == NULL)
        return false;
    while (str_split(&route, ',', &hop)) {
        if (hop.len < 2 || hop.ptr[0] != '@' || !smtp_domain_is_valid(str_from(hop, 1)))
            return false;
    }
    return true;
}

enum smtp_address_problem smtp_path_parse(struct arena *arena, struct str *rest, bool is_reverse,
                                          struct smtp_address *out)
{
    enum smtp_address_problem problem;
    struct str inner;
    size_t end;

    if (rest->len < 2 || rest->ptr[0] != '<' || !find_path_end(*rest, &end))
        return SMTP_ADDRESS_SYNTAX;
    inner = str_make(rest->ptr + 1, end - 1);
    if (inner.len == 0 && is_reverse) {
        *out = (struct smtp_address){.is_null = true};
    } else if (!is_reverse && str_equal_nocase(inner, STR("Postmaster"))) {
        struct str text = arena_copy(arena, STR("postmaster"));

        *out = (struct smtp_address){.text = text, .local = text, .is_postmaster = true};
    } else {
        if (inner.len > 0 && inner.ptr[0] == '@' && !skip_route(&inner))
            return SMTP_ADDRESS_SYNTAX;
        problem = smtp_address_parse(arena, inner, out);
        if (problem != SMTP_ADDRESS_OK)
            return problem;
    }
    *rest = str_from(*rest, end + 1);
    return SMTP_ADDRESS_OK;
}
