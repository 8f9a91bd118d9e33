#include "base/str.h"

#include "base/ascii.h"

#include <string.h>

struct str str_from_c(const char *text)
{
    return (struct str){text, text == NULL ? 0 : strlen(text)};
}

struct str str_make(const void *bytes, size_t len)
{
    return (struct str){bytes, len};
}

bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    return true;
}

int str_compare(struct str a, struct str b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared == 0 ? 0 : memcmp(a.ptr, b.ptr, shared);

    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

bool str_starts_with(struct str text, struct str prefix)
{
    return text.len >= prefix.len && str_equal(str_upto(text, prefix.len), prefix);
}

bool str_starts_with_nocase(struct str text, struct str prefix)
{
    return text.len >= prefix.len && str_equal_nocase(str_upto(text, prefix.len), prefix);
}

bool str_ends_with(struct str text, struct str suffix)
{
    return text.len >= suffix.len && str_equal(str_from(text, text.len - suffix.len), suffix);
}

ptrdiff_t str_index(struct str text, char byte)
{
    const char *found = text.len == 0 ? NULL : memchr(text.ptr, byte, text.len);

    return found == NULL ? -1 : found - text.ptr;
}

ptrdiff_t str_last_index(struct str text, char byte)
{
    const char *found = text.len == 0 ? NULL : memrchr(text.ptr, byte, text.len);

    return found == NULL ? -1 : found - text.ptr;
}

ptrdiff_t str_find(struct str text, struct str part)
{
    const char *found;

    if (part.len == 0)
        return 0;
    found = text.len < part.len ? NULL : memmem(text.ptr, text.len, part.ptr, part.len);
    return found == NULL ? -1 : found - text.ptr;
}

struct str str_from(struct str text, size_t start)
{
    if (start > text.len)
        start = text.len;
    if (start == 0)
        return text;
    return (struct str){text.ptr + start, text.len - start};
}

struct str str_upto(struct str text, size_t end)
{
    return (struct str){text.ptr, end < text.len ? end : text.len};
}

struct str str_trim(struct str text)
{
    while (text.len > 0 && ascii_is_space(text.ptr[0]))
        text = str_from(text, 1);
    while (text.len > 0 && ascii_is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

bool str_split(struct str *rest, char separator, struct str *out_part)
{
    ptrdiff_t at;

    if (rest->ptr == NULL)
        return false;
    at = str_index(*rest, separator);
    if (at < 0) {
        *out_part = *rest;
        *rest = (struct str){NULL, 0};
        return true;
    }
    *out_part = str_upto(*rest, (size_t)at);
    *rest = str_from(*rest, (size_t)at + 1);
    return true;
}

bool parse_u64(struct str text, uint64_t *out_value)
{
    uint64_t value = 0;

    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i]) || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value))
            return false;
    }
    *out_value = value;
    return true;
}

bool parse_u32(struct str text, uint32_t *out_value)
{
    uint64_t value;

    if (!parse_u64(text, &value) || value > UINT32_MAX)
        return false;
    *out_value = (uint32_t)value;
    return true;
}

bool parse_i64(struct str text, int64_t *out_value)
{
    bool is_negative = str_starts_with(text, STR("-"));
    uint64_t value;

    if (!parse_u64(str_from(text, is_negative ? 1 : 0), &value))
        return false;
    if (value > (uint64_t)INT64_MAX)
        return false;
    *out_value = is_negative ? -(int64_t)value : (int64_t)value;
    return true;
}

/* The length of the well-formed UTF-8 sequence at the beginning of `text`, or 0. */
static size_t utf8_sequence(struct str text)
{
    unsigned char first = (unsigned char)text.ptr[0];
    unsigned char low = 0x80, high = 0xbf;
    size_t len;

    if (first < 0x80)
        return first == 0 ? 0 : 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (text.len < len)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    if (first == 0xed)
        high = 0x9f;
    if (first == 0xf0)
        low = 0x90;
    if (first == 0xf4)
        high = 0x8f;
    if ((unsigned char)text.ptr[1] < low || (unsigned char)text.ptr[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (((unsigned char)text.ptr[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool str_is_ascii(struct str text)
{
    uint64_t word, seen = 0;
    size_t i = 0;

    for (; text.len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, text.ptr + i, sizeof(word));
        seen |= word;
    }
    for (; i < text.len; i++)
        seen |= (unsigned char)text.ptr[i];
    return (seen & UINT64_C(0x8080808080808080)) == 0;
}

bool str_is_utf8(struct str text)
{
    while (text.len > 0) {
        size_t len = utf8_sequence(text);

        if (len == 0)
            return false;
        text = str_from(text, len);
    }
    return true;
}
