#include "message/preview.h"

#include "base/ascii.h"

static bool is_inside_message(const struct message_structure *structure, uint32_t index)
{
    while (index != 0) {
        index = structure->parts[index].parent;
        if (structure->parts[index].kind == MESSAGE_KIND_MESSAGE)
            return true;
    }
    return false;
}

static const struct message_part *first_text(const struct message_structure *structure,
                                             struct str subtype)
{
    for (uint32_t i = 0; i < structure->part_count; i++) {
        const struct message_part *part = &structure->parts[i];

        if (part->kind == MESSAGE_KIND_LEAF && !part->is_attachment &&
            str_equal(part->type, STR("text")) && str_equal(part->subtype, subtype) &&
            !is_inside_message(structure, i))
            return part;
    }
    return NULL;
}

const struct message_part *message_preview_part(const struct message_structure *structure,
                                                unsigned choice)
{
    const struct message_part *plain = first_text(structure, STR("plain"));

    if (plain != NULL && choice == 0)
        return plain;
    return choice == (plain == NULL ? 0 : 1) ? first_text(structure, STR("html")) : NULL;
}

/* The next character of `text` and its length in bytes; a byte that is no UTF-8 gives 0. */
static uint32_t next_char(struct str text, size_t at, size_t *out_len)
{
    unsigned char first = (unsigned char)text.ptr[at];
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t c = len == 1 ? first : first & (0x7fu >> len);

    *out_len = 1;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || len > text.len - at ||
        !str_is_utf8(str_make(text.ptr + at, len)))
        return 0;
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)text.ptr[at + i] & 0x3f);
    *out_len = len;
    return c;
}

static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Controls, and what has no width: newsletters fill their beginning with it. */
static bool is_invisible(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x34f || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0xfffd;
}

static size_t line_end(struct str text, size_t at)
{
    ptrdiff_t end = str_index(str_from(text, at), '\n');

    return end < 0 ? text.len : at + (size_t)end;
}

static void put_beginning(struct str text, struct buf *out)
{
    size_t chars = 0, len;
    bool is_at_line = true, needs_space = false;

    for (size_t at = 0; at < text.len && chars < MESSAGE_PREVIEW_CHARS; at += len) {
        uint32_t c = next_char(text, at, &len);

        if (is_at_line && c == '>') {
            len = line_end(text, at) - at;
            continue;
        }
        is_at_line = c == '\n';
        if (is_space(c)) {
            needs_space = chars > 0;
            continue;
        }
        if (is_invisible(c))
            continue;
        if (needs_space) {
            buf_put(out, STR(" "));
            needs_space = false;
            if (++chars == MESSAGE_PREVIEW_CHARS)
                break;
        }
        buf_put(out, str_make(text.ptr + at, len));
        chars++;
    }
}

void message_preview(const struct message_part *part, struct str body, struct buf *out)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct message_part beginning = *part;

    body = str_upto(body, MESSAGE_PREVIEW_RAW_MAX);
    beginning.body_start = 0;
    beginning.body_len = body.len;
    buf_init(&text, SIZE_MAX);
    message_part_text(&beginning, body, &text);
    put_beginning(buf_str(&text), out);
}
