/* Folder names as names of files, and back. */
#include "transfer/names.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "imap/utf7.h"
#include "secret/crypt.h"
#include "vault/folder.h"

/* File systems take 255 bytes; behind it come "~" and a digest, ".mbox.json", or a number. */
enum { LEVEL_BYTES_MAX = 220 };

/* Where a level begins that would make a Maildir of what is above it. */
static bool begins_maildir_level(struct str name, size_t i)
{
    struct str level = str_from(name, i);
    ptrdiff_t end = str_index(level, '/');

    if (i > 0 && name.ptr[i - 1] != '/')
        return false;
    level = end < 0 ? level : str_upto(level, (size_t)end);
    return str_equal(level, STR("cur")) || str_equal(level, STR("new"));
}

static bool is_plain(struct str name, size_t i)
{
    char c = name.ptr[i];

    if (ascii_is_control(c) || str_index(STR("%\\:*?\"<>|"), c) >= 0)
        return false;
    /* Hidden files, "." and ".."; and what ends in a dot or a space is another name elsewhere. */
    if ((c == '.' || c == ' ') &&
        (i == 0 || name.ptr[i - 1] == '/' || i + 1 == name.len || name.ptr[i + 1] == '/'))
        return false;
    return !begins_maildir_level(name, i);
}

static void put_level(struct buf *out, struct str name, size_t start, size_t end, bool is_ascii)
{
    for (size_t i = start; i < end; i++) {
        if (is_plain(name, i) && !(is_ascii && ascii_is_8bit(name.ptr[i])))
            buf_put(out, str_make(name.ptr + i, 1));
        else
            buf_putf(out, "%%%02X", (unsigned)(unsigned char)name.ptr[i]);
    }
}

/* Where a name that is too long ends: not within a character. */
static size_t shorter(struct str name, size_t end)
{
    do
        end--;
    while (end > 0 && ((unsigned char)name.ptr[end] & 0xc0) == 0x80);
    return end;
}

/* What tells the names apart that begin in the same way. */
static void put_digest(struct buf *out, struct str name)
{
    unsigned char digest[CRYPT_HASH_BYTES];

    crypt_digest(name, digest);
    buf_putf(out, "~%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3]);
}

struct str transfer_path(struct arena *arena, struct str name, bool is_ascii)
{
    CLEANUP(buf_free) struct buf out;
    size_t start = 0;

    buf_init(&out, SIZE_MAX);
    while (start < name.len) {
        ptrdiff_t slash = str_index(str_from(name, start), '/');
        size_t end = slash < 0 ? name.len : start + (size_t)slash, last = end, begin = out.len;

        put_level(&out, name, start, end, is_ascii);
        while (out.len - begin > LEVEL_BYTES_MAX) {
            last = shorter(name, last);
            buf_truncate(&out, begin);
            put_level(&out, name, start, last, is_ascii);
        }
        if (last < end)
            put_digest(&out, str_make(name.ptr + start, end - start));
        if (end < name.len)
            buf_put(&out, STR("/"));
        start = end + 1;
    }
    return arena_copy(arena, buf_str(&out));
}

static int digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_upper(c);
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct str transfer_path_name(struct arena *arena, struct str path)
{
    CLEANUP(buf_free) struct buf out;

    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];

        if (c == '%' && i + 2 < path.len && digit(path.ptr[i + 1]) >= 0 &&
            digit(path.ptr[i + 2]) >= 0) {
            c = (char)(digit(path.ptr[i + 1]) * 16 + digit(path.ptr[i + 2]));
            i += 2;
        }
        buf_put(&out, str_make(&c, 1));
    }
    return transfer_clean_name(arena, buf_str(&out));
}

struct str transfer_maildir(struct arena *arena, struct str name)
{
    CLEANUP(buf_free) struct buf out, swapped;

    buf_init(&out, SIZE_MAX);
    buf_init(&swapped, SIZE_MAX);
    if (str_equal(name, STR("INBOX")))
        return STR("");
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        c = c == '/' ? '.' : c == '.' ? '_' : c;
        buf_put(&swapped, str_make(&c, 1));
    }
    buf_put(&out, STR("."));
    imap_utf7_encode(buf_str(&swapped), &out);
    for (size_t end = name.len; out.len > LEVEL_BYTES_MAX;) {
        end = shorter(name, end);
        buf_truncate(&out, 1);
        imap_utf7_encode(str_make(swapped.ptr, end), &out);
        if (out.len <= LEVEL_BYTES_MAX)
            put_digest(&out, name);
    }
    return arena_copy(arena, buf_str(&out));
}

struct str transfer_maildir_name(struct arena *arena, struct str folder)
{
    CLEANUP(buf_free) struct buf decoded;

    buf_init(&decoded, SIZE_MAX);
    if (str_starts_with(folder, STR(".")))
        folder = str_from(folder, 1);
    if (folder.len == 0)
        return STR("INBOX");
    if (imap_utf7_decode(folder, &decoded) != ERR_OK) {
        buf_reset(&decoded); /* the newer form, plain UTF-8 */
        buf_put(&decoded, folder);
    }
    for (size_t i = 0; i < decoded.len; i++) {
        if (decoded.ptr[i] == '.')
            decoded.ptr[i] = '/';
    }
    return transfer_clean_name(arena, buf_str(&decoded));
}

/* How many bytes from here on are one character that no name may have; 0: none. C1 controls and the
 * line separators U+2028 and U+2029 are as bad as other controls. */
static size_t forbidden_at(struct str name, size_t i, bool is_utf8)
{
    char c = name.ptr[i];

    if (ascii_is_control(c) || c == '*' || c == '%' || (!is_utf8 && ascii_is_8bit(c)))
        return 1;
    if (is_utf8 && c == '\xc2' && (unsigned char)name.ptr[i + 1] < 0xa0)
        return 2;
    if (is_utf8 && c == '\xe2' && name.ptr[i + 1] == '\x80' &&
        (name.ptr[i + 2] == '\xa8' || name.ptr[i + 2] == '\xa9'))
        return 3;
    return 0;
}

struct str transfer_clean_name(struct arena *arena, struct str name)
{
    CLEANUP(buf_free) struct buf out;
    bool is_utf8 = str_is_utf8(name);
    size_t levels = 1;
    struct str clean;

    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < name.len; i++) {
        size_t forbidden = forbidden_at(name, i, is_utf8);
        char c = name.ptr[i];

        if (c == '/' && (out.len == 0 || out.ptr[out.len - 1] == '/'))
            continue;
        if (forbidden > 0) {
            i += forbidden - 1;
            c = '_';
        } else if (c == '/' && ++levels > VAULT_FOLDER_DEPTH_MAX) {
            c = '_';
        }
        buf_put(&out, str_make(&c, 1));
    }
    if (out.len > VAULT_FOLDER_NAME_MAX) {
        buf_truncate(&out, VAULT_FOLDER_NAME_MAX);
        while (out.len > 0 && !str_is_utf8(buf_str(&out)))
            buf_truncate(&out, out.len - 1);
    }
    if (out.len > 0 && out.ptr[out.len - 1] == '/')
        buf_truncate(&out, out.len - 1);
    clean = arena_copy(arena, buf_str(&out));
    if (str_equal_nocase(clean, STR("INBOX")))
        return STR("INBOX");
    if (str_starts_with_nocase(clean, STR("INBOX/")))
        return arena_printf(arena, "INBOX%.*s", STR_ARG(str_from(clean, 5)));
    return clean;
}
