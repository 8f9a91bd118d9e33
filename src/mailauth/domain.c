/* Domains; the Public Suffix List is the one that libpsl has built in. */
#include "mailauth/domain.h"

#include "base/ascii.h"
#include "base/memory.h"

#include <idn2.h>
#include <libpsl.h>
#include <string.h>

enum { UTF8_MAX = 1024 }; /* no longer text becomes a domain name */

/* Letters, digits, hyphens; underscores, for they exist. */
static bool is_valid(struct str domain)
{
    struct str rest = domain, label;

    if (domain.len == 0 || domain.len > MAILAUTH_DOMAIN_MAX)
        return false;
    while (str_split(&rest, '.', &label)) {
        if (label.len == 0 || label.len > MAILAUTH_LABEL_MAX)
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
                return false;
    }
    return true;
}

static bool to_a_labels(struct arena *arena, struct str text, struct str *out)
{
    uint8_t *ascii = NULL;
    char *copy;
    bool is_good;

    if (text.len > UTF8_MAX || !str_is_utf8(text))
        return false;
    copy = mem_copy_text(text.ptr, text.len);
    is_good = idn2_lookup_u8((const uint8_t *)copy, &ascii,
                             IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK;
    if (is_good)
        *out = arena_copy(arena, str_from_c((const char *)ascii));
    idn2_free(ascii);
    mem_free(&copy);
    return is_good;
}

bool mailauth_domain_normal(struct arena *arena, struct str text, struct str *out)
{
    bool has_utf8 = false;
    char *lower;

    if (text.len > 0 && text.ptr[text.len - 1] == '.')
        text.len--;
    for (size_t i = 0; i < text.len; i++)
        has_utf8 = has_utf8 || ascii_is_8bit(text.ptr[i]);
    if (has_utf8 && !to_a_labels(arena, text, &text))
        return false;
    if (!is_valid(text))
        return false;
    lower = arena_alloc(arena, text.len + 1, 1);
    for (size_t i = 0; i < text.len; i++)
        lower[i] = ascii_lower(text.ptr[i]);
    *out = str_make(lower, text.len);
    return true;
}

bool mailauth_domain_is_within(struct str domain, struct str parent)
{
    if (!str_ends_with(domain, parent) || parent.len == 0)
        return false;
    return domain.len == parent.len || domain.ptr[domain.len - parent.len - 1] == '.';
}

struct str mailauth_domain_organization(struct str domain)
{
    char *text = mem_copy_text(domain.ptr, domain.len);
    const char *organization = psl_registrable_domain(psl_builtin(), text);
    struct str found = domain;

    if (organization != NULL)
        found = str_from(domain, domain.len - strlen(organization));
    mem_free(&text);
    return found;
}
