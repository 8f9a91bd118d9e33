/* Normal forms of addresses. Nothing here looks at the database. */
#include "account/address.h"

#include "base/ascii.h"
#include "base/buf.h"

#include <glib.h>
#include <idn2.h>
#include <string.h>

enum { ADDRESS_TEXT_MAX = 1024 };

static void free_idn(char **text)
{
    if (*text != NULL)
        idn2_free(*text);
    *text = NULL;
}

static void free_glib(char **text)
{
    g_free(*text);
    *text = NULL;
}

/* RFC 1123 §2.1: letters, digits and inner hyphens; what IDNA gives is checked again, since pure
 * ASCII passes it unseen. */
static bool is_host_name(struct str text)
{
    struct str rest = text, label;

    if (text.len == 0 || text.len > ACCOUNT_DOMAIN_MAX)
        return false;
    while (str_split(&rest, '.', &label)) {
        if (label.len == 0 || label.len > 63)
            return false;
        if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-')
                return false;
        }
    }
    return true;
}

enum err account_domain_parse(struct task *task, struct str text, struct str *out_domain)
{
    CLEANUP(free_idn) char *ascii = NULL;
    struct str copy;
    char *bytes;

    if (text.len > 0 && text.ptr[text.len - 1] == '.')
        text.len--;
    if (text.len == 0 || text.len > ADDRESS_TEXT_MAX || !str_is_utf8(text))
        return fail(task, ERR_INVALID, "not a domain");
    copy = arena_copy(&task->arena, text);
    if (idn2_to_ascii_8z(copy.ptr, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return fail(task, ERR_INVALID, "not a domain");
    copy = arena_copy(&task->arena, str_from_c(ascii));
    if (!is_host_name(copy))
        return fail(task, ERR_INVALID, "not a domain");
    bytes = arena_alloc(&task->arena, copy.len + 1, 1);
    for (size_t i = 0; i < copy.len; i++)
        bytes[i] = ascii_lower(copy.ptr[i]);
    *out_domain = str_make(bytes, copy.len);
    return ERR_OK;
}

/* RFC 5321 §4.1.2: quoted-string and its quoted-pairs; gives what they stand for. */
static enum err unquote(struct task *task, struct str text, struct str *out)
{
    char *bytes = arena_alloc(&task->arena, text.len, 1);
    size_t used = 0;

    if (text.len < 3 || text.ptr[text.len - 1] != '"')
        return fail(task, ERR_INVALID, "not an address");
    for (size_t i = 1; i < text.len - 1; i++) {
        if (text.ptr[i] == '"')
            return fail(task, ERR_INVALID, "not an address");
        if (text.ptr[i] == '\\' && ++i == text.len - 1)
            return fail(task, ERR_INVALID, "not an address");
        bytes[used++] = text.ptr[i];
    }
    *out = str_make(bytes, used);
    return ERR_OK;
}

static bool is_atext(char c)
{
    return ascii_is_alnum(c) || ascii_is_8bit(c) || strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL;
}

/* RFC 5321 §4.1.2 Dot-string, with RFC 6531 §3.3's UTF-8. */
static bool is_dot_string(struct str text)
{
    struct str rest = text, atom;

    if (text.len == 0)
        return false;
    while (str_split(&rest, '.', &atom)) {
        if (atom.len == 0)
            return false;
        for (size_t i = 0; i < atom.len; i++) {
            if (atom.ptr[i] == '\0' || !is_atext(atom.ptr[i]))
                return false;
        }
    }
    return true;
}

static enum err normalise_local(struct task *task, struct str text, struct str *out_local)
{
    CLEANUP(free_glib) char *composed = NULL;
    struct str plain = text;
    char *bytes;

    if (text.len > 0 && text.ptr[0] == '"')
        TRY(unquote(task, text, &plain));
    else if (!is_dot_string(text))
        return fail(task, ERR_INVALID, "not an address");
    if (plain.len == 0 || plain.len > ADDRESS_TEXT_MAX || !str_is_utf8(plain))
        return fail(task, ERR_INVALID, "not an address");
    composed = g_utf8_normalize(plain.ptr, (gssize)plain.len, G_NORMALIZE_NFC);
    if (composed == NULL || strlen(composed) > ACCOUNT_LOCAL_MAX)
        return fail(task, ERR_INVALID, "not an address");
    plain = str_from_c(composed);
    bytes = arena_alloc(&task->arena, plain.len + 1, 1);
    for (size_t i = 0; i < plain.len; i++) {
        if (ascii_is_control(plain.ptr[i]))
            return fail(task, ERR_INVALID, "not an address");
        bytes[i] = ascii_lower(plain.ptr[i]);
    }
    *out_local = str_make(bytes, plain.len);
    return ERR_OK;
}

enum err account_address_parse(struct task *task, struct str text,
                               struct account_address *out_address)
{
    ptrdiff_t at = str_last_index(text, '@');
    struct account_address address = {0};
    ptrdiff_t plus;

    if (at <= 0 || text.len > ADDRESS_TEXT_MAX)
        return fail(task, ERR_INVALID, "not an address");
    TRY(normalise_local(task, str_upto(text, (size_t)at), &address.local));
    TRY(account_domain_parse(task, str_from(text, (size_t)at + 1), &address.domain));
    address.base = address.local;
    plus = str_index(address.local, '+');
    if (plus > 0) {
        /* The tag names a folder later, so it keeps its letters' case where it was written plainly;
         * a quoted one is rare enough to take the normal form. */
        ptrdiff_t written = str_index(text, '+');

        address.base = str_upto(address.local, (size_t)plus);
        address.detail = str_from(address.local, (size_t)plus + 1);
        if (text.ptr[0] != '"' && written > 0 && written < at)
            address.detail = arena_copy(&task->arena,
                                        str_upto(str_from(text, (size_t)written + 1),
                                                 (size_t)(at - written - 1)));
    }
    *out_address = address;
    return ERR_OK;
}

struct str account_address_text(struct task *task, struct str local, struct str domain)
{
    struct buf quoted;
    struct str text;

    if (is_dot_string(local))
        return arena_printf(&task->arena, "%.*s@%.*s", STR_ARG(local), STR_ARG(domain));
    buf_init(&quoted, SIZE_MAX);
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            buf_put(&quoted, STR("\\"));
        buf_put(&quoted, str_make(&local.ptr[i], 1));
    }
    text = arena_printf(&task->arena, "\"%.*s\"@%.*s", STR_ARG(buf_str(&quoted)), STR_ARG(domain));
    buf_free(&quoted);
    return text;
}
