/*
 * Rar (its old form and that of version 5) and cabinets: the names of their files, and what is stored
 * without compression. Their decoders are none that a scanner should carry. libarchive's reader was
 * tried first: a minute of fuzzing found a cabinet that it does not survive.
 */
#include "spam/unpack.h"

#include <string.h>

enum { NAME_MAX_BYTES = 1024 };

static uint64_t get(struct str bytes, size_t at, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size && at + i < bytes.len; i++)
        value |= (uint64_t)(unsigned char)bytes.ptr[at + i] << (8 * i);
    return value;
}

/* False: enough. */
static bool note(struct spam_archive *archive, struct str name, struct str stored, unsigned depth)
{
    if (!unpack_name(archive, str_upto(name, NAME_MAX_BYTES)))
        return false;
    if (stored.len > 0)
        unpack_content(archive, name, str_upto(stored, SPAM_ARCHIVE_NESTED_MAX),
                       stored.len <= SPAM_ARCHIVE_NESTED_MAX, depth);
    else
        archive->is_unread = true;
    return !archive->is_bomb && !archive->budget->is_spent;
}

/* --- Rar, up to version 4 --- */

enum {
    OLD_SIGNATURE = 7,
    OLD_HEAD = 7, /* checksum, type, flags, size */
    OLD_FILE_HEAD = 32,
    OLD_MAIN = 0x73,
    OLD_FILE = 0x74,
    OLD_END = 0x7b,
    OLD_STORED = 0x30,
};

static bool look_at_old_file(struct spam_archive *archive, struct str block, struct str data,
                             unsigned depth)
{
    uint64_t flags = get(block, 3, 2);
    size_t name_at = OLD_FILE_HEAD + ((flags & 0x100) != 0 ? 8 : 0);
    struct str name = str_upto(str_from(block, name_at), (size_t)get(block, 26, 2));
    bool is_stored = get(block, 25, 1) == OLD_STORED;
    ptrdiff_t zero = str_index(name, '\0');

    if (zero >= 0) /* its Unicode form follows, packed */
        name = str_upto(name, (size_t)zero);
    if ((flags & 4) != 0) {
        archive->is_encrypted = true;
        return unpack_name(archive, str_upto(name, NAME_MAX_BYTES));
    }
    return note(archive, name, is_stored ? data : STR(""), depth);
}

static void look_at_old_rar(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    size_t at = OLD_SIGNATURE;

    while (bytes.len - at >= OLD_HEAD) {
        struct str block = str_from(bytes, at), data;
        uint64_t type = get(block, 2, 1), flags = get(block, 3, 2), size = get(block, 5, 2);
        uint64_t data_size = (flags & 0x8000) != 0 || type == OLD_FILE ? get(block, 7, 4) : 0;

        if (size < OLD_HEAD || size > block.len || type == OLD_END)
            break;
        if (type == OLD_MAIN && (flags & 0x80) != 0) { /* the names, too */
            archive->is_encrypted = true;
            return;
        }
        data = str_from(block, (size_t)size);
        if (data_size > data.len)
            data_size = data.len;
        if (type == OLD_FILE && size >= OLD_FILE_HEAD &&
            !look_at_old_file(archive, str_upto(block, (size_t)size),
                              str_upto(data, (size_t)data_size), depth))
            return;
        if (!spam_budget_take(archive->budget, OLD_HEAD))
            return;
        at += (size_t)(size + data_size);
    }
}

/* --- Rar 5 --- */

enum { NEW_SIGNATURE = 8, NEW_FILE = 2, NEW_ENCRYPTION = 4, NEW_END = 5 };

/* Seven bits a byte, the lowest first. False: it does not end. */
static bool number(struct str bytes, size_t *at, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 63 && *at < bytes.len; shift += 7) {
        unsigned char byte = (unsigned char)bytes.ptr[(*at)++];

        *out |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

struct new_block {
    uint64_t type, flags, data_size;
    size_t fields; /* where those of its type begin */
};

static bool read_new_block(struct str head, struct new_block *out)
{
    size_t at = 0;
    uint64_t extra;

    *out = (struct new_block){0};
    if (!number(head, &at, &out->type) || !number(head, &at, &out->flags))
        return false;
    if ((out->flags & 1) != 0 && !number(head, &at, &extra))
        return false;
    if ((out->flags & 2) != 0 && !number(head, &at, &out->data_size))
        return false;
    out->fields = at;
    return true;
}

static bool look_at_new_file(struct spam_archive *archive, struct str head, size_t at,
                             struct str data, unsigned depth)
{
    uint64_t flags, size, attributes, method, system, name_len;

    if (!number(head, &at, &flags) || !number(head, &at, &size) || !number(head, &at, &attributes))
        return false;
    at += (flags & 2) != 0 ? 4 : 0; /* a time, */
    at += (flags & 4) != 0 ? 4 : 0; /* a checksum */
    if (!number(head, &at, &method) || !number(head, &at, &system) || !number(head, &at, &name_len))
        return false;
    return note(archive, str_upto(str_from(head, at), (size_t)name_len),
                (method >> 7 & 7) == 0 ? data : STR(""), depth);
}

static void look_at_new_rar(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    size_t at = NEW_SIGNATURE;

    while (bytes.len > at + 4) {
        struct new_block block;
        struct str head, data;
        uint64_t size;

        at += 4;
        if (!number(bytes, &at, &size) || size > bytes.len - at)
            break;
        head = str_upto(str_from(bytes, at), (size_t)size);
        if (!read_new_block(head, &block) || block.type == NEW_END)
            break;
        if (block.type == NEW_ENCRYPTION) {
            archive->is_encrypted = true;
            return;
        }
        at += (size_t)size;
        data = str_from(bytes, at);
        if (block.data_size < data.len)
            data = str_upto(data, (size_t)block.data_size);
        if (block.type == NEW_FILE &&
            !look_at_new_file(archive, head, block.fields, data, depth))
            return;
        if (!spam_budget_take(archive->budget, 16))
            return;
        at += data.len;
    }
}

void unpack_rar(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    if (str_starts_with(bytes, STR("Rar!\x1a\x07\x01")))
        look_at_new_rar(archive, bytes, depth);
    else
        look_at_old_rar(archive, bytes, depth);
}

/* --- Cabinets --- */

enum { CAB_HEAD = 36, CAB_FILE_HEAD = 16 };

void unpack_cab(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    uint64_t at = get(bytes, 16, 4), count = get(bytes, 28, 2);

    archive->is_unread = true;
    if (bytes.len < CAB_HEAD)
        return;
    for (uint64_t i = 0; i < count && at < bytes.len && bytes.len - at > CAB_FILE_HEAD; i++) {
        struct str name = str_from(bytes, (size_t)at + CAB_FILE_HEAD);

        name = str_make(name.ptr, strnlen(name.ptr, name.len < 256 ? name.len : 256));
        if (!note(archive, name, STR(""), depth))
            return;
        at += CAB_FILE_HEAD + name.len + 1;
    }
}
