/* Tar (POSIX ustar, with the long names of GNU and pax), in place: nothing is copied. */
#include "spam/unpack.h"

#include <string.h>

enum { BLOCK = 512, NAME_MAX_BYTES = 1024 };

/* Octal digits, or with the first bit set binary, big-endian (GNU). */
static uint64_t number(const char *bytes, size_t len)
{
    uint64_t value = 0;

    if (((unsigned char)bytes[0] & 0x80) != 0) {
        for (size_t i = 1; i < len; i++)
            value = value << 8 | (unsigned char)bytes[i];
        return value;
    }
    for (size_t i = 0; i < len && bytes[i] != '\0'; i++) {
        if (bytes[i] >= '0' && bytes[i] <= '7')
            value = value << 3 | (uint64_t)(bytes[i] - '0');
    }
    return value;
}

static struct str text(const char *bytes, size_t len)
{
    return str_make(bytes, strnlen(bytes, len));
}

/* "<length> path=<name>\n" among the records of a pax header. */
static struct str pax_path(struct str records)
{
    struct str line;

    while (str_split(&records, '\n', &line)) {
        ptrdiff_t at = str_find(line, STR(" path="));

        if (at >= 0 && at < 10)
            return str_from(line, (size_t)at + 6);
    }
    return STR("");
}

void unpack_tar(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    struct str long_name = STR("");

    while (bytes.len >= BLOCK && bytes.ptr[0] != '\0') {
        uint64_t size = number(bytes.ptr + 124, 12);
        char type = bytes.ptr[156];
        struct str name = text(bytes.ptr, 100), data;
        size_t padded;

        bytes = str_from(bytes, BLOCK);
        data = str_upto(bytes, size > bytes.len ? bytes.len : (size_t)size);
        if (size > bytes.len)
            archive->is_unread = true;
        padded = (data.len + BLOCK - 1) / BLOCK * BLOCK;
        bytes = str_from(bytes, padded);
        if (type == 'L' || type == 'x') {
            long_name = type == 'L' ? text(data.ptr, data.len) : pax_path(str_upto(data, 8192));
            if (!spam_budget_take(archive->budget, BLOCK))
                return;
            continue;
        }
        if (long_name.len > 0)
            name = long_name;
        long_name = STR("");
        if (!unpack_name(archive, str_upto(name, NAME_MAX_BYTES)))
            return;
        if (data.len > 0)
            unpack_content(archive, name, str_upto(data, SPAM_ARCHIVE_NESTED_MAX),
                           data.len == size && data.len <= SPAM_ARCHIVE_NESTED_MAX, depth);
        if (archive->is_bomb || archive->budget->is_spent)
            return;
    }
}
