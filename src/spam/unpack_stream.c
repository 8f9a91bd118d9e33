/*
 * One compressed stream: gzip, bzip2 and xz, as far as it takes to tell what is in it. And the names in a 7z
 * archive, whose directory is such a stream, too.
 */
#include "spam/unpack.h"

#include "base/ascii.h"
#include "base/memory.h"

#include <bzlib.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>

enum { FIRST = 256 * 1024, LZMA_MEMORY = 48 * 1024 * 1024 };

/* Gives more output each time it is called; false: the stream ended, or is broken. */
typedef bool (*step_fn)(void *stream, char *out, size_t room, size_t *out_len);

/* What is inside: a tar has to be seen whole, of others the beginning is enough. */
static void look_at_stream(struct spam_archive *archive, step_fn step, void *stream,
                           const uint64_t *consumed, uint64_t total, unsigned depth)
{
    size_t room = unpack_room(archive, FIRST), len = 0;
    bool has_more = true;
    char *out;

    if (room == 0)
        return;
    out = mem_room(room);
    for (;;) {
        size_t got = 0, more;

        has_more = step(stream, out + len, room - len, &got);
        len += got;
        if (!has_more || len < room)
            break;
        unpack_note_growth(archive, *consumed, len, total);
        if (archive->is_bomb || room >= SPAM_ARCHIVE_NESTED_MAX ||
            !(unpack_grows_fast(*consumed, len) || unpack_wants_all(str_make(out, len))))
            break;
        more = unpack_room(archive, room);
        if (more == 0)
            break;
        out = mem_resize(out, room + more, 1);
        room += more;
    }
    if (!archive->is_bomb)
        unpack_content(archive, STR(""), str_make(out, len), !has_more, depth);
    mem_free(&out);
}

/* --- gzip (RFC 1952) --- */

struct gzip {
    z_stream stream;
    uint64_t consumed;
    uint64_t total;
};

static bool step_gzip(void *stream, char *out, size_t room, size_t *out_len)
{
    struct gzip *gzip = stream;
    int status;

    gzip->stream.next_out = (Bytef *)out;
    gzip->stream.avail_out = (uInt)room;
    status = inflate(&gzip->stream, Z_NO_FLUSH);
    *out_len = room - gzip->stream.avail_out;
    gzip->consumed = gzip->total - gzip->stream.avail_in;
    return status == Z_OK;
}

void unpack_gzip(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    struct gzip gzip = {.total = bytes.len};

    gzip.stream.next_in = (Bytef *)(uintptr_t)bytes.ptr;
    gzip.stream.avail_in = (uInt)bytes.len;
    if (inflateInit2(&gzip.stream, MAX_WBITS + 16) != Z_OK)
        return;
    look_at_stream(archive, step_gzip, &gzip, &gzip.consumed, bytes.len, depth);
    inflateEnd(&gzip.stream);
    if (bytes.len > 18) {
        struct str end = str_from(bytes, bytes.len - 4);
        uint64_t claimed = 0;

        for (size_t i = 0; i < 4; i++)
            claimed |= (uint64_t)(unsigned char)end.ptr[i] << (8 * i);
        /* Deflate cannot do better than 1,032 to 1: more is not a claim but other bytes. */
        if (claimed / bytes.len <= 1032)
            unpack_note_claim(archive, claimed, bytes.len);
    }
}

/* --- bzip2 --- */

struct bzip2 {
    bz_stream stream;
    uint64_t consumed;
    uint64_t total;
};

static bool step_bzip2(void *stream, char *out, size_t room, size_t *out_len)
{
    struct bzip2 *bzip2 = stream;
    int status;

    bzip2->stream.next_out = out;
    bzip2->stream.avail_out = (unsigned)room;
    status = BZ2_bzDecompress(&bzip2->stream);
    *out_len = room - bzip2->stream.avail_out;
    bzip2->consumed = bzip2->total - bzip2->stream.avail_in;
    /* It asks for more input by doing nothing. */
    return status == BZ_OK && *out_len > 0;
}

void unpack_bzip2(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    struct bzip2 bzip2 = {.total = bytes.len};

    if (BZ2_bzDecompressInit(&bzip2.stream, 0, 0) != BZ_OK)
        return;
    bzip2.stream.next_in = (char *)(uintptr_t)bytes.ptr;
    bzip2.stream.avail_in = (unsigned)bytes.len;
    look_at_stream(archive, step_bzip2, &bzip2, &bzip2.consumed, bytes.len, depth);
    BZ2_bzDecompressEnd(&bzip2.stream);
}

/* --- xz --- */

struct xz {
    lzma_stream stream;
    uint64_t consumed;
    uint64_t total;
};

static bool step_xz(void *stream, char *out, size_t room, size_t *out_len)
{
    struct xz *xz = stream;
    lzma_ret status;

    xz->stream.next_out = (uint8_t *)out;
    xz->stream.avail_out = room;
    status = lzma_code(&xz->stream, LZMA_RUN);
    *out_len = room - xz->stream.avail_out;
    xz->consumed = xz->total - xz->stream.avail_in;
    return status == LZMA_OK;
}

void unpack_xz(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    struct xz xz = {.stream = LZMA_STREAM_INIT, .total = bytes.len};

    /* Over the memory limit it unpacks nothing, and that is what is seen. */
    if (lzma_stream_decoder(&xz.stream, LZMA_MEMORY, 0) != LZMA_OK)
        return;
    xz.stream.next_in = (const uint8_t *)bytes.ptr;
    xz.stream.avail_in = bytes.len;
    look_at_stream(archive, step_xz, &xz, &xz.consumed, bytes.len, depth);
    if (xz.stream.total_out == 0)
        archive->is_unread = true;
    lzma_end(&xz.stream);
}

/* --- 7z --- */

enum { SEVEN_ZIP_START = 32, SEVEN_ZIP_HEADER_MAX = 1024 * 1024, SEVEN_ZIP_RUNS_MAX = 100 * 1000 };

static uint64_t get64(struct str bytes, size_t at)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++)
        value |= (uint64_t)(unsigned char)bytes.ptr[at + i] << (8 * i);
    return value;
}

/*
 * Names are UTF-16, each with a zero behind it. Where they stand in a header depends on all that
 * stands before them; rather than read that, every text of this form is taken for a name.
 */
static void look_at_names(struct spam_archive *archive, struct str header)
{
    char name[256];
    size_t len = 0, names = 0;

    for (size_t parity = 0; parity < 2; parity++) {
        len = 0;
        for (size_t i = parity; i + 1 < header.len; i += 2) {
            unsigned char low = (unsigned char)header.ptr[i];
            unsigned char high = (unsigned char)header.ptr[i + 1];

            if (low == 0 && high == 0) {
                if (len >= 3 && memchr(name, '.', len) != NULL) {
                    if (names++ >= SEVEN_ZIP_RUNS_MAX || !unpack_name(archive, str_make(name, len)))
                        return;
                }
                len = 0;
            } else if (len == sizeof(name)) {
                len = 0;
            } else {
                name[len++] = high == 0 && low >= ' ' && low < 0x7f ? (char)low : '_';
            }
        }
    }
}

/* A number of the format: the first byte's leading ones tell how many more bytes it has. */
static bool read_number(struct str bytes, size_t *at, uint64_t *out)
{
    unsigned char first;
    uint64_t value = 0;

    if (*at >= bytes.len)
        return false;
    first = (unsigned char)bytes.ptr[(*at)++];
    for (unsigned i = 0; i < 8; i++) {
        unsigned mask = 0x80u >> i;

        if ((first & mask) == 0) {
            *out = value | (uint64_t)(first & (mask - 1)) << (8 * i);
            return true;
        }
        if (*at >= bytes.len)
            return false;
        value |= (uint64_t)(unsigned char)bytes.ptr[(*at)++] << (8 * i);
    }
    *out = value;
    return true;
}

static bool expect(struct str bytes, size_t *at, const char *what, size_t len)
{
    if (bytes.len - *at < len || memcmp(bytes.ptr + *at, what, len) != 0)
        return false;
    *at += len;
    return true;
}

/* 17 06 position 01 09 size 00 07 0b 01 00 01 23 03 01 01 05 properties 0c unpacked: an encoded
 * header as 7-Zip writes it, one LZMA stream. */
struct encoded_header {
    uint64_t position, packed, unpacked;
    const char *properties;
};

static bool read_encoded(struct str header, struct encoded_header *out)
{
    size_t at = 0;

    if (!expect(header, &at, "\x17\x06", 2) || !read_number(header, &at, &out->position) ||
        !expect(header, &at, "\x01\x09", 2) || !read_number(header, &at, &out->packed))
        return false;
    if (!expect(header, &at, "\x00\x07\x0b\x01\x00\x01\x23\x03\x01\x01\x05", 11) ||
        header.len - at < 6)
        return false;
    out->properties = header.ptr + at;
    at += 5;
    return expect(header, &at, "\x0c", 1) && read_number(header, &at, &out->unpacked);
}

static void look_at_encoded(struct spam_archive *archive, struct str bytes, struct str header)
{
    struct encoded_header encoded;
    /* The older format that LZMA alone has: properties, size, stream. */
    unsigned char head[13];
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_ret status;
    size_t room;
    char *out;

    if (!read_encoded(header, &encoded) || encoded.unpacked > SEVEN_ZIP_HEADER_MAX ||
        encoded.position > bytes.len || encoded.packed > bytes.len - encoded.position ||
        (room = unpack_room(archive, (size_t)encoded.unpacked)) == 0) {
        archive->is_unread = true;
        return;
    }
    memcpy(head, encoded.properties, 5);
    for (size_t i = 0; i < 8; i++)
        head[5 + i] = (unsigned char)(encoded.unpacked >> (8 * i) & 0xff);
    if (lzma_alone_decoder(&stream, LZMA_MEMORY) != LZMA_OK)
        return;
    out = mem_new(1, room);
    stream.next_out = (uint8_t *)out;
    stream.avail_out = room;
    stream.next_in = head;
    stream.avail_in = sizeof(head);
    status = lzma_code(&stream, LZMA_RUN);
    if (status == LZMA_OK) {
        stream.next_in = (const uint8_t *)bytes.ptr + encoded.position;
        stream.avail_in = (size_t)encoded.packed;
        status = lzma_code(&stream, LZMA_RUN);
    }
    look_at_names(archive, str_make(out, room - stream.avail_out));
    archive->is_unread |= status != LZMA_OK && status != LZMA_STREAM_END;
    lzma_end(&stream);
    mem_free(&out);
}

void unpack_seven_zip(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    uint64_t offset, size;
    struct str packed, header;

    (void)depth;
    if (bytes.len < SEVEN_ZIP_START) {
        archive->is_unread = true;
        return;
    }
    offset = get64(bytes, 12);
    size = get64(bytes, 20);
    packed = str_from(bytes, SEVEN_ZIP_START);
    if (offset > packed.len || size > packed.len - offset || size > SEVEN_ZIP_HEADER_MAX) {
        archive->is_unread = true;
        return;
    }
    header = str_upto(str_from(packed, (size_t)offset), (size_t)size);
    if (header.len > 0 && header.ptr[0] == '\x17')
        look_at_encoded(archive, packed, header);
    else
        look_at_names(archive, header);
    /* 06 f1 07 01: the method AES-256. */
    if (str_find(header, STR("\x06\xf1\x07\x01")) >= 0)
        archive->is_encrypted = true;
}
