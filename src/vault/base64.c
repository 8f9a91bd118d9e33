/* base64 in lines of one length, both ways (parts.h). */
#include "vault/parts.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum { ENCODE_BLOCK_BYTES = 3 * 1024 };

static const unsigned char digits[256] = {
    ['A'] = 0,  ['B'] = 1,  ['C'] = 2,  ['D'] = 3,  ['E'] = 4,  ['F'] = 5,  ['G'] = 6,  ['H'] = 7,
    ['I'] = 8,  ['J'] = 9,  ['K'] = 10, ['L'] = 11, ['M'] = 12, ['N'] = 13, ['O'] = 14, ['P'] = 15,
    ['Q'] = 16, ['R'] = 17, ['S'] = 18, ['T'] = 19, ['U'] = 20, ['V'] = 21, ['W'] = 22, ['X'] = 23,
    ['Y'] = 24, ['Z'] = 25, ['a'] = 26, ['b'] = 27, ['c'] = 28, ['d'] = 29, ['e'] = 30, ['f'] = 31,
    ['g'] = 32, ['h'] = 33, ['i'] = 34, ['j'] = 35, ['k'] = 36, ['l'] = 37, ['m'] = 38, ['n'] = 39,
    ['o'] = 40, ['p'] = 41, ['q'] = 42, ['r'] = 43, ['s'] = 44, ['t'] = 45, ['u'] = 46, ['v'] = 47,
    ['w'] = 48, ['x'] = 49, ['y'] = 50, ['z'] = 51, ['0'] = 52, ['1'] = 53, ['2'] = 54, ['3'] = 55,
    ['4'] = 56, ['5'] = 57, ['6'] = 58, ['7'] = 59, ['8'] = 60, ['9'] = 61, ['+'] = 62, ['/'] = 63,
};

/* 'A' is the one character whose digit is 0 by right. */
static bool is_digit(unsigned char c)
{
    return digits[c] != 0 || c == 'A';
}

static size_t line_end_bytes(const struct base64_layout *layout)
{
    return (size_t)layout->line_end;
}

/* --- Decoding --- */

static struct str without_trailing_line_ends(struct str body)
{
    while (body.len > 0 && (body.ptr[body.len - 1] == '\n' || body.ptr[body.len - 1] == '\r'))
        body.len--;
    return body;
}

static bool find_layout(struct str core, struct base64_layout *out)
{
    ptrdiff_t lf = str_index(core, '\n');
    size_t length;

    *out = (struct base64_layout){0, BASE64_ONE_LINE};
    if (core.len == 0)
        return false;
    if (lf < 0)
        return true;
    length = (size_t)lf;
    out->line_end = BASE64_LF;
    if (length > 0 && core.ptr[length - 1] == '\r') {
        length--;
        out->line_end = BASE64_CRLF;
    }
    out->line_length = (uint32_t)length;
    return length > 0 && length % 4 == 0 && length <= 4096;
}

/* Appends the bytes of whole quads; false at anything that is not plain base64. */
static bool decode_quads(struct str line, struct buf *out)
{
    char *room;
    size_t made = 0;

    if (line.len % 4 != 0 || buf_reserve(out, line.len / 4 * 3, &room) != ERR_OK)
        return false;
    for (size_t i = 0; i < line.len; i += 4) {
        const unsigned char *c = (const unsigned char *)line.ptr + i;
        uint32_t bits;

        if (!is_digit(c[0]) || !is_digit(c[1]))
            return false;
        if (!is_digit(c[2]) || !is_digit(c[3])) { /* padding: only at the very end */
            if (i + 4 != line.len || c[3] != '=' || (c[2] != '=' && !is_digit(c[2])))
                return false;
            bits = (uint32_t)digits[c[0]] << 18 | (uint32_t)digits[c[1]] << 12 |
                   (uint32_t)digits[c[2]] << 6;
            room[made++] = (char)(bits >> 16);
            if (c[2] != '=')
                room[made++] = (char)(bits >> 8);
            break;
        }
        bits = (uint32_t)digits[c[0]] << 18 | (uint32_t)digits[c[1]] << 12 |
               (uint32_t)digits[c[2]] << 6 | digits[c[3]];
        room[made++] = (char)(bits >> 16);
        room[made++] = (char)(bits >> 8);
        room[made++] = (char)bits;
    }
    buf_commit(out, made);
    return true;
}

static bool decode_core(struct str core, const struct base64_layout *layout, struct buf *out)
{
    size_t unit = layout->line_length + line_end_bytes(layout);

    if (layout->line_length == 0)
        return decode_quads(core, out);
    for (size_t at = 0; at < core.len; at += unit) {
        if (!decode_quads(str_upto(str_from(core, at), layout->line_length), out))
            return false;
    }
    return true;
}

/* Encodes in blocks and compares: the proof that nothing is lost. */
static bool is_rebuilt(struct str core, const struct base64_layout *layout, struct str decoded)
{
    struct buf block;
    bool is_same = base64_encoded_length(layout, decoded.len) == core.len;

    buf_init(&block, SIZE_MAX);
    for (uint64_t at = 0; is_same && at < core.len; at += PART_CHUNK_BYTES) {
        uint64_t end = at + PART_CHUNK_BYTES < core.len ? at + PART_CHUNK_BYTES : core.len;
        uint64_t first, last;

        base64_decoded_range(layout, at, end, &first, &last);
        buf_reset(&block);
        base64_encode_range(layout,
                            str_upto(str_from(decoded, (size_t)first), (size_t)(last - first)), at,
                            end, &block);
        is_same =
            str_equal(buf_str(&block), str_upto(str_from(core, (size_t)at), (size_t)(end - at)));
    }
    buf_free(&block);
    return is_same;
}

bool base64_decode_lines(struct str body, struct base64_layout *out_layout, size_t *out_len,
                         struct buf *out)
{
    struct str core = without_trailing_line_ends(body);
    struct base64_layout layout;
    size_t before = out->len;

    if (!find_layout(core, &layout) || !decode_core(core, &layout, out) ||
        !is_rebuilt(core, &layout, str_from(buf_str(out), before))) {
        buf_truncate(out, before);
        return false;
    }
    *out_layout = layout;
    *out_len = core.len;
    return true;
}

/* --- Encoding --- */

uint64_t base64_encoded_length(const struct base64_layout *layout, uint64_t decoded_bytes)
{
    uint64_t characters = (decoded_bytes + 2) / 3 * 4;

    if (layout->line_length == 0 || characters == 0)
        return characters;
    return characters + (characters - 1) / layout->line_length * line_end_bytes(layout);
}

/* The index among the base64 characters of the one at or after this encoded offset. */
static uint64_t character_at(const struct base64_layout *layout, uint64_t offset)
{
    uint64_t unit = layout->line_length + line_end_bytes(layout);
    uint64_t column;

    if (layout->line_length == 0)
        return offset;
    column = offset % unit;
    return offset / unit * layout->line_length +
           (column < layout->line_length ? column : layout->line_length);
}

void base64_decoded_range(const struct base64_layout *layout, uint64_t start, uint64_t end,
                          uint64_t *out_start, uint64_t *out_end)
{
    *out_start = character_at(layout, start) / 4 * 3;
    *out_end = (character_at(layout, end) + 3) / 4 * 3;
}

static void encode_quads(struct str bytes, char *out)
{
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    size_t whole = bytes.len / 3 * 3;

    for (size_t i = 0; i < whole; i += 3, out += 4) {
        uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];

        out[0] = alphabet[bits >> 18];
        out[1] = alphabet[bits >> 12 & 63];
        out[2] = alphabet[bits >> 6 & 63];
        out[3] = alphabet[bits & 63];
    }
    if (whole < bytes.len) {
        uint32_t bits = (uint32_t)in[whole] << 16;

        if (whole + 1 < bytes.len)
            bits |= (uint32_t)in[whole + 1] << 8;
        out[0] = alphabet[bits >> 18];
        out[1] = alphabet[bits >> 12 & 63];
        out[2] = whole + 1 < bytes.len ? alphabet[bits >> 6 & 63] : '=';
        out[3] = '=';
    }
}

/* Puts characters [first, end) of the base64 text; `decoded` begins at character first / 4 * 4. */
static void put_characters(struct str decoded, uint64_t base, uint64_t first, uint64_t end,
                           struct buf *out)
{
    char block[ENCODE_BLOCK_BYTES / 3 * 4];

    while (first < end) {
        size_t at = (size_t)(first / 4 * 3 - base), skip = (size_t)(first % 4), take;
        uint64_t needed = (end - first + skip + 3) / 4 * 3;
        struct str bytes =
            str_upto(str_from(decoded, at),
                     needed < ENCODE_BLOCK_BYTES ? (size_t)needed : (size_t)ENCODE_BLOCK_BYTES);

        if (bytes.len == 0)
            return;
        encode_quads(bytes, block);
        take = (bytes.len + 2) / 3 * 4 - skip;
        if (take > end - first)
            take = (size_t)(end - first);
        buf_put(out, str_make(block + skip, take));
        first += take;
    }
}

void base64_encode_range(const struct base64_layout *layout, struct str decoded, uint64_t start,
                         uint64_t end, struct buf *out)
{
    uint64_t unit = layout->line_length + line_end_bytes(layout);
    uint64_t base = character_at(layout, start) / 4 * 3;
    static const char *const line_ends[] = {"", "\n", "\r\n"};

    if (layout->line_length == 0) {
        put_characters(decoded, base, start, end, out);
        return;
    }
    while (start < end) {
        uint64_t column = start % unit, stop = start - column + layout->line_length;

        if (column < layout->line_length) {
            uint64_t first = character_at(layout, start);

            stop = stop < end ? stop : end;
            put_characters(decoded, base, first, first + (stop - start), out);
            start = stop;
        } else {
            buf_put(out, str_make(line_ends[layout->line_end] + (column - layout->line_length), 1));
            start++;
        }
    }
}
