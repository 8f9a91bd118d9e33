/* Transfer encodings (RFC 2045 §6.7, §6.8), lenient as readers must be. */
#include "message/transfer.h"

#include "base/ascii.h"

#include <string.h>

enum { BASE64_SKIP = 64, BASE64_END = 65 };

/* The value of a base64 character, BASE64_END for '=', BASE64_SKIP for all others (line breaks). */
static const unsigned char base64_values[256] = {
#define X BASE64_SKIP
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  62, X,  X,  X,  63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X,  X,  X,  65, X,  X,  X,  0,  1,  2,  3,  4,  5,  6,
    7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X,  X,  X,  X,  X,
    X,  26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
    49, 50, 51, X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
#undef X
};

/*
 * Whatever is not in the alphabet is skipped. '=' ends a group; data may follow, as in bodies put
 * together from several encoded ones. Bits of an incomplete group that fill a byte are given.
 */
static void feed_base64(struct transfer *transfer, struct str body, struct buf *out)
{
    const unsigned char *in = (const unsigned char *)body.ptr;
    const unsigned char *end = in + body.len;
    uint32_t bits = transfer->bits;
    unsigned count = transfer->count; /* characters in `bits` */
    size_t len = 0;
    char *room;

    if (body.len == 0 || buf_reserve(out, body.len / 4 * 3 + 6, &room) != ERR_OK)
        return;
    while (in < end) {
        unsigned value;

        while (count == 0 && end - in >= 4) {
            unsigned a = base64_values[in[0]], b = base64_values[in[1]];
            unsigned c = base64_values[in[2]], d = base64_values[in[3]];

            if ((a | b | c | d) >= BASE64_SKIP)
                break;
            room[len++] = (char)(a << 2 | b >> 4);
            room[len++] = (char)(b << 4 | c >> 2);
            room[len++] = (char)(c << 6 | d);
            in += 4;
        }
        if (in == end)
            break;
        value = base64_values[*in++];
        if (value == BASE64_SKIP)
            continue;
        if (value < BASE64_SKIP) {
            bits = bits << 6 | value;
            count++;
        }
        if (count == 4) {
            room[len++] = (char)(bits >> 16);
            room[len++] = (char)(bits >> 8);
            room[len++] = (char)bits;
        } else if (value == BASE64_END && count >= 2) {
            room[len++] = (char)(bits >> (count * 6 - 8));
            if (count == 3)
                room[len++] = (char)(bits >> 2);
        }
        if (count == 4 || value == BASE64_END)
            bits = count = 0;
    }
    buf_commit(out, len);
    transfer->bits = bits;
    transfer->count = count;
}

static void end_base64(struct transfer *transfer, struct buf *out)
{
    char bytes[2] = {0};

    if (transfer->count >= 2)
        bytes[0] = (char)(transfer->bits >> (transfer->count * 6 - 8));
    if (transfer->count == 3)
        bytes[1] = (char)(transfer->bits >> 2);
    if (transfer->count >= 2)
        buf_put(out, str_make(bytes, transfer->count - 1));
    transfer->bits = transfer->count = 0;
}

static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * If only blanks, and not too many, stand between `from` and the end of the line, gives the index
 * behind the line break (or the body's end), else 0.
 */
static size_t soft_break(struct str body, size_t from, bool is_end)
{
    size_t start = from;

    while (from < body.len && (body.ptr[from] == ' ' || body.ptr[from] == '\t') &&
           from - start < TRANSFER_BLANKS_MAX)
        from++;
    if (from - start == TRANSFER_BLANKS_MAX)
        return 0;
    if (from == body.len)
        return is_end ? from : 0;
    if (body.ptr[from] == '\r' && from + 1 < body.len && body.ptr[from + 1] == '\n')
        return from + 2;
    return body.ptr[from] == '\n' ? from + 1 : 0;
}

/* `is_end`: the body ends here; else a "=" before the end of these bytes is known to be none. */
static void decode_quoted_printable(struct str body, bool is_end, struct buf *out)
{
    size_t i = 0;
    size_t len = 0;
    char *room;

    if (body.len == 0 || buf_reserve(out, body.len, &room) != ERR_OK)
        return;
    while (i < body.len) {
        const char *mark = memchr(body.ptr + i, '=', body.len - i);
        size_t stop = mark == NULL ? body.len : (size_t)(mark - body.ptr);
        size_t next;

        memcpy(room + len, body.ptr + i, stop - i);
        len += stop - i;
        i = stop + 1;
        if (stop == body.len)
            break;
        if (body.len - i >= 2 && hex_value(body.ptr[i]) >= 0 && hex_value(body.ptr[i + 1]) >= 0) {
            room[len++] = (char)(hex_value(body.ptr[i]) * 16 + hex_value(body.ptr[i + 1]));
            i += 2;
        } else if ((next = soft_break(body, i, is_end)) > 0) {
            i = next;
        } else {
            room[len++] = '=';
        }
    }
    buf_commit(out, len);
}

/* Whether what follows a "=", up to where the bytes end, may still become several things. */
static bool is_open(struct str rest)
{
    size_t blanks = 0;

    if (rest.len < 2 && (rest.len == 0 || hex_value(rest.ptr[0]) >= 0))
        return true;
    while (blanks < rest.len && (rest.ptr[blanks] == ' ' || rest.ptr[blanks] == '\t'))
        blanks++;
    if (blanks >= TRANSFER_BLANKS_MAX)
        return false;
    return blanks == rest.len || (blanks + 1 == rest.len && rest.ptr[blanks] == '\r');
}

/* All but what an open "=" at the end begins, which is held back. */
static void feed_quoted_printable(struct transfer *transfer, struct str bytes, struct buf *out)
{
    CLEANUP(buf_free) struct buf joined = {0};
    ptrdiff_t mark;

    if (transfer->held_len > 0) {
        buf_init(&joined, SIZE_MAX);
        buf_put(&joined, str_make(transfer->held, transfer->held_len));
        buf_put(&joined, bytes);
        bytes = buf_str(&joined);
        transfer->held_len = 0;
    }
    mark = str_last_index(bytes, '=');
    if (mark >= 0 && is_open(str_from(bytes, (size_t)mark + 1))) {
        transfer->held_len = bytes.len - (size_t)mark;
        memcpy(transfer->held, bytes.ptr + mark, transfer->held_len);
        bytes = str_upto(bytes, (size_t)mark);
    }
    decode_quoted_printable(bytes, false, out);
}

void transfer_init(struct transfer *transfer, enum message_encoding encoding)
{
    transfer->encoding = encoding;
    transfer->bits = transfer->count = 0;
    transfer->held_len = 0;
}

void transfer_feed(struct transfer *transfer, struct str bytes, struct buf *out)
{
    switch (transfer->encoding) {
    case MESSAGE_ENCODING_BASE64:
        feed_base64(transfer, bytes, out);
        return;
    case MESSAGE_ENCODING_QUOTED_PRINTABLE:
        feed_quoted_printable(transfer, bytes, out);
        return;
    case MESSAGE_ENCODING_7BIT:
    case MESSAGE_ENCODING_8BIT:
    case MESSAGE_ENCODING_BINARY:
    case MESSAGE_ENCODING_OTHER:
        buf_put(out, bytes);
        return;
    }
}

void transfer_end(struct transfer *transfer, struct buf *out)
{
    end_base64(transfer, out);
    decode_quoted_printable(str_make(transfer->held, transfer->held_len), true, out);
    transfer->held_len = 0;
}

void message_decode_body(enum message_encoding encoding, struct str body, struct buf *out)
{
    struct transfer transfer;

    if (encoding == MESSAGE_ENCODING_QUOTED_PRINTABLE) {
        decode_quoted_printable(body, true, out);
        return;
    }
    transfer_init(&transfer, encoding);
    transfer_feed(&transfer, body, out);
    transfer_end(&transfer, out);
}
