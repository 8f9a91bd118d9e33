/* Macro strings. */
#include "mailauth/spf_macro.h"

#include "base/ascii.h"
#include "base/task.h"

#include <string.h>

/*
 * macro-expand = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-"
 * transformers = *DIGIT [ "r" ]
 */
struct expansion {
    char letter;     /* in lower case; '%', '_' or '-' for those */
    bool is_escaped; /* it was in upper case */
    bool is_reversed;
    uint32_t parts_kept; /* 0: all */
    struct str delimiters;
};

static bool is_letter(char c, bool is_explanation)
{
    return memchr("slodiphv", c, 8) != NULL || (is_explanation && memchr("crt", c, 3) != NULL);
}

/* "{" … "}" behind a "%"; the length, 0: not valid. */
static size_t parse_braces(struct str text, bool is_explanation, struct expansion *out)
{
    size_t i = 1, start;

    if (text.len < 3)
        return 0;
    out->letter = ascii_lower(text.ptr[i]);
    out->is_escaped = ascii_is_upper(text.ptr[i]);
    if (!is_letter(out->letter, is_explanation))
        return 0;
    start = ++i;
    while (i < text.len && ascii_is_digit(text.ptr[i]))
        i++;
    if (i > start) {
        if (!parse_u32(str_make(text.ptr + start, i - start), &out->parts_kept))
            out->parts_kept = UINT32_MAX; /* more than there can be */
        if (out->parts_kept == 0)
            return 0;
    }
    if (i < text.len && ascii_lower(text.ptr[i]) == 'r') {
        out->is_reversed = true;
        i++;
    }
    start = i;
    while (i < text.len && memchr(".-+,/_=", text.ptr[i], 7) != NULL)
        i++;
    out->delimiters = str_make(text.ptr + start, i - start);
    return i < text.len && text.ptr[i] == '}' ? i + 1 : 0;
}

/* What begins with a "%"; the length of all of it, 0: not valid. */
static size_t parse_expansion(struct str text, bool is_explanation, struct expansion *out)
{
    size_t len;

    *out = (struct expansion){0};
    if (text.len < 2)
        return 0;
    if (memchr("%_-", text.ptr[1], 3) != NULL) {
        out->letter = text.ptr[1];
        return 2;
    }
    if (text.ptr[1] != '{')
        return 0;
    len = parse_braces(str_from(text, 1), is_explanation, out);
    return len == 0 ? 0 : len + 1;
}

/* Reads it through; *out_tail is where what follows the last expansion begins. */
static bool walk(struct str text, bool is_explanation, size_t *out_tail)
{
    struct expansion expansion;
    size_t i = 0;

    *out_tail = 0;
    while (i < text.len) {
        char c = text.ptr[i];

        if (c == '%') {
            size_t len = parse_expansion(str_from(text, i), is_explanation, &expansion);

            if (len == 0)
                return false;
            i += len;
            *out_tail = i;
        } else if (c > ' ' && c <= '~') {
            i++;
        } else if (is_explanation && c == ' ') {
            i++; /* explain-string = *( macro-string / SP ) */
        } else {
            return false;
        }
    }
    return true;
}

bool spf_macro_is_valid(struct str text, bool is_explanation)
{
    size_t tail;

    return walk(text, is_explanation, &tail);
}

/*
 * toplabel = ( *alphanum ALPHA *alphanum ) /
 *            ( 1*alphanum "-" *( alphanum / "-" ) alphanum )
 */
static bool is_top_label(struct str label)
{
    bool has_other = false; /* than digits */

    if (label.len == 0 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-')
            return false;
        has_other = has_other || !ascii_is_digit(label.ptr[i]);
    }
    return has_other;
}

bool spf_macro_is_domain(struct str text)
{
    size_t tail;
    ptrdiff_t dot;

    if (text.len == 0 || !walk(text, false, &tail))
        return false;
    if (tail == text.len)
        return true;
    text = str_from(text, tail);
    if (text.ptr[text.len - 1] == '.')
        text.len--;
    dot = str_last_index(text, '.');
    return dot >= 0 && is_top_label(str_from(text, (size_t)dot + 1));
}

/* RFC 3986 §2.3: all but the unreserved characters. */
static enum err put_escaped(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
            TRY(buf_append_byte(out, c));
        else
            TRY(buf_printf(out, "%%%02X", (unsigned)(unsigned char)c));
    }
    return ERR_OK;
}

static enum err put(struct buf *out, const struct expansion *expansion, struct str text)
{
    return expansion->is_escaped ? put_escaped(out, text) : buf_append(out, text);
}

static size_t split(struct str value, struct str delimiters, struct str *parts)
{
    size_t count = 0, start = 0;

    for (size_t i = 0; i <= value.len; i++) {
        if (i < value.len && str_index(delimiters, value.ptr[i]) < 0)
            continue;
        parts[count++] = str_make(value.ptr + start, i - start);
        start = i + 1;
    }
    return count;
}

/* The value in the parts that are kept, joined by dots (§7.3). */
static enum err put_parts(const struct spf_macros *macros, const struct expansion *expansion,
                          struct str value, struct buf *out)
{
    struct str delimiters = expansion->delimiters.len > 0 ? expansion->delimiters : STR(".");
    size_t count = split(value, delimiters, macros->parts);
    size_t kept =
        expansion->parts_kept == 0 || expansion->parts_kept > count ? count : expansion->parts_kept;

    for (size_t i = 0; i < kept; i++) {
        /* The last ones; reversed, those are the first ones from back to front. */
        size_t at = expansion->is_reversed ? kept - 1 - i : count - kept + i;

        if (i > 0)
            TRY(buf_append_byte(out, '.'));
        TRY(put(out, expansion, macros->parts[at]));
    }
    return ERR_OK;
}

/* Into `room` what is put together here; else a view. */
static struct str value_of(const struct spf_macros *macros, char letter, struct buf *room)
{
    switch (letter) {
    case 's':
        buf_putf(room, "%.*s@%.*s", STR_ARG(macros->local), STR_ARG(macros->sender_domain));
        return buf_str(room);
    case 'l':
        return macros->local;
    case 'o':
        return macros->sender_domain;
    case 'd':
        return macros->domain;
    case 'i':
        return macros->labels;
    case 'p':
        return macros->confirmed_name(macros->owner);
    case 'h':
        return macros->helo;
    case 'v':
        return macros->family;
    case 'c':
        return macros->address;
    case 'r':
        return macros->receiver;
    case 't':
        buf_putf(room, "%lld", (long long)macros->now_s);
        return buf_str(room);
    default:
        return STR("");
    }
}

static enum err put_expansion(const struct spf_macros *macros, const struct expansion *expansion,
                              struct buf *out)
{
    CLEANUP(buf_free) struct buf room;
    struct str value;

    buf_init(&room, SIZE_MAX);
    if (expansion->letter == '%')
        return buf_append(out, STR("%"));
    if (expansion->letter == '_')
        return buf_append(out, STR(" "));
    if (expansion->letter == '-')
        return buf_append(out, STR("%20"));
    value = str_upto(value_of(macros, expansion->letter, &room), SPF_VALUE_MAX);
    if (expansion->delimiters.len == 0 && !expansion->is_reversed && expansion->parts_kept == 0)
        return put(out, expansion, value);
    return put_parts(macros, expansion, value, out);
}

enum err spf_macro_expand(const struct spf_macros *macros, struct str text, struct buf *out)
{
    while (text.len > 0) {
        ptrdiff_t percent = str_index(text, '%');
        struct expansion expansion;
        size_t len;

        TRY(buf_append(out, str_upto(text, percent < 0 ? text.len : (size_t)percent)));
        if (percent < 0)
            return ERR_OK;
        text = str_from(text, (size_t)percent);
        len = parse_expansion(text, true, &expansion);
        if (len == 0)
            return ERR_INVALID;
        TRY(put_expansion(macros, &expansion, out));
        text = str_from(text, len);
    }
    return ERR_OK;
}
