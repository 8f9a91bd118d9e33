#include "base/encode.h"

#include "base/ascii.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum err encode_hex(struct buf *out, struct str bytes)
{
    char *room;

    if (bytes.len > SIZE_MAX / 2 || buf_reserve(out, bytes.len * 2, &room) != ERR_OK)
        return ERR_LIMIT;
    for (size_t i = 0; i < bytes.len; i++) {
        room[2 * i] = hex_digits[(unsigned char)bytes.ptr[i] >> 4];
        room[2 * i + 1] = hex_digits[(unsigned char)bytes.ptr[i] & 15];
    }
    buf_commit(out, bytes.len * 2);
    return ERR_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum err decode_hex(struct buf *out, struct str text)
{
    char *room;

    if (text.len % 2 != 0)
        return ERR_INVALID;
    if (buf_reserve(out, text.len / 2, &room) != ERR_OK)
        return ERR_LIMIT;
    for (size_t i = 0; i < text.len / 2; i++) {
        int high = hex_value(text.ptr[2 * i]), low = hex_value(text.ptr[2 * i + 1]);

        if (high < 0 || low < 0)
            return ERR_INVALID;
        room[i] = (char)(high << 4 | low);
    }
    buf_commit(out, text.len / 2);
    return ERR_OK;
}

enum err encode_base64(struct buf *out, struct str bytes)
{
    size_t len = (bytes.len + 2) / 3 * 4;
    char *room;

    if (bytes.len > SIZE_MAX / 2 || buf_reserve(out, len, &room) != ERR_OK)
        return ERR_LIMIT;
    for (size_t i = 0, o = 0; i < bytes.len; i += 3, o += 4) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)(unsigned char)bytes.ptr[i] << 16;

        if (left > 1)
            group |= (uint32_t)(unsigned char)bytes.ptr[i + 1] << 8;
        if (left > 2)
            group |= (unsigned char)bytes.ptr[i + 2];
        room[o] = base64_digits[group >> 18];
        room[o + 1] = base64_digits[group >> 12 & 63];
        room[o + 2] = left > 1 ? base64_digits[group >> 6 & 63] : '=';
        room[o + 3] = left > 2 ? base64_digits[group & 63] : '=';
    }
    buf_commit(out, len);
    return ERR_OK;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

enum err decode_base64(struct buf *out, struct str text)
{
    size_t padding = 0, len;
    char *room;

    if (text.len % 4 != 0)
        return ERR_INVALID;
    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
        padding++;
    len = text.len / 4 * 3;
    if (buf_reserve(out, len, &room) != ERR_OK)
        return ERR_LIMIT;
    for (size_t i = 0, o = 0; i < text.len; i += 4, o += 3) {
        uint32_t group = 0;

        for (size_t k = 0; k < 4; k++) {
            bool is_padding = i + k >= text.len - padding;
            int value = is_padding ? 0 : base64_value(text.ptr[i + k]);

            if (value < 0)
                return ERR_INVALID;
            group = group << 6 | (uint32_t)value;
        }
        if (i + 4 == text.len && ((padding == 1 && (group & 0xff) != 0) ||
                                  (padding == 2 && (group & 0xffff) != 0)))
            return ERR_INVALID;
        room[o] = (char)(group >> 16);
        room[o + 1] = (char)(group >> 8 & 0xff);
        room[o + 2] = (char)(group & 0xff);
    }
    buf_commit(out, len - padding);
    return ERR_OK;
}

static bool is_plain_in_shell(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_alnum(text.ptr[i]) && memchr("@%+=:,./-_", text.ptr[i], 10) == NULL)
            return false;
    }
    return text.len > 0;
}

void encode_shell_word(struct buf *out, struct str text)
{
    if (is_plain_in_shell(text)) {
        buf_put(out, text);
        return;
    }
    buf_put(out, STR("'"));
    for (size_t i = 0; i < text.len; i++)
        buf_put(out, text.ptr[i] == '\'' ? STR("'\\''") : str_make(&text.ptr[i], 1));
    buf_put(out, STR("'"));
}
