/*
 * Zip (APPNOTE 6.3) by its central directory, as the programs read it that people use; where there
 * is none, by the entries' own headers. Offsets are from where the archive begins, which need not be
 * the file's beginning. Ours, because a reader for everybody obeys what an archive asks for: four
 * gigabytes of dictionary, a million entries.
 */
#include "spam/unpack.h"

#include "base/memory.h"

#include <string.h>
#include <zlib.h>

enum {
    END_BYTES = 22,
    END_REACH = END_BYTES + 65535, /* with the longest comment */
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    FLAG_ENCRYPTED = 1,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    NAME_MAX_BYTES = 1024,
};

struct zip {
    struct spam_archive *archive;
    struct str bytes;
    unsigned depth;
    uint64_t claimed;
};

struct zip_entry {
    uint32_t flags, method;
    uint64_t packed, unpacked;
    struct str name, data;
};

static uint32_t get16(struct str bytes, size_t at)
{
    return (uint32_t)(unsigned char)bytes.ptr[at] | (uint32_t)(unsigned char)bytes.ptr[at + 1] << 8;
}

static uint32_t get32(struct str bytes, size_t at)
{
    return get16(bytes, at) | get16(bytes, at + 2) << 16;
}

/* Unpacks the beginning, and all of it if that is an archive. */
static void look_at_deflated(struct zip *zip, const struct zip_entry *entry)
{
    size_t want = SPAM_CONTENT_HEAD, room = unpack_room(zip->archive, want);
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)entry->data.ptr,
                       .avail_in = (uInt)entry->data.len};
    char *out;
    size_t len = 0;
    int status = Z_OK;

    if (room == 0 || inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return;
    out = mem_room(room);
    for (;;) {
        size_t more;

        stream.next_out = (Bytef *)out + len;
        stream.avail_out = (uInt)(room - len);
        status = inflate(&stream, Z_NO_FLUSH);
        len = room - stream.avail_out;
        if (status != Z_OK || stream.avail_out > 0 || room >= SPAM_ARCHIVE_NESTED_MAX ||
            !unpack_wants_all(str_make(out, len)))
            break;
        more = unpack_room(zip->archive, room);
        if (more == 0)
            break;
        out = mem_resize(out, room + more, 1);
        room += more;
    }
    unpack_note_growth(zip->archive, entry->data.len - stream.avail_in, len, entry->data.len);
    inflateEnd(&stream);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        zip->archive->is_unread = true;
    unpack_content(zip->archive, entry->name, str_make(out, len), status == Z_STREAM_END,
                   zip->depth);
    mem_free(&out);
}

/* False: enough of this archive. */
static bool look_at_entry(struct zip *zip, const struct zip_entry *entry)
{
    if (!unpack_name(zip->archive, str_upto(entry->name, NAME_MAX_BYTES)))
        return false;
    zip->claimed += entry->unpacked;
    if ((entry->flags & FLAG_ENCRYPTED) != 0)
        zip->archive->is_encrypted = true;
    else if (entry->method == METHOD_STORED)
        unpack_content(zip->archive, entry->name, str_upto(entry->data, SPAM_ARCHIVE_NESTED_MAX),
                       entry->data.len <= SPAM_ARCHIVE_NESTED_MAX, zip->depth);
    else if (entry->method == METHOD_DEFLATED)
        look_at_deflated(zip, entry);
    else
        zip->archive->is_unread = true;
    return !zip->archive->is_bomb && !zip->archive->budget->is_spent;
}

/* What stands in front of the data; `at` is where. False: nothing of the kind. */
static bool read_local(struct str bytes, uint64_t at, struct zip_entry *out)
{
    struct str local;
    size_t name_len, extra_len;

    if (at > bytes.len || bytes.len - at < LOCAL_BYTES)
        return false;
    local = str_from(bytes, (size_t)at);
    if (memcmp(local.ptr, "PK\x03\x04", 4) != 0)
        return false;
    name_len = get16(local, 26);
    extra_len = get16(local, 28);
    out->flags = get16(local, 6);
    out->method = get16(local, 8);
    out->packed = get32(local, 18);
    out->unpacked = get32(local, 22);
    out->name = str_upto(str_from(local, LOCAL_BYTES), name_len);
    out->data = str_from(local, LOCAL_BYTES + name_len + extra_len);
    return true;
}

/* --- The central directory --- */

static bool find_end(struct str bytes, size_t *out_at)
{
    size_t first = bytes.len > END_REACH ? bytes.len - END_REACH : 0;

    if (bytes.len < END_BYTES)
        return false;
    for (size_t at = bytes.len - END_BYTES + 1; at-- > first;) {
        if (memcmp(bytes.ptr + at, "PK\x05\x06", 4) == 0) {
            *out_at = at;
            return true;
        }
    }
    return false;
}

static bool look_at_central(struct zip *zip, size_t end)
{
    size_t size = get32(zip->bytes, end + 12), at;
    uint64_t shift;

    if (size == 0 || size > end)
        return false;
    at = end - size;
    shift = at - get32(zip->bytes, end + 16); /* of bytes in front of the archive; may wrap */
    while (end - at >= CENTRAL_BYTES && memcmp(zip->bytes.ptr + at, "PK\x01\x02", 4) == 0) {
        struct str central = str_from(str_upto(zip->bytes, end), at);
        size_t name_len = get16(central, 28);
        struct zip_entry entry = {0}, local = {0};

        entry.flags = get16(central, 8);
        entry.method = get16(central, 10);
        entry.packed = get32(central, 20);
        entry.unpacked = get32(central, 24);
        entry.name = str_upto(str_from(central, CENTRAL_BYTES), name_len);
        if (read_local(zip->bytes, get32(central, 42) + shift, &local))
            entry.data = str_upto(local.data, (size_t)entry.packed);
        else
            zip->archive->is_unread = true;
        if (!look_at_entry(zip, &entry))
            return true;
        size = CENTRAL_BYTES + name_len + get16(central, 30) + get16(central, 32);
        if (size > end - at)
            break;
        at += size;
    }
    return true;
}

/* --- Without one: the file was cut, or hides its directory --- */

static void look_at_locals(struct zip *zip)
{
    struct zip_entry entry = {0};
    uint64_t at = 0;

    zip->archive->is_unread = true;
    while (read_local(zip->bytes, at, &entry)) {
        size_t data_at = (size_t)(entry.data.ptr - zip->bytes.ptr);

        /* Bit 3: the sizes follow behind the data, which ends where inflating ends. */
        if ((entry.flags & 8) == 0)
            entry.data = str_upto(entry.data, (size_t)entry.packed);
        if (!look_at_entry(zip, &entry) || (entry.flags & 8) != 0)
            return;
        at = (uint64_t)data_at + entry.packed;
    }
}

void unpack_zip(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    struct zip zip = {.archive = archive, .bytes = bytes, .depth = depth};
    size_t end;

    if (!find_end(bytes, &end) || !look_at_central(&zip, end))
        look_at_locals(&zip);
    unpack_note_claim(archive, zip.claimed, bytes.len);
}
