#include "examiner/json.h"

#include "base/ascii.h"
#include "base/file.h"

#include <string.h>

enum { ROOM = 64 * 1024, SLICE = 24 * 1024 };

void json_begin(struct json_writer *json, struct task *task, int fd)
{
    *json = (struct json_writer){.task = task, .fd = fd};
    buf_init(&json->room, SIZE_MAX);
}

static void flush(struct json_writer *json)
{
    if (json->err == ERR_OK)
        json->err = fd_write_all(json->task, json->fd, buf_str(&json->room));
    buf_truncate(&json->room, 0);
}

enum err json_end(struct json_writer *json)
{
    flush(json);
    buf_free(&json->room);
    return json->err;
}

static void put(struct json_writer *json, struct str bytes)
{
    if (json->room.len + bytes.len > ROOM)
        flush(json);
    if (bytes.len <= ROOM)
        buf_put(&json->room, bytes);
    else if (json->err == ERR_OK)
        json->err = fd_write_all(json->task, json->fd, bytes);
}

/* What stands before every value. */
static void separate(struct json_writer *json)
{
    if (json->needs_comma)
        put(json, STR(","));
    json->needs_comma = true;
}

static void open_bracket(struct json_writer *json, struct str bracket)
{
    separate(json);
    put(json, bracket);
    json->needs_comma = false;
}

static void close_bracket(struct json_writer *json, struct str bracket)
{
    put(json, bracket);
    json->needs_comma = true;
}

void json_object_begin(struct json_writer *json)
{
    open_bracket(json, STR("{"));
}

void json_object_end(struct json_writer *json)
{
    close_bracket(json, STR("}"));
}

void json_array_begin(struct json_writer *json)
{
    open_bracket(json, STR("["));
}

void json_array_end(struct json_writer *json)
{
    close_bracket(json, STR("]"));
}

void json_key(struct json_writer *json, struct str name)
{
    json_put_text(json, name);
    put(json, STR(":"));
    json->needs_comma = false;
}

/* ---- Texts ---- */

/* The length of the character at the front, 0: it is none (RFC 3629 §4). */
static size_t character_len(struct str text)
{
    unsigned char first = (unsigned char)text.ptr[0];
    size_t len = first < 0x80   ? 1
                 : first < 0xc2 ? 0
                 : first < 0xe0 ? 2
                 : first < 0xf0 ? 3
                 : first < 0xf5 ? 4
                                : 0;

    if (len > text.len || !str_is_utf8(str_upto(text, len)))
        return 0; /* NUL is none, either */
    return len;
}

static void put_escaped(struct json_writer *json, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char named[] = {'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c, '\0'};
    const char numbered[] = {
        '\\', 'u', '0', '0', digits[(unsigned char)c >> 4], digits[(unsigned char)c & 15]};

    if (c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t')
        put(json, str_make(named, 2));
    else
        put(json, str_make(numbered, sizeof(numbered)));
}

/* How much of the front can be written as it is. */
static size_t plain_len(struct str text)
{
    size_t i = 0;

    while (i < text.len && i < SLICE && !ascii_is_control(text.ptr[i]) &&
           !ascii_is_8bit(text.ptr[i]) && text.ptr[i] != '"' && text.ptr[i] != '\\')
        i++;
    return i;
}

void json_put_text(struct json_writer *json, struct str text)
{
    separate(json);
    put(json, STR("\""));
    while (text.len > 0) {
        size_t len = plain_len(text);

        if (len == 0)
            len = character_len(text);
        if (len == 0) {
            put(json, STR("\xef\xbf\xbd"));
            len = 1;
        } else if (len == 1 &&
                   (ascii_is_control(text.ptr[0]) || text.ptr[0] == '"' || text.ptr[0] == '\\')) {
            put_escaped(json, text.ptr[0]);
        } else {
            put(json, str_upto(text, len));
        }
        text = str_from(text, len);
    }
    put(json, STR("\""));
}

void json_put_number(struct json_writer *json, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    json_put_raw(json, str_make(digits + at, sizeof(digits) - at));
}

void json_put_null(struct json_writer *json)
{
    json_put_raw(json, STR("null"));
}

void json_put_text_or_null(struct json_writer *json, struct str text)
{
    if (text.len == 0)
        json_put_null(json);
    else
        json_put_text(json, text);
}

void json_put_raw(struct json_writer *json, struct str value)
{
    separate(json);
    put(json, value);
}

/* ---- Base64 ---- */

void json_base64_begin(struct json_writer *json)
{
    separate(json);
    put(json, STR("\""));
    json->held_len = 0;
}

static void put_groups(struct json_writer *json, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *room;

    if (json->room.len + len / 3 * 4 > ROOM)
        flush(json);
    if (buf_reserve(&json->room, len / 3 * 4, &room) != ERR_OK)
        return; /* never: it has no limit */
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

        *room++ = digits[bits >> 18];
        *room++ = digits[bits >> 12 & 63];
        *room++ = digits[bits >> 6 & 63];
        *room++ = digits[bits & 63];
    }
    buf_commit(&json->room, len / 3 * 4);
}

void json_base64_feed(struct json_writer *json, struct str bytes)
{
    while (bytes.len > 0 && json->held_len > 0 && json->held_len < 3) {
        json->held[json->held_len++] = (unsigned char)bytes.ptr[0];
        bytes = str_from(bytes, 1);
    }
    if (json->held_len == 3) {
        put_groups(json, json->held, 3);
        json->held_len = 0;
    }
    while (bytes.len >= 3) {
        size_t len = bytes.len < SLICE ? bytes.len - bytes.len % 3 : SLICE;

        put_groups(json, (const unsigned char *)bytes.ptr, len);
        bytes = str_from(bytes, len);
    }
    if (bytes.len > 0) {
        memcpy(json->held, bytes.ptr, bytes.len);
        json->held_len = bytes.len;
    }
}

void json_base64_end(struct json_writer *json)
{
    size_t missing = 3 - json->held_len;

    if (json->held_len > 0) {
        memset(json->held + json->held_len, 0, missing);
        put_groups(json, json->held, 3);
        buf_truncate(&json->room, json->room.len - missing);
        put(json, str_upto(STR("=="), missing));
    }
    json->held_len = 0;
    put(json, STR("\""));
}
