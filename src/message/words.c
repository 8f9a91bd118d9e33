/* Encoded words. Not GMime's decoder: it copies an attacker's charset name to the stack. */
#include "message/words.h"

#include "base/ascii.h"
#include "message/charset.h"
#include "message/message.h"

#include <string.h>

struct word {
    struct str charset;
    struct str payload;
    bool is_base64;
    size_t end; /* index behind it in the text */
};

/*
 * encoded-word = "=?" charset "?" encoding "?" encoded-text "?="          (RFC 2047 §2)
 * Every scan stops at the next '?', so that the whole text is looked at a constant number of times.
 * Blanks inside a Q text are not allowed but common.
 */
static bool parse_word(struct str text, size_t start, struct word *out)
{
    const char *p = text.ptr + start + 2;
    const char *end = text.ptr + text.len;
    const char *mark = memchr(p, '?', (size_t)(end - p));
    const char *star;
    char encoding;

    if (mark == NULL || mark == p || end - mark < 3 || mark[2] != '?')
        return false;
    for (const char *c = p; c < mark; c++) {
        if (ascii_is_space(*c) || ascii_is_control(*c))
            return false;
    }
    star = memchr(p, '*', (size_t)(mark - p));
    out->charset = str_make(p, (size_t)((star == NULL ? mark : star) - p));
    encoding = ascii_lower(mark[1]);
    if (encoding != 'b' && encoding != 'q')
        return false;
    out->is_base64 = encoding == 'b';
    p = mark + 3;
    mark = memchr(p, '?', (size_t)(end - p));
    if (mark == NULL || end - mark < 2 || mark[1] != '=')
        return false;
    out->payload = str_make(p, (size_t)(mark - p));
    out->end = (size_t)(mark + 2 - text.ptr);
    return true;
}

static int hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The "Q" encoding (RFC 2047 §4.2). */
static void decode_q(struct str payload, struct buf *out)
{
    char *room;
    size_t len = 0;

    if (buf_reserve(out, payload.len + 1, &room) != ERR_OK)
        return;
    for (size_t i = 0; i < payload.len; i++) {
        char c = payload.ptr[i];

        if (c == '=' && i + 2 < payload.len && hex_digit(payload.ptr[i + 1]) >= 0 &&
            hex_digit(payload.ptr[i + 2]) >= 0) {
            c = (char)(hex_digit(payload.ptr[i + 1]) * 16 + hex_digit(payload.ptr[i + 2]));
            i += 2;
        } else if (c == '_') {
            c = ' ';
        }
        room[len++] = c;
    }
    buf_commit(out, len);
}

/* The index of the next "=?" from `start` on, or the text's length. */
static size_t find_mark(struct str text, size_t start)
{
    while (start < text.len) {
        const char *mark = memchr(text.ptr + start, '=', text.len - start);

        if (mark == NULL)
            break;
        start = (size_t)(mark - text.ptr);
        if (start + 1 < text.len && text.ptr[start + 1] == '?')
            return start;
        start++;
    }
    return text.len;
}

static bool is_blank_text(struct str text)
{
    return str_trim(text).len == 0;
}

/* Writes what neighbouring words of one charset held. */
static void flush(struct str charset, struct buf *decoded, struct buf *out)
{
    if (decoded->len > 0)
        charset_to_utf8(charset, buf_str(decoded), out);
    buf_truncate(decoded, 0);
}

void words_decode(struct str text, struct buf *out)
{
    struct buf decoded; /* of the words since the last flush, in `charset` */
    struct str charset = STR("");
    bool is_after_word = false;
    size_t plain_start = 0;
    size_t i = find_mark(text, 0);

    if (i == text.len) {
        charset_guess_to_utf8(text, out);
        return;
    }
    buf_init(&decoded, SIZE_MAX);
    while (i < text.len) {
        struct word word;
        struct str plain;

        if (!parse_word(text, i, &word)) {
            i = find_mark(text, i + 2);
            continue;
        }
        plain = str_make(text.ptr + plain_start, i - plain_start);
        /* White space between two encoded words is not shown (RFC 2047 §6.2). */
        if (!is_after_word || !is_blank_text(plain)) {
            flush(charset, &decoded, out);
            charset_guess_to_utf8(plain, out);
        }
        if (!str_equal_nocase(charset, word.charset)) {
            flush(charset, &decoded, out);
            charset = word.charset;
        }
        if (word.is_base64)
            message_decode_body(MESSAGE_ENCODING_BASE64, word.payload, &decoded);
        else
            decode_q(word.payload, &decoded);
        is_after_word = true;
        plain_start = word.end;
        i = find_mark(text, word.end);
    }
    flush(charset, &decoded, out);
    charset_guess_to_utf8(str_from(text, plain_start), out);
    buf_free(&decoded);
}
