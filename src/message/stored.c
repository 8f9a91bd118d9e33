/*
 * The structure as the vault keeps it: a version byte, the number of parts, then each part. Numbers
 * are in base 128, low groups first, the top bit set on all but the last byte.
 *
 *   part = flags parent header_start header_len body_len body_lines type subtype charset filename
 *   flags = kind + 4 * encoding + 32 * is_attachment, one byte; header_start counts from the
 *   parent's body_start; a text is its length and its bytes
 *
 * Links between siblings and body_start follow from these. Decoding checks all that callers rely
 * on: ranges lie inside the parents' bodies, in order, and every kind has the children it must
 * have.
 */
#include "message/message.h"

#include <string.h>

enum { STORED_VERSION = 1, STORED_PART_MIN = 10, KIND_BITS = 2, ENCODING_BITS = 3 };

static void put_number(uint64_t value, struct buf *out)
{
    char bytes[10];
    size_t len = 0;

    while (value >= 128) {
        bytes[len++] = (char)(0x80 | (value & 127));
        value >>= 7;
    }
    bytes[len++] = (char)value;
    buf_put(out, str_make(bytes, len));
}

static void put_text(struct str text, struct buf *out)
{
    put_number(text.len, out);
    buf_put(out, text);
}

void message_structure_encode(const struct message_structure *structure, struct buf *out)
{
    const char version = STORED_VERSION;

    buf_put(out, str_make(&version, 1));
    put_number(structure->part_count, out);
    for (uint32_t i = 0; i < structure->part_count; i++) {
        const struct message_part *part = &structure->parts[i];
        uint64_t base = i == 0 ? 0 : structure->parts[part->parent].body_start;
        unsigned flags = (unsigned)part->kind | (unsigned)part->encoding << KIND_BITS |
                         (unsigned)part->is_attachment << (KIND_BITS + ENCODING_BITS);

        put_number(flags, out);
        put_number(part->parent, out);
        put_number(part->header_start - base, out);
        put_number(part->header_len, out);
        put_number(part->body_len, out);
        put_number(part->body_lines, out);
        put_text(part->type, out);
        put_text(part->subtype, out);
        put_text(part->charset, out);
        put_text(part->filename, out);
    }
}

struct reader {
    struct arena *arena;
    struct str rest;
    bool is_bad;
};

static uint64_t take_number(struct reader *r)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned char byte;

        if (r->rest.len == 0)
            break;
        byte = (unsigned char)r->rest.ptr[0];
        r->rest = str_from(r->rest, 1);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            /* One form only, so that equal structures have equal bytes. */
            if (byte == 0 && shift > 0)
                break;
            return value;
        }
    }
    r->is_bad = true;
    return 0;
}

static uint32_t take_small(struct reader *r)
{
    uint64_t value = take_number(r);

    if (value > UINT32_MAX)
        r->is_bad = true;
    return (uint32_t)value;
}

static struct str take_text(struct reader *r)
{
    uint64_t len = take_number(r);
    struct str text;

    if (r->is_bad || len > r->rest.len) {
        r->is_bad = true;
        return STR("");
    }
    text = arena_copy(r->arena, str_upto(r->rest, (size_t)len));
    r->rest = str_from(r->rest, (size_t)len);
    return text;
}

static bool take_flags(struct reader *r, struct message_part *part)
{
    uint64_t flags = take_number(r);
    uint64_t kind = flags & 3;
    uint64_t encoding = flags >> KIND_BITS & 7;

    if (flags >= 1u << (KIND_BITS + ENCODING_BITS + 1) || kind > MESSAGE_KIND_MESSAGE ||
        encoding > MESSAGE_ENCODING_OTHER)
        return false;
    part->kind = (enum message_kind)kind;
    part->encoding = (enum message_encoding)encoding;
    part->is_attachment = flags >> (KIND_BITS + ENCODING_BITS) & 1;
    return true;
}

/* Reads part `i`; its parent and elder siblings are there already. */
static bool take_part(struct reader *r, struct message_part *parts, uint32_t i)
{
    struct message_part *part = &parts[i];
    uint64_t offset, base = 0, limit = UINT64_MAX / 4;

    if (!take_flags(r, part))
        return false;
    part->parent = take_small(r);
    offset = take_number(r);
    part->header_len = take_number(r);
    part->body_len = take_number(r);
    part->body_lines = take_small(r);
    part->type = take_text(r);
    part->subtype = take_text(r);
    part->charset = take_text(r);
    part->filename = take_text(r);
    if (r->is_bad)
        return false;
    if (i == 0 && (part->parent != 0 || offset != 0))
        return false;
    if (i > 0) {
        if (part->parent >= i || parts[part->parent].kind == MESSAGE_KIND_LEAF)
            return false;
        base = parts[part->parent].body_start;
        limit = parts[part->parent].body_len;
    }
    if (offset > limit || part->header_len > limit - offset ||
        part->body_len > limit - offset - part->header_len || part->body_lines > part->body_len)
        return false;
    part->header_start = base + offset;
    part->body_start = part->header_start + part->header_len;
    return true;
}

/* Makes the links; `last` holds each part's youngest child so far, `depth` how deep each one is. */
static bool link_part(struct message_part *parts, uint32_t i, uint32_t *last, unsigned *depth)
{
    struct message_part *part = &parts[i];
    struct message_part *parent = &parts[part->parent];

    depth[i] = depth[part->parent] + 1;
    if (depth[i] > MESSAGE_DEPTH_MAX)
        return false;
    if (last[part->parent] == 0) {
        /* A first child comes right behind its parent. */
        if (part->parent != i - 1)
            return false;
        parent->first_child = i;
    } else {
        const struct message_part *elder = &parts[last[part->parent]];

        if (parent->kind == MESSAGE_KIND_MESSAGE ||
            part->header_start < elder->body_start + elder->body_len)
            return false;
        parts[last[part->parent]].next = i;
    }
    last[part->parent] = i;
    return true;
}

static bool decode(struct reader *r, struct message_structure *out)
{
    uint32_t count, *last;
    unsigned *depth;

    if (r->rest.len < 2 || r->rest.ptr[0] != STORED_VERSION)
        return false;
    r->rest = str_from(r->rest, 1);
    count = take_small(r);
    if (r->is_bad || count == 0 || count > MESSAGE_PARTS_MAX ||
        count > r->rest.len / STORED_PART_MIN)
        return false;
    out->parts = ARENA_ARRAY(r->arena, struct message_part, count);
    out->part_count = count;
    last = ARENA_ARRAY(r->arena, uint32_t, count);
    depth = ARENA_ARRAY(r->arena, unsigned, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!take_part(r, out->parts, i) || (i > 0 && !link_part(out->parts, i, last, depth)))
            return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (out->parts[i].kind != MESSAGE_KIND_LEAF && out->parts[i].first_child == 0)
            return false;
    }
    return r->rest.len == 0;
}

enum err message_structure_decode(struct task *task, struct str stored,
                                  struct message_structure *out)
{
    struct reader reader = {.arena = &task->arena, .rest = stored};
    struct message_structure structure = {0};

    if (!decode(&reader, &structure))
        return fail(task, ERR_CORRUPT, "a stored message structure is damaged");
    *out = structure;
    return ERR_OK;
}
