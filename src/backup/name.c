#include "backup/name.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "secret/crypt.h"

#include <stdio.h>

static bool is_name_byte(char byte)
{
    return ascii_is_alnum(byte) || byte == '.' || byte == '_' || byte == '-';
}

/* part = (ALPHA / DIGIT / "_" / "-") *(ALPHA / DIGIT / "." / "_" / "-") */
static bool is_part(struct str part)
{
    if (part.len == 0 || part.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < part.len; i++) {
        if (!is_name_byte(part.ptr[i]))
            return false;
    }
    return true;
}

bool backup_name_is_valid(struct str name)
{
    struct str rest = name, part;
    size_t depth = 0;

    if (name.len == 0 || name.len > BACKUP_NAME_MAX || name.ptr[name.len - 1] == '/' ||
        str_ends_with(name, STR(BACKUP_DIGEST_SUFFIX)))
        return false;
    while (str_split(&rest, '/', &part)) {
        if (++depth > BACKUP_NAME_DEPTH_MAX || !is_part(part))
            return false;
    }
    return true;
}

bool backup_prefix_is_valid(struct str prefix)
{
    if (prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    else if (prefix.len == 0)
        return true;
    return backup_name_is_valid(prefix);
}

/* yyyymmddThhmmss.mmmZ */
void backup_stamp_format(int64_t ms, char out[static BACKUP_STAMP_ROOM])
{
    struct clock_date date;

    clock_split(ms, &date);
    (void)snprintf(out, BACKUP_STAMP_ROOM, "%04d%02d%02dT%02d%02d%02d.%03dZ", date.year % 10000,
                   date.month % 100, date.day % 100, date.hour % 100, date.minute % 100,
                   date.second % 100, date.millisecond % 1000);
}

/* `count` digits from `start` on. */
static bool read_digits(struct str text, size_t start, size_t count, int *out)
{
    uint32_t value;

    for (size_t i = start; i < start + count; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return false;
    }
    if (!parse_u32(str_upto(str_from(text, start), count), &value))
        return false;
    *out = (int)value;
    return true;
}

bool backup_stamp_parse(struct str text, int64_t *out_ms)
{
    struct clock_date date = {.year = 0};
    char again[BACKUP_STAMP_ROOM];
    int64_t ms;

    if (text.len < BACKUP_STAMP_LEN || text.ptr[8] != 'T' || text.ptr[15] != '.' ||
        text.ptr[19] != 'Z' ||
        (text.len > BACKUP_STAMP_LEN && ascii_is_alnum(text.ptr[BACKUP_STAMP_LEN])))
        return false;
    if (!read_digits(text, 0, 4, &date.year) || !read_digits(text, 4, 2, &date.month) ||
        !read_digits(text, 6, 2, &date.day) || !read_digits(text, 9, 2, &date.hour) ||
        !read_digits(text, 11, 2, &date.minute) || !read_digits(text, 13, 2, &date.second) ||
        !read_digits(text, 16, 3, &date.millisecond))
        return false;
    /* There is no 31 February: what is no date comes out as another one. */
    if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > 31)
        return false;
    ms = clock_join(&date);
    backup_stamp_format(ms, again);
    if (!str_equal(str_upto(text, BACKUP_STAMP_LEN), str_from_c(again)))
        return false;
    *out_ms = ms;
    return true;
}

void backup_host_mark(const struct secret *drop_root, char out[static BACKUP_HOST_MARK_LEN + 1])
{
    unsigned char hash[CRYPT_HASH_BYTES];

    crypt_hash(secret_str(drop_root), STR("sealpost host mark"), STR(""), hash);
    (void)snprintf(out, BACKUP_HOST_MARK_LEN + 1, "%02x%02x%02x%02x", hash[0], hash[1], hash[2],
                   hash[3]);
}
