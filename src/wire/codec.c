/*
 * Messages to MessagePack and back: an array of type, tag and the fields in the table's order.
 *
 * Writing is msgpack-c's. Reading is ours: the library's reader allocates what an array claims to
 * hold before it has seen it, and a frame may come from a process that was taken over. This one
 * allocates nothing, has no nesting, and takes only what the table describes, in its shortest form,
 * so that a message has exactly one encoding.
 */
#include "wire/channel.h"
#include "wire/table.h"

#include <msgpack/pack.h>
#include <string.h>

struct reader {
    const unsigned char *at;
    size_t left;
};

static int write_bytes(void *data, const char *bytes, size_t len)
{
    return buf_append(data, str_make(bytes, len)) == ERR_OK ? 0 : -1;
}

static int pack_bytes(msgpack_packer *packer, struct str bytes)
{
    if (msgpack_pack_bin(packer, bytes.len) != 0)
        return -1;
    return bytes.len == 0 ? 0 : msgpack_pack_bin_body(packer, bytes.ptr, bytes.len);
}

static int pack_field(msgpack_packer *packer, const struct wire_field *field, const void *body)
{
    const void *at = (const char *)body + field->offset;

    switch (field->kind) {
    case WIRE_KIND_u64:
        return msgpack_pack_uint64(packer, *(const uint64_t *)at);
    case WIRE_KIND_i64:
        return msgpack_pack_int64(packer, *(const int64_t *)at);
    case WIRE_KIND_flag:
        return *(const bool *)at ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
    case WIRE_KIND_id:
        return pack_bytes(packer, id_is_set(at) ? id_str(at) : STR(""));
    case WIRE_KIND_str:
    case WIRE_KIND_secret:
        return pack_bytes(packer, *(const struct str *)at);
    }
    return -1;
}

enum err wire_encode(enum wire_type type, uint64_t tag, const void *body, struct buf *out)
{
    size_t count, before = out->len;
    const struct wire_field *fields = wire_entry(type)->fields(&count);
    msgpack_packer packer;
    int status;

    msgpack_packer_init(&packer, out, write_bytes);
    status = msgpack_pack_array(&packer, count + 2);
    if (status == 0)
        status = msgpack_pack_uint64(&packer, (uint64_t)type);
    if (status == 0)
        status = msgpack_pack_uint64(&packer, tag);
    for (size_t i = 0; i < count && status == 0; i++)
        status = pack_field(&packer, &fields[i], body);
    if (status != 0 || out->len - before > WIRE_FRAME_MAX) {
        buf_truncate(out, before);
        return ERR_LIMIT;
    }
    return ERR_OK;
}

/* A big-endian number of `width` bytes. */
static bool read_number(struct reader *in, size_t width, uint64_t *out_value)
{
    uint64_t value = 0;

    if (in->left < width)
        return false;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | in->at[i];
    in->at += width;
    in->left -= width;
    *out_value = value;
    return true;
}

static bool read_byte(struct reader *in, unsigned char *out_byte)
{
    uint64_t value;

    if (!read_number(in, 1, &value))
        return false;
    *out_byte = (unsigned char)value;
    return true;
}

/* positive fixint, uint 8, 16, 32, 64; shortest form only */
static bool read_u64_after(struct reader *in, unsigned char first, uint64_t *out_value)
{
    size_t width;

    if (first < 0x80) {
        *out_value = first;
        return true;
    }
    if (first < 0xcc || first > 0xcf)
        return false;
    width = (size_t)1 << (first - 0xcc);
    if (!read_number(in, width, out_value))
        return false;
    return *out_value >= (width == 1 ? 0x80 : (uint64_t)1 << (4 * width));
}

static bool read_u64(struct reader *in, uint64_t *out_value)
{
    unsigned char first;

    return read_byte(in, &first) && read_u64_after(in, first, out_value);
}

/* A non-negative one is written as unsigned; else negative fixint, int 8, 16, 32, 64. */
static bool read_i64(struct reader *in, int64_t *out_value)
{
    unsigned char first;
    uint64_t bits;
    unsigned width;
    int64_t value;

    if (!read_byte(in, &first))
        return false;
    if (first >= 0xe0) {
        *out_value = (int64_t)first - 0x100;
        return true;
    }
    if (first < 0xd0 || first > 0xd3) {
        if (!read_u64_after(in, first, &bits) || bits > INT64_MAX)
            return false;
        *out_value = (int64_t)bits;
        return true;
    }
    width = 1u << (first - 0xd0);
    if (!read_number(in, width, &bits))
        return false;
    if ((bits >> (8 * width - 1)) != 1)
        return false; /* only negative ones are written this way */
    if (width < 8)
        bits |= UINT64_MAX << (8 * width);
    memcpy(&value, &bits, sizeof(value));
    *out_value = value;
    return value < (width == 1 ? -32 : -(INT64_C(1) << (4 * width - 1)));
}

static bool read_flag(struct reader *in, bool *out_flag)
{
    unsigned char first;

    if (!read_byte(in, &first) || (first != 0xc2 && first != 0xc3))
        return false;
    *out_flag = first == 0xc3;
    return true;
}

/* bin 8, 16, 32 */
static bool read_bytes(struct reader *in, struct str *out_bytes)
{
    unsigned char first;
    uint64_t len;
    size_t width;

    if (!read_byte(in, &first) || first < 0xc4 || first > 0xc6)
        return false;
    width = (size_t)1 << (first - 0xc4);
    if (!read_number(in, width, &len) || len > in->left)
        return false;
    if (width > 1 && len < (uint64_t)1 << (4 * width))
        return false;
    *out_bytes = str_make(in->at, (size_t)len);
    in->at += len;
    in->left -= (size_t)len;
    return true;
}

/* 24 lower-case hex digits, or nothing: not set */
static bool read_id(struct reader *in, struct id *out_id)
{
    struct str text;

    if (!read_bytes(in, &text))
        return false;
    if (text.len > 0)
        return id_parse(text, out_id);
    *out_id = (struct id){{0}};
    return true;
}

static bool read_field(struct reader *in, const struct wire_field *field, void *body)
{
    void *at = (char *)body + field->offset;

    switch (field->kind) {
    case WIRE_KIND_u64:
        return read_u64(in, at);
    case WIRE_KIND_i64:
        return read_i64(in, at);
    case WIRE_KIND_flag:
        return read_flag(in, at);
    case WIRE_KIND_id:
        return read_id(in, at);
    case WIRE_KIND_str:
    case WIRE_KIND_secret:
        return read_bytes(in, at);
    }
    return false;
}

enum err wire_decode(struct str frame, struct wire_message *out)
{
    struct reader in = {(const unsigned char *)frame.ptr, frame.len};
    const struct wire_field *fields;
    unsigned char first;
    uint64_t type;
    size_t count;

    *out = (struct wire_message){.type = 0};
    for (size_t i = 0; i < WIRE_DESCRIPTORS_MAX; i++)
        out->fds[i] = -1;
    if (frame.len > WIRE_FRAME_MAX || !read_byte(&in, &first) || (first & 0xf0) != 0x90)
        return ERR_INVALID;
    if (!read_u64(&in, &type) || type >= WIRE_TYPE_COUNT || !read_u64(&in, &out->tag))
        return ERR_INVALID;
    out->type = (enum wire_type)type;
    fields = wire_entry(out->type)->fields(&count);
    if ((first & 0x0fu) != count + 2)
        return ERR_INVALID;
    for (size_t i = 0; i < count; i++) {
        if (!read_field(&in, &fields[i], &out->body))
            return ERR_INVALID;
    }
    return in.left == 0 ? ERR_OK : ERR_INVALID;
}
