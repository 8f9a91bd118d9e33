/* The terms of an SPF record. */
#include "mailauth/spf_term.h"

#include "base/ascii.h"
#include "mailauth/spf_macro.h"

#include <string.h>

enum argument {
    ARGUMENT_NONE,
    ARGUMENT_DOMAIN,        /* ":" domain-spec */
    ARGUMENT_MAYBE_DOMAIN,  /* [ ":" domain-spec ] */
    ARGUMENT_DOMAIN_LENGTH, /* [ ":" domain-spec ] [ dual-cidr-length ] */
    ARGUMENT_NETWORK,       /* ":" network [ cidr-length ] */
};

static const struct {
    struct str name;
    enum spf_term_kind kind;
    enum argument argument;
} mechanisms[] = {
    {STR_INIT("all"), SPF_ALL, ARGUMENT_NONE},
    {STR_INIT("include"), SPF_INCLUDE, ARGUMENT_DOMAIN},
    {STR_INIT("a"), SPF_A, ARGUMENT_DOMAIN_LENGTH},
    {STR_INIT("mx"), SPF_MX, ARGUMENT_DOMAIN_LENGTH},
    {STR_INIT("ptr"), SPF_PTR, ARGUMENT_MAYBE_DOMAIN},
    {STR_INIT("ip4"), SPF_IP4, ARGUMENT_NETWORK},
    {STR_INIT("ip6"), SPF_IP6, ARGUMENT_NETWORK},
    {STR_INIT("exists"), SPF_EXISTS, ARGUMENT_DOMAIN},
};

bool spf_record_is_one(struct str text, struct str *out_terms)
{
    static const struct str version = STR_INIT("v=spf1");

    if (!str_starts_with_nocase(text, version))
        return false;
    *out_terms = str_from(text, version.len);
    return out_terms->len == 0 || out_terms->ptr[0] == ' ';
}

/* "/" and a number without leading zeros at the end of *text is taken off. */
static bool take_length(struct str *text, struct str slashes, unsigned max, unsigned *out_bits,
                        bool *out_is_valid)
{
    size_t digits = 0;
    struct str number;
    uint32_t bits;

    while (digits < text->len && ascii_is_digit(text->ptr[text->len - 1 - digits]))
        digits++;
    number = str_from(*text, text->len - digits);
    if (digits == 0 || !str_ends_with(str_upto(*text, text->len - digits), slashes))
        return false;
    if (!parse_u32(number, &bits) || bits > max || (digits > 1 && number.ptr[0] == '0'))
        *out_is_valid = false;
    else
        *out_bits = bits;
    text->len -= digits + slashes.len;
    return true;
}

/* dual-cidr-length = [ "/" ip4-length ] [ "//" ip6-length ] */
static bool take_lengths(struct str *text, struct spf_term *term)
{
    bool is_valid = true;

    term->bits4 = IP_V4_BITS;
    term->bits6 = IP_V6_BITS;
    (void)take_length(text, STR("//"), IP_V6_BITS, &term->bits6, &is_valid);
    (void)take_length(text, STR("/"), IP_V4_BITS, &term->bits4, &is_valid);
    return is_valid;
}

static bool parse_network(struct str text, struct spf_term *term)
{
    bool is_ip4 = term->kind == SPF_IP4, is_valid = true;
    unsigned *bits = is_ip4 ? &term->bits4 : &term->bits6;

    *bits = is_ip4 ? IP_V4_BITS : IP_V6_BITS;
    (void)take_length(&text, STR("/"), *bits, bits, &is_valid);
    return is_valid && ip_address_parse(text, &term->network) && term->network.is_v6 != is_ip4;
}

/* ":" domain-spec; `is_optional`: or nothing. */
static bool parse_domain(struct str text, bool is_optional, struct spf_term *term)
{
    if (text.len == 0)
        return is_optional;
    if (text.ptr[0] != ':')
        return false;
    term->domain = str_from(text, 1);
    return spf_macro_is_domain(term->domain);
}

static bool parse_argument(enum argument argument, struct str text, struct spf_term *term)
{
    switch (argument) {
    case ARGUMENT_NONE:
        return text.len == 0;
    case ARGUMENT_DOMAIN:
        return parse_domain(text, false, term);
    case ARGUMENT_MAYBE_DOMAIN:
        return parse_domain(text, true, term);
    case ARGUMENT_DOMAIN_LENGTH:
        return take_lengths(&text, term) && parse_domain(text, true, term);
    case ARGUMENT_NETWORK:
        return text.len > 0 && text.ptr[0] == ':' && parse_network(str_from(text, 1), term);
    }
    return false;
}

static bool take_qualifier(struct str *text, enum mailauth_result *out)
{
    static const struct {
        char sign;
        enum mailauth_result result;
    } qualifiers[] = {
        {'+', MAILAUTH_PASS},
        {'-', MAILAUTH_FAIL},
        {'~', MAILAUTH_SOFTFAIL},
        {'?', MAILAUTH_NEUTRAL},
    };

    *out = MAILAUTH_PASS;
    for (size_t i = 0; i < ARRAY_LEN(qualifiers); i++) {
        if (text->len > 0 && text->ptr[0] == qualifiers[i].sign) {
            *out = qualifiers[i].result;
            *text = str_from(*text, 1);
            return true;
        }
    }
    return false;
}

/* directive = [ qualifier ] mechanism */
static bool parse_directive(struct str text, struct spf_term *term)
{
    size_t len = 0;

    (void)take_qualifier(&text, &term->qualifier);
    while (len < text.len && text.ptr[len] != ':' && text.ptr[len] != '/')
        len++;
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++) {
        if (!str_equal_nocase(str_upto(text, len), mechanisms[i].name))
            continue;
        term->kind = mechanisms[i].kind;
        return parse_argument(mechanisms[i].argument, str_from(text, len), term);
    }
    return false;
}

/* name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) */
static bool is_modifier_name(struct str name)
{
    if (name.len == 0 || !ascii_is_alpha(name.ptr[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && memchr("-_.", name.ptr[i], 3) == NULL)
            return false;
    return true;
}

/* modifier = name "=" macro-string; of the two that we know, a domain-spec (§6). */
static bool parse_modifier(struct str name, struct str value, struct spf_term *term)
{
    term->domain = value;
    if (str_equal_nocase(name, STR("redirect")))
        term->kind = SPF_REDIRECT;
    else if (str_equal_nocase(name, STR("exp")))
        term->kind = SPF_EXP;
    else
        term->kind = SPF_UNKNOWN_MODIFIER;
    if (term->kind == SPF_UNKNOWN_MODIFIER)
        return is_modifier_name(name) && spf_macro_is_valid(value, false);
    return spf_macro_is_domain(value);
}

enum err spf_term_next(struct str *rest, struct spf_term *out)
{
    struct str text;

    memset(out, 0, sizeof(*out));
    do {
        if (!str_split(rest, ' ', &text))
            return ERR_NOT_FOUND;
    } while (text.len == 0);
    /* A modifier has its "=" before any ":" or "/" (§4.6.1). */
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '=')
            return parse_modifier(str_upto(text, i), str_from(text, i + 1), out) ? ERR_OK
                                                                                 : ERR_INVALID;
        if (text.ptr[i] == ':' || text.ptr[i] == '/')
            break;
    }
    return parse_directive(text, out) ? ERR_OK : ERR_INVALID;
}

bool spf_terms_are_valid(struct str terms)
{
    unsigned redirects = 0, explanations = 0;
    struct spf_term term;
    enum err err;

    while ((err = spf_term_next(&terms, &term)) == ERR_OK) {
        redirects += term.kind == SPF_REDIRECT;
        explanations += term.kind == SPF_EXP;
    }
    return err == ERR_NOT_FOUND && redirects <= 1 && explanations <= 1;
}
