/*
 * Charsets to UTF-8: ASCII and UTF-8 here, single-byte ones by charset_tables.c, the East Asian and
 * the rare by iconv. Not g_mime_iconv: it keeps descriptors in the process, ours live for one call.
 */
#include "message/charset.h"

#include "base/ascii.h"
#include "message/charset_tables.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

enum { CHARSET_NAME_MAX = 40, CHUNK = 4096, ERRORS_MAX = 1000 };

/* Names that writers use and iconv has not, or has for something narrower than what is meant. */
static const struct {
    struct str name, iconv_name;
} aliases[] = {
    {STR_INIT("gb2312"), STR_INIT("gb18030")},
    {STR_INIT("gbk"), STR_INIT("gb18030")},
    {STR_INIT("x-gbk"), STR_INIT("gb18030")},
    {STR_INIT("hz-gb-2312"), STR_INIT("hz")},
    {STR_INIT("ks_c_5601-1987"), STR_INIT("cp949")},
    {STR_INIT("ks_c_5601"), STR_INIT("cp949")},
    {STR_INIT("euc-kr"), STR_INIT("cp949")},
    {STR_INIT("shift_jis"), STR_INIT("cp932")},
    {STR_INIT("shift-jis"), STR_INIT("cp932")},
    {STR_INIT("x-sjis"), STR_INIT("cp932")},
    {STR_INIT("sjis"), STR_INIT("cp932")},
    {STR_INIT("windows-31j"), STR_INIT("cp932")},
    {STR_INIT("big5"), STR_INIT("big5-hkscs")},
    {STR_INIT("x-big5"), STR_INIT("big5-hkscs")},
    {STR_INIT("unicode-1-1-utf-7"), STR_INIT("utf-7")},
};

/* Kept loaded by charset_init. */
static const char *const usual[] = {
    "gb18030", "big5-hkscs", "euc-jp", "cp932", "iso-2022-jp", "cp949", "utf-7", "utf-16",
};

enum charset_kind { CHARSET_ASCII, CHARSET_UTF8, CHARSET_OTHER };

static const struct {
    struct str name;
    enum charset_kind kind;
} builtin[] = {
    {STR_INIT("us-ascii"), CHARSET_ASCII}, {STR_INIT("ascii"), CHARSET_ASCII},
    {STR_INIT(""), CHARSET_ASCII},         {STR_INIT("ansi_x3.4-1968"), CHARSET_ASCII},
    {STR_INIT("utf-8"), CHARSET_UTF8},     {STR_INIT("utf8"), CHARSET_UTF8},
    {STR_INIT("x-unknown"), CHARSET_UTF8}, {STR_INIT("unknown-8bit"), CHARSET_UTF8},
};

#define REPLACEMENT STR("\xef\xbf\xbd")

void charset_init(void)
{
    /* glibc unloads a converter a while after its last descriptor is closed, so one of each stays
     * open. Written once, before anything is forked, and never read: reachable is all it must be.
     */
    static iconv_t kept[ARRAY_LEN(usual)];

    for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
        if (kept[i] == NULL)
            kept[i] = iconv_open("UTF-8", usual[i]);
    }
}

/* How many bytes from `start` on are ASCII and not NUL. */
static size_t ascii_run(struct str bytes, size_t start)
{
    size_t i = start;

    while (i + 8 <= bytes.len) {
        uint64_t word;

        memcpy(&word, bytes.ptr + i, 8);
        if (((word | (word - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080)) != 0)
            break;
        i += 8;
    }
    while (i < bytes.len && bytes.ptr[i] > 0)
        i++;
    return i - start;
}

/* The length of the valid UTF-8 character at `i`, 0 if there is none (RFC 3629 §4). */
static size_t utf8_len(struct str text, size_t i)
{
    const unsigned char *p = (const unsigned char *)text.ptr + i;
    size_t left = text.len - i;

    if (p[0] < 0x80)
        return p[0] == 0 ? 0 : 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

static void put_utf8(struct str bytes, struct buf *out)
{
    size_t i = 0;

    while (i < bytes.len) {
        size_t start = i;

        for (;;) {
            size_t len;

            i += ascii_run(bytes, i);
            len = i < bytes.len ? utf8_len(bytes, i) : 0;
            if (len == 0)
                break;
            i += len;
        }
        buf_put(out, str_make(bytes.ptr + start, i - start));
        if (i < bytes.len) {
            buf_put(out, REPLACEMENT);
            i++;
        }
    }
}

static void put_code_point(uint16_t code, struct buf *out)
{
    char text[3];

    if (code < 0x800) {
        text[0] = (char)(0xc0 | (code >> 6));
        text[1] = (char)(0x80 | (code & 0x3f));
        buf_put(out, str_make(text, 2));
        return;
    }
    text[0] = (char)(0xe0 | (code >> 12));
    text[1] = (char)(0x80 | ((code >> 6) & 0x3f));
    text[2] = (char)(0x80 | (code & 0x3f));
    buf_put(out, str_make(text, 3));
}

/* ASCII, with every other byte by the table of the upper half, or as U+FFFD without one. */
static void put_single_byte(struct str bytes, const uint16_t *high, struct buf *out)
{
    size_t i = 0;

    while (i < bytes.len) {
        size_t run = ascii_run(bytes, i);
        unsigned char byte;

        buf_put(out, str_make(bytes.ptr + i, run));
        i += run;
        if (i == bytes.len)
            break;
        byte = (unsigned char)bytes.ptr[i++];
        put_code_point(high == NULL || byte == 0 ? 0xfffd : high[byte - 0x80], out);
    }
}

/* One step of the converter, into fresh room; false when it took and gave nothing. */
static bool convert_some(iconv_t converter, char **in, size_t *in_left, struct buf *scratch,
                         struct buf *out)
{
    size_t left_before = *in_left;
    char *room, *to;
    size_t to_left = CHUNK;

    buf_truncate(scratch, 0);
    if (buf_reserve(scratch, CHUNK, &room) != ERR_OK)
        return false;
    to = room;
    (void)(left_before > 0 ? iconv(converter, in, in_left, &to, &to_left)
                           : iconv(converter, NULL, NULL, &to, &to_left));
    /* Once more through our own eyes: iconv gives NUL, and six-byte forms for odd UCS-4. */
    put_utf8(str_make(room, CHUNK - to_left), out);
    return to_left < CHUNK || *in_left < left_before;
}

static void put_iconv(iconv_t converter, struct str bytes, struct buf *out)
{
    char *in = (char *)(uintptr_t)bytes.ptr; /* iconv takes char ** but only reads */
    size_t in_left = bytes.len;
    size_t error_count = 0;
    struct buf scratch;

    buf_init(&scratch, SIZE_MAX);
    while (in_left > 0) {
        if (convert_some(converter, &in, &in_left, &scratch, out) || in_left == 0)
            continue;
        buf_put(out, REPLACEMENT);
        in++;
        in_left--;
        /* Mostly errors: not this charset at all, and a call for each byte would take long. */
        if (++error_count > ERRORS_MAX + (bytes.len - in_left) / 8) {
            put_single_byte(str_make(in, in_left), NULL, out);
            in_left = 0;
        }
    }
    (void)convert_some(converter, &in, &in_left, &scratch, out);
    buf_free(&scratch);
}

static bool open_converter(struct str charset, iconv_t *out_converter)
{
    char name[CHARSET_NAME_MAX + 1];

    if (charset.len > CHARSET_NAME_MAX)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
        if (str_equal_nocase(aliases[i].name, charset)) {
            charset = aliases[i].iconv_name;
            break;
        }
    }
    /* Nothing that iconv would take as an option ("//TRANSLIT") or a path. */
    for (size_t i = 0; i < charset.len; i++) {
        char c = charset.ptr[i];

        if (!ascii_is_alnum(c) && c != '-' && c != '_' && c != '.' && c != ':' && c != '+')
            return false;
        name[i] = c;
    }
    name[charset.len] = 0;
    *out_converter = iconv_open("UTF-8", name);
    return *out_converter != (iconv_t)-1;
}

void charset_to_utf8(struct str charset, struct str bytes, struct buf *out)
{
    enum charset_kind kind = CHARSET_OTHER;
    const uint16_t *high;
    iconv_t converter;

    charset = str_trim(charset);
    for (size_t i = 0; i < ARRAY_LEN(builtin); i++) {
        if (str_equal_nocase(builtin[i].name, charset))
            kind = builtin[i].kind;
    }
    switch (kind) {
    case CHARSET_ASCII:
        /* Raw UTF-8 under a missing or wrong label is common; anything else is not text. */
        if (str_is_utf8(bytes))
            put_utf8(bytes, out);
        else
            put_single_byte(bytes, NULL, out);
        return;
    case CHARSET_UTF8:
        put_utf8(bytes, out);
        return;
    case CHARSET_OTHER:
        break;
    }
    high = charset_table(charset);
    if (high != NULL) {
        put_single_byte(bytes, high, out);
        return;
    }
    if (!open_converter(charset, &converter)) {
        put_single_byte(bytes, NULL, out);
        return;
    }
    put_iconv(converter, bytes, out);
    (void)iconv_close(converter);
}

void charset_guess_to_utf8(struct str bytes, struct buf *out)
{
    size_t i = 0;

    while (i < bytes.len) {
        size_t len = utf8_len(bytes, i);

        if (len == 0 && bytes.ptr[i] != 0) {
            put_single_byte(bytes, charset_table(STR("windows-1252")), out);
            return;
        }
        i += len == 0 ? 1 : len;
    }
    put_utf8(bytes, out);
}

size_t charset_utf8_cut(struct str text, size_t max)
{
    size_t len = max;

    if (text.len <= max)
        return text.len;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    return len;
}
