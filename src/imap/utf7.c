#include "imap/utf7.h"

#include "base/ascii.h"

#include <stdint.h>

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static bool is_direct(uint32_t code)
{
    return code >= 0x20 && code <= 0x7e;
}

/* Takes one character off the front of *text; U+FFFD for a byte that begins none. */
static uint32_t take_utf8(struct str *text)
{
    unsigned char first = (unsigned char)text->ptr[0];
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t code = first;

    if (!str_is_utf8(str_upto(*text, len)) || text->len < len) {
        *text = str_from(*text, 1);
        return first == 0 ? 0 : 0xfffd;
    }
    if (len > 1)
        code = first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((unsigned char)text->ptr[i] & 0x3fu);
    *text = str_from(*text, len);
    return code;
}

struct bits {
    struct buf *out;
    uint32_t value;
    unsigned count;
};

static void put_unit(struct bits *bits, uint32_t unit)
{
    bits->value = (bits->value & 0x3f) << 16 | unit;
    bits->count += 16;
    while (bits->count >= 6) {
        bits->count -= 6;
        buf_put(bits->out, str_make(DIGITS + (bits->value >> bits->count & 0x3f), 1));
    }
}

static void end_shift(struct bits *bits)
{
    if (bits->count > 0)
        buf_put(bits->out, str_make(DIGITS + (bits->value << (6 - bits->count) & 0x3f), 1));
    bits->count = 0;
    bits->value = 0;
    buf_put(bits->out, STR("-"));
}

void imap_utf7_encode(struct str name, struct buf *out)
{
    struct bits bits = {.out = out};
    bool is_shifted = false;

    while (name.len > 0) {
        uint32_t code = take_utf8(&name);

        if (is_direct(code)) {
            char c = (char)code;

            if (is_shifted)
                end_shift(&bits);
            is_shifted = false;
            buf_put(out, c == '&' ? STR("&-") : str_make(&c, 1));
            continue;
        }
        if (!is_shifted)
            buf_put(out, STR("&"));
        is_shifted = true;
        if (code >= 0x10000) {
            put_unit(&bits, 0xd800 + ((code - 0x10000) >> 10));
            put_unit(&bits, 0xdc00 + ((code - 0x10000) & 0x3ff));
        } else {
            put_unit(&bits, code);
        }
    }
    if (is_shifted)
        end_shift(&bits);
}

static void put_utf8(struct buf *out, uint32_t code)
{
    char bytes[4];
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    for (size_t i = len; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(len == 1 ? code : (0xf00u >> len & 0xff) | code);
    buf_put(out, str_make(bytes, len));
}

static int digit_value(char c)
{
    if (ascii_is_upper(c))
        return c - 'A';
    if (ascii_is_lower(c))
        return c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == ',' ? 63 : -1;
}

/* The characters of one shift, between "&" and "-". */
static enum err decode_shift(struct str shift, struct buf *out)
{
    uint32_t bits = 0, high = 0;
    unsigned count = 0;

    for (size_t i = 0; i < shift.len; i++) {
        int value = digit_value(shift.ptr[i]);
        uint32_t unit;

        if (value < 0)
            return ERR_INVALID;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count < 16)
            continue;
        count -= 16;
        unit = bits >> count & 0xffff;
        bits &= (1u << count) - 1;
        if (high != 0) {
            if (unit < 0xdc00 || unit > 0xdfff)
                return ERR_INVALID;
            put_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
            high = 0;
        } else if (unit >= 0xd800 && unit <= 0xdbff) {
            high = unit;
        } else if ((unit >= 0xdc00 && unit <= 0xdfff) || is_direct(unit) || unit == 0) {
            return ERR_INVALID;
        } else {
            put_utf8(out, unit);
        }
    }
    return high != 0 || count >= 6 || bits != 0 ? ERR_INVALID : ERR_OK;
}

enum err imap_utf7_decode(struct str encoded, struct buf *out)
{
    bool was_shift = false;

    while (encoded.len > 0) {
        char c = encoded.ptr[0];
        ptrdiff_t end;

        if (!is_direct((unsigned char)c))
            return ERR_INVALID;
        if (c != '&') {
            buf_put(out, str_make(&c, 1));
            encoded = str_from(encoded, 1);
            was_shift = false;
            continue;
        }
        end = str_index(encoded, '-');
        if (end < 0)
            return ERR_INVALID;
        if (end == 1) {
            buf_put(out, STR("&"));
            was_shift = false;
        } else {
            struct str shift = str_from(str_upto(encoded, (size_t)end), 1);

            if (was_shift || decode_shift(shift, out) != ERR_OK)
                return ERR_INVALID;
            was_shift = true;
        }
        encoded = str_from(encoded, (size_t)end + 1);
    }
    return ERR_OK;
}
