/* base64 in lines of one length, both ways (parts.h). */
#include "vault/parts.h"

#include <string.h>
#if defined(__x86_64__)
#include <tmmintrin.h>
#endif

/* The two characters of every 12 bits. */
#define ROW(c)                                                                                     \
    {c, 'A'}, {c, 'B'}, {c, 'C'}, {c, 'D'}, {c, 'E'}, {c, 'F'}, {c, 'G'}, {c, 'H'}, {c, 'I'},      \
        {c, 'J'}, {c, 'K'}, {c, 'L'}, {c, 'M'}, {c, 'N'}, {c, 'O'}, {c, 'P'}, {c, 'Q'}, {c, 'R'},  \
        {c, 'S'}, {c, 'T'}, {c, 'U'}, {c, 'V'}, {c, 'W'}, {c, 'X'}, {c, 'Y'}, {c, 'Z'}, {c, 'a'},  \
        {c, 'b'}, {c, 'c'}, {c, 'd'}, {c, 'e'}, {c, 'f'}, {c, 'g'}, {c, 'h'}, {c, 'i'}, {c, 'j'},  \
        {c, 'k'}, {c, 'l'}, {c, 'm'}, {c, 'n'}, {c, 'o'}, {c, 'p'}, {c, 'q'}, {c, 'r'}, {c, 's'},  \
        {c, 't'}, {c, 'u'}, {c, 'v'}, {c, 'w'}, {c, 'x'}, {c, 'y'}, {c, 'z'}, {c, '0'}, {c, '1'},  \
        {c, '2'}, {c, '3'}, {c, '4'}, {c, '5'}, {c, '6'}, {c, '7'}, {c, '8'}, {c, '9'}, {c, '+'},  \
    {                                                                                              \
        c, '/'                                                                                     \
    }
static const char pairs[64 * 64][2] = {
    ROW('A'), ROW('B'), ROW('C'), ROW('D'), ROW('E'), ROW('F'), ROW('G'), ROW('H'),
    ROW('I'), ROW('J'), ROW('K'), ROW('L'), ROW('M'), ROW('N'), ROW('O'), ROW('P'),
    ROW('Q'), ROW('R'), ROW('S'), ROW('T'), ROW('U'), ROW('V'), ROW('W'), ROW('X'),
    ROW('Y'), ROW('Z'), ROW('a'), ROW('b'), ROW('c'), ROW('d'), ROW('e'), ROW('f'),
    ROW('g'), ROW('h'), ROW('i'), ROW('j'), ROW('k'), ROW('l'), ROW('m'), ROW('n'),
    ROW('o'), ROW('p'), ROW('q'), ROW('r'), ROW('s'), ROW('t'), ROW('u'), ROW('v'),
    ROW('w'), ROW('x'), ROW('y'), ROW('z'), ROW('0'), ROW('1'), ROW('2'), ROW('3'),
    ROW('4'), ROW('5'), ROW('6'), ROW('7'), ROW('8'), ROW('9'), ROW('+'), ROW('/'),
};
#undef ROW

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

/* Eight bytes, the first the highest. */
static uint64_t get_be64(const unsigned char *bytes)
{
    return (uint64_t)bytes[0] << 56 | (uint64_t)bytes[1] << 48 | (uint64_t)bytes[2] << 40 |
           (uint64_t)bytes[3] << 32 | (uint64_t)bytes[4] << 24 | (uint64_t)bytes[5] << 16 |
           (uint64_t)bytes[6] << 8 | (uint64_t)bytes[7];
}

#if defined(__x86_64__)
/*
 * Four quads, from the 12 bytes of the sixteen that `spread` names. Each lane of 32 bits gets the three
 * bytes b0 b1 b2 of a quad as the 16-bit words b0 b1 and b1 b2, in which two multiplications shift each
 * digit to its byte. What is added to a digit to make it its character is looked up by the digit's
 * range: 13 for A to Z, 0 for a to z, 1 to 10 for 0 to 9, 11 and 12 for + and /.
 */
__attribute__((target("ssse3"))) static inline void encode_four(const char *sixteen, __m128i spread,
                                                                char *out)
{
    const __m128i to_character = _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                               '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                               '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
    __m128i words =
        _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)sixteen), spread);
    __m128i even = _mm_mulhi_epu16(_mm_and_si128(words, _mm_set1_epi32(0x0fc0fc00)),
                                   _mm_set1_epi32(0x04000040));
    __m128i odd = _mm_mullo_epi16(_mm_and_si128(words, _mm_set1_epi32(0x003f03f0)),
                                  _mm_set1_epi32(0x01000010));
    __m128i values = _mm_or_si128(even, odd);
    __m128i range = _mm_or_si128(
        _mm_subs_epu8(values, _mm_set1_epi8(51)),
        _mm_and_si128(_mm_cmpgt_epi8(_mm_set1_epi8(26), values), _mm_set1_epi8(13)));

    _mm_storeu_si128((__m128i *)(void *)out,
                     _mm_add_epi8(values, _mm_shuffle_epi8(to_character, range)));
}

/* Six quads and more. At the end the last four are done, some of them once more: from the sixteen
 * bytes before it, as none behind it may be read. */
__attribute__((target("ssse3"))) static void encode_fours(const char *bytes, uint64_t quads,
                                                          char *out)
{
    const __m128i first_twelve = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    const __m128i last_twelve = _mm_add_epi8(first_twelve, _mm_set1_epi8(4));
    const char *end = bytes + quads * 3;
    char *out_end = out + quads * 4;

    for (; end - bytes >= 16; bytes += 12, out += 16)
        encode_four(bytes, first_twelve, out);
    if (end - bytes > 12) /* five quads are left, so there were nine or more */
        encode_four(end - 3 - 16, last_twelve, out_end - 4 - 16);
    encode_four(end - 16, last_twelve, out_end - 16);
}
#endif

/* True: this processor encodes them all together. */
static bool encode_together(const char *bytes, uint64_t quads, char *out)
{
#if defined(__x86_64__)
    if (quads >= 6 && __builtin_cpu_supports("ssse3") != 0) {
        encode_fours(bytes, quads, out);
        return true;
    }
#endif
    (void)bytes;
    (void)quads;
    (void)out;
    return false;
}

/* Whole quads: 12 bits at a time. Gives the end of what was written. */
static char *encode_quads(const char *bytes, uint64_t quads, char *out)
{
    const unsigned char *in = (const unsigned char *)bytes;

    if (encode_together(bytes, quads, out))
        return out + quads * 4;
    /* Two of them from one load, which reads into the third. */
    for (; quads >= 3; quads -= 2, in += 6, out += 8) {
        uint64_t bits = get_be64(in);

        memcpy(out, pairs[bits >> 52], 2);
        memcpy(out + 2, pairs[bits >> 40 & 4095], 2);
        memcpy(out + 4, pairs[bits >> 28 & 4095], 2);
        memcpy(out + 6, pairs[bits >> 16 & 4095], 2);
    }
    for (; quads > 0; quads--, in += 3, out += 4) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

        memcpy(out, pairs[bits >> 12], 2);
        memcpy(out + 2, pairs[bits & 4095], 2);
    }
    return out;
}

/* The quad of up to three bytes. */
static void encode_quad(struct str bytes, char out[4])
{
    char three[3] = {0};

    memcpy(three, bytes.ptr, bytes.len < sizeof(three) ? bytes.len : sizeof(three));
    encode_quads(three, 1, out);
    if (bytes.len < 3)
        out[3] = '=';
    if (bytes.len < 2)
        out[2] = '=';
}

/* Writes characters [first, end) of the base64 text; `decoded` begins with the byte `base`. Ends
 * early where `decoded` does. */
static char *put_characters(struct str decoded, uint64_t base, uint64_t first, uint64_t end,
                            char *out)
{
    while (first < end) {
        struct str bytes = str_from(decoded, (size_t)(first / 4 * 3 - base));
        uint64_t skip = first % 4, quads = (end - first) / 4;

        if (bytes.len == 0)
            return out;
        if (quads > bytes.len / 3)
            quads = bytes.len / 3;
        if (skip == 0 && quads > 0) {
            out = encode_quads(bytes.ptr, quads, out);
            first += quads * 4;
        } else {
            uint64_t take = end - first < 4 - skip ? end - first : 4 - skip;
            char quad[4];

            encode_quad(bytes, quad);
            memcpy(out, quad + skip, (size_t)take);
            out += take;
            first += take;
        }
    }
    return out;
}

void base64_encode_range(const struct base64_layout *layout, struct str decoded, uint64_t start,
                         uint64_t end, struct buf *out)
{
    uint64_t base = character_at(layout, start) / 4 * 3, first = character_at(layout, start);
    uint64_t end_len = line_end_bytes(layout), column;
    static const char *const line_ends[] = {"", "\n", "\r\n"};
    char *room, *at;

    if (start >= end || buf_reserve(out, (size_t)(end - start), &room) != ERR_OK)
        return;
    at = room;
    if (layout->line_length == 0) {
        at = put_characters(decoded, base, start, end, at);
        start = end;
    }
    column = start == end ? 0 : start % (layout->line_length + end_len);
    while (start < end) {
        uint64_t stop;

        if (column < layout->line_length) {
            stop = start + layout->line_length - column;
            stop = stop < end ? stop : end;
            at = put_characters(decoded, base, first, first + (stop - start), at);
            first += stop - start;
            column += stop - start;
        } else {
            stop = start + layout->line_length + end_len - column;
            stop = stop < end ? stop : end;
            memcpy(at, line_ends[layout->line_end] + (column - layout->line_length),
                   (size_t)(stop - start));
            at += stop - start;
            column = 0;
        }
        start = stop;
    }
    buf_commit(out, (size_t)(at - room));
}
