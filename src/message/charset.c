/*
 * Charsets to UTF-8: ASCII and UTF-8 here, single-byte ones by charset_tables.c, the East Asian and
 * the rare by iconv. Not g_mime_iconv: it keeps descriptors in the process, ours live for one call.
 */
#include "message/charset.h"

#include "base/ascii.h"
#include "message/charset_tables.h"

#include <string.h>

enum { CHARSET_NAME_MAX = 40, CHUNK = 4096, ERRORS_MAX = 1000 };

/* Names that iconv has not, or has for something narrower than what writers mean; by them and in
 * what charset_is_named takes for the same. */
static const struct {
    struct str name, iconv_name;
} aliases[] = {
    {STR_INIT("gb2312"), STR_INIT("gb18030")},
    {STR_INIT("gbk"), STR_INIT("gb18030")},
    {STR_INIT("cp936"), STR_INIT("gb18030")},
    {STR_INIT("windows-936"), STR_INIT("gb18030")},
    {STR_INIT("ms936"), STR_INIT("gb18030")},
    {STR_INIT("euc-cn"), STR_INIT("gb18030")},
    {STR_INIT("gb_2312-80"), STR_INIT("gb18030")},
    {STR_INIT("csgb2312"), STR_INIT("gb18030")},
    {STR_INIT("chinese"), STR_INIT("gb18030")},
    {STR_INIT("iso-ir-58"), STR_INIT("gb18030")},
    {STR_INIT("csiso58gb231280"), STR_INIT("gb18030")},
    {STR_INIT("gb18030"), STR_INIT("gb18030")},
    {STR_INIT("csgb18030"), STR_INIT("gb18030")},
    {STR_INIT("csgbk"), STR_INIT("gb18030")},
    {STR_INIT("euc-kr"), STR_INIT("cp949")},
    {STR_INIT("cseuckr"), STR_INIT("cp949")},
    {STR_INIT("ks_c_5601"), STR_INIT("cp949")},
    {STR_INIT("ks_c_5601-1987"), STR_INIT("cp949")},
    {STR_INIT("ks_c_5601-1989"), STR_INIT("cp949")},
    {STR_INIT("csksc56011987"), STR_INIT("cp949")},
    {STR_INIT("korean"), STR_INIT("cp949")},
    {STR_INIT("iso-ir-149"), STR_INIT("cp949")},
    {STR_INIT("cp949"), STR_INIT("cp949")},
    {STR_INIT("windows-949"), STR_INIT("cp949")},
    {STR_INIT("ms949"), STR_INIT("cp949")},
    {STR_INIT("uhc"), STR_INIT("cp949")},
    {STR_INIT("csiso2022kr"), STR_INIT("iso-2022-kr")},
    {STR_INIT("shift_jis"), STR_INIT("cp932")},
    {STR_INIT("sjis"), STR_INIT("cp932")},
    {STR_INIT("ms_kanji"), STR_INIT("cp932")},
    {STR_INIT("csshiftjis"), STR_INIT("cp932")},
    {STR_INIT("windows-31j"), STR_INIT("cp932")},
    {STR_INIT("cswindows31j"), STR_INIT("cp932")},
    {STR_INIT("windows-932"), STR_INIT("cp932")},
    {STR_INIT("ms932"), STR_INIT("cp932")},
    {STR_INIT("ms-cp932"), STR_INIT("cp932")},
    {STR_INIT("euc-jp"), STR_INIT("euc-jp")},
    {STR_INIT("eucjp-ms"), STR_INIT("euc-jp")},
    {STR_INIT("cp51932"), STR_INIT("euc-jp")},
    {STR_INIT("cseucpkdfmtjapanese"), STR_INIT("euc-jp")},
    {STR_INIT("csiso2022jp"), STR_INIT("iso-2022-jp")},
    {STR_INIT("iso-2022-jp-ms"), STR_INIT("iso-2022-jp")},
    {STR_INIT("windows-iso2022jp"), STR_INIT("iso-2022-jp")},
    {STR_INIT("cp50220"), STR_INIT("iso-2022-jp")},
    {STR_INIT("cp50221"), STR_INIT("iso-2022-jp")},
    {STR_INIT("cp50222"), STR_INIT("iso-2022-jp")},
    {STR_INIT("iso-2022-jp-1"), STR_INIT("iso-2022-jp-2")},
    {STR_INIT("csiso2022jp2"), STR_INIT("iso-2022-jp-2")},
    {STR_INIT("big5"), STR_INIT("big5-hkscs")},
    {STR_INIT("csbig5"), STR_INIT("big5-hkscs")},
    {STR_INIT("cn-big5"), STR_INIT("big5-hkscs")},
    {STR_INIT("big5-eten"), STR_INIT("big5-hkscs")},
    {STR_INIT("cp950"), STR_INIT("big5-hkscs")},
    {STR_INIT("windows-950"), STR_INIT("big5-hkscs")},
    {STR_INIT("unicode-1-1-utf-7"), STR_INIT("utf-7")},
    {STR_INIT("csunicode11utf7"), STR_INIT("utf-7")},
    {STR_INIT("unicode-2-0-utf-7"), STR_INIT("utf-7")},
};

/* Kept loaded by charset_init. */
static const char *const usual[] = {
    "gb18030", "big5-hkscs",  "euc-jp", "cp932",  "iso-2022-jp",
    "cp949",   "iso-2022-kr", "utf-7",  "utf-16", "utf-32",
};

static const struct {
    struct str name;
    enum charset_kind kind;
} builtin[] = {
    {STR_INIT("us-ascii"), CHARSET_ASCII},
    {STR_INIT("ascii"), CHARSET_ASCII},
    {STR_INIT(""), CHARSET_ASCII},
    {STR_INIT("ansi_x3.4-1968"), CHARSET_ASCII},
    {STR_INIT("utf-8"), CHARSET_UTF8},
    {STR_INIT("x-unknown"), CHARSET_UTF8},
    {STR_INIT("unknown-8bit"), CHARSET_UTF8},
};

#define REPLACEMENT STR("\xef\xbf\xbd")

/* ---- Names ---- */

/* Passes over what does not count; the next one that does, in lower case, or 0. */
static char next_of_name(struct str name, size_t *at)
{
    while (*at < name.len && !ascii_is_alnum(name.ptr[*at]))
        ++*at;
    return *at < name.len ? ascii_lower(name.ptr[(*at)++]) : 0;
}

bool charset_is_named(struct str name, struct str other)
{
    size_t name_at = 0, other_at = 0;
    char c;

    do {
        c = next_of_name(name, &name_at);
        if (next_of_name(other, &other_at) != c)
            return false;
    } while (c != 0);
    return true;
}

/* "x-" only says that a name was not registered; ":1987" behind one, when the charset was. */
static struct str plain_name(struct str name)
{
    ptrdiff_t colon = str_index(name, ':');

    if (colon > 0)
        name = str_upto(name, (size_t)colon);
    while (str_starts_with_nocase(name, STR("x-")) || str_starts_with_nocase(name, STR("x_")))
        name = str_from(name, 2);
    return name;
}

/* ---- Bytes ---- */

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

/* From `at` on, to `until` or a little further; gives where it stopped. */
static size_t put_utf8(struct str bytes, size_t at, size_t until, struct buf *out)
{
    struct str near = str_upto(bytes, until);

    while (at < until) {
        size_t start = at;

        while (at < until) {
            size_t len;

            at += ascii_run(near, at);
            len = at < until ? utf8_len(bytes, at) : 0;
            if (len == 0)
                break;
            at += len;
        }
        buf_put(out, str_make(bytes.ptr + start, at - start));
        if (at < until) {
            buf_put(out, REPLACEMENT);
            at++;
        }
    }
    return at;
}

/* As UTF-8, at most three bytes; gives how many. */
static size_t write_code_point(uint16_t code, char *to)
{
    if (code < 0x800) {
        to[0] = (char)(0xc0 | (code >> 6));
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | (code >> 12));
    to[1] = (char)(0x80 | ((code >> 6) & 0x3f));
    to[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

/* Bytes that are not ASCII from `at` on, up to `until` and to the room for them. */
static size_t put_high(struct str bytes, size_t at, size_t until, const uint16_t *high,
                       struct buf *out)
{
    size_t stop = until - at > CHUNK / 3 ? at + CHUNK / 3 : until, len = 0;
    char *room;

    if (buf_reserve(out, CHUNK, &room) != ERR_OK)
        return until;
    while (at < stop && (unsigned char)(bytes.ptr[at] - 1) >= 0x7f) {
        unsigned char byte = (unsigned char)bytes.ptr[at++];

        len += write_code_point(high == NULL || byte == 0 ? 0xfffd : high[byte - 0x80], room + len);
    }
    buf_commit(out, len);
    return at;
}

/* ASCII, with every other byte by the table of the upper half, or as U+FFFD without one. */
static void put_single_byte(struct str bytes, size_t at, size_t until, const uint16_t *high,
                            struct buf *out)
{
    struct str near = str_upto(bytes, until);

    while (at < until) {
        size_t run = ascii_run(near, at);

        buf_put(out, str_make(bytes.ptr + at, run));
        at = put_high(near, at + run, until, high, out);
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
    (void)put_utf8(str_make(room, CHUNK - to_left), 0, CHUNK - to_left, out);
    return to_left < CHUNK || *in_left < left_before;
}

static void close_converter(struct charset_reader *reader)
{
    if (reader->kind == CHARSET_CONVERTER)
        (void)iconv_close(reader->converter);
    reader->kind = CHARSET_UTF8;
}

static void put_converted(struct charset_reader *reader, size_t until, struct buf *out)
{
    struct str bytes = reader->bytes, rest = str_from(bytes, reader->at);
    char *in = (char *)(uintptr_t)rest.ptr; /* iconv takes char ** but only reads */
    size_t in_left = rest.len;
    struct buf scratch;

    buf_init(&scratch, SIZE_MAX);
    while (in_left > 0 && bytes.len - in_left < until) {
        if (convert_some(reader->converter, &in, &in_left, &scratch, out) || in_left == 0)
            continue;
        buf_put(out, REPLACEMENT);
        in++;
        in_left--;
        /* Mostly errors: not this charset at all, and a call for each byte would take long. */
        if (++reader->error_count > ERRORS_MAX + (bytes.len - in_left) / 8) {
            close_converter(reader);
            reader->kind = CHARSET_TABLE;
            reader->high = NULL;
            break;
        }
    }
    if (in_left == 0 && reader->kind == CHARSET_CONVERTER)
        (void)convert_some(reader->converter, &in, &in_left, &scratch, out);
    reader->at = bytes.len - in_left;
    buf_free(&scratch);
}

static bool open_converter(struct str charset, iconv_t *out_converter)
{
    char name[CHARSET_NAME_MAX + 1];

    if (charset.len == 0 || charset.len > CHARSET_NAME_MAX)
        return false; /* without a name iconv would take the locale's */
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
        if (charset_is_named(aliases[i].name, charset)) {
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

/*
 * HZ (RFC 1843), which iconv has not: GB 2312 in seven bits, between "~{" and "~}". Gives it in
 * eight.
 */
static void unpack_hz(struct str bytes, struct buf *out)
{
    bool is_packed = false;
    char *room;
    size_t len = 0;

    if (buf_reserve(out, bytes.len + 1, &room) != ERR_OK)
        return;
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i], next = i + 1 < bytes.len ? bytes.ptr[i + 1] : '\0';

        if (c == '\n')
            is_packed = false; /* it ends with the line */
        if (c == '~' && next == (is_packed ? '}' : '{')) {
            is_packed = !is_packed;
            i++;
        } else if (is_packed && c > ' ' && next > ' ') {
            room[len++] = (char)(c | 0x80);
            room[len++] = (char)(next | 0x80);
            i++;
        } else if (!is_packed && c == '~' && (next == '~' || next == '\n')) {
            if (next == '~')
                room[len++] = '~';
            i++;
        } else {
            room[len++] = c;
        }
    }
    buf_commit(out, len);
}

static void open_hz(struct charset_reader *reader)
{
    buf_init(&reader->unpacked, SIZE_MAX);
    unpack_hz(reader->bytes, &reader->unpacked);
    reader->bytes = buf_str(&reader->unpacked);
    if (open_converter(STR("gb18030"), &reader->converter))
        reader->kind = CHARSET_CONVERTER;
}

/* Raw UTF-8 under a missing or wrong label is common; anything else is not text. */
static void open_unlabelled(struct charset_reader *reader)
{
    reader->kind = str_is_utf8(reader->bytes) ? CHARSET_UTF8 : CHARSET_TABLE;
}

void charset_reader_open(struct charset_reader *reader, struct str charset, struct str bytes)
{
    *reader = (struct charset_reader){.bytes = bytes, .kind = CHARSET_TABLE};
    charset = str_trim(charset);
    for (size_t i = 0; i < ARRAY_LEN(builtin); i++) {
        if (!charset_is_named(builtin[i].name, charset))
            continue;
        reader->kind = builtin[i].kind;
        if (reader->kind == CHARSET_ASCII)
            open_unlabelled(reader);
        return;
    }
    charset = plain_name(charset);
    reader->high = charset_table(charset);
    if (reader->high != NULL)
        return;
    if (charset_is_named(charset, STR("hz-gb-2312")) || charset_is_named(charset, STR("hz")))
        open_hz(reader);
    else if (open_converter(charset, &reader->converter))
        reader->kind = CHARSET_CONVERTER;
    else
        open_unlabelled(reader);
}

bool charset_reader_step(struct charset_reader *reader, size_t max, struct buf *out)
{
    size_t left = reader->bytes.len - reader->at;
    size_t until = reader->at + (left < max ? left : max);

    switch (reader->kind) {
    case CHARSET_ASCII:
    case CHARSET_UTF8:
        reader->at = put_utf8(reader->bytes, reader->at, until, out);
        break;
    case CHARSET_TABLE:
        put_single_byte(reader->bytes, reader->at, until, reader->high, out);
        reader->at = until;
        break;
    case CHARSET_CONVERTER:
        put_converted(reader, until, out);
        break;
    }
    return reader->at < reader->bytes.len;
}

void charset_reader_close(struct charset_reader *reader)
{
    close_converter(reader);
    buf_free(&reader->unpacked);
}

void charset_to_utf8(struct str charset, struct str bytes, struct buf *out)
{
    struct charset_reader reader;

    charset_reader_open(&reader, charset, bytes);
    while (charset_reader_step(&reader, SIZE_MAX, out))
        continue;
    charset_reader_close(&reader);
}

void charset_guess_to_utf8(struct str bytes, struct buf *out)
{
    size_t i = 0;

    while (i < bytes.len) {
        size_t len = utf8_len(bytes, i);

        if (len == 0 && bytes.ptr[i] != 0) {
            put_single_byte(bytes, 0, bytes.len, charset_table(STR("windows-1252")), out);
            return;
        }
        i += len == 0 ? 1 : len;
    }
    (void)put_utf8(bytes, 0, bytes.len, out);
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
