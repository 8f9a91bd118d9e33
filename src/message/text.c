/* Searchable text: what a reader would see of the parts, as UTF-8 without NUL. */
#include "message/charset.h"
#include "message/header.h"
#include "message/html.h"
#include "message/message.h"
#include "message/words.h"

/* The part's range of `raw`, also when the two do not belong together. */
static struct str range_of(struct str raw, uint64_t start, uint64_t len)
{
    if (start > raw.len)
        return STR("");
    return str_upto(str_from(raw, (size_t)start), (size_t)(len > raw.len ? raw.len : len));
}

void message_part_text(const struct message_part *part, struct str raw, struct buf *out)
{
    struct str body = range_of(raw, part->body_start, part->body_len);
    struct buf decoded, utf8;

    if (part->kind != MESSAGE_KIND_LEAF || !str_equal(part->type, STR("text")))
        return;
    buf_init(&decoded, SIZE_MAX);
    buf_init(&utf8, SIZE_MAX);
    if (part->encoding == MESSAGE_ENCODING_BASE64 ||
        part->encoding == MESSAGE_ENCODING_QUOTED_PRINTABLE) {
        message_decode_body(part->encoding, body, &decoded);
        body = buf_str(&decoded);
    }
    if (str_equal(part->subtype, STR("html"))) {
        charset_to_utf8(part->charset, body, &utf8);
        html_text(buf_str(&utf8), out);
    } else {
        charset_to_utf8(part->charset, body, out);
    }
    buf_free(&decoded);
    buf_free(&utf8);
}

static void put_header(struct str header, struct buf *out)
{
    struct header_field field;
    size_t position = 0;

    while (header_field_next(header, &position, &field)) {
        if (field.name.len > 0) {
            charset_guess_to_utf8(field.name, out);
            buf_put(out, STR(": "));
        }
        message_header_decode(field.value, out);
        buf_put(out, STR("\n"));
    }
}

void message_text(const struct message_structure *structure, struct str raw, bool with_headers,
                  struct buf *out)
{
    for (uint32_t i = 0; with_headers && i < structure->part_count; i++) {
        const struct message_part *part = &structure->parts[i];

        put_header(range_of(raw, part->header_start, part->header_len), out);
    }
    for (uint32_t i = 0; i < structure->part_count; i++) {
        const struct message_part *part = &structure->parts[i];
        size_t before = out->len;

        message_part_text(part, raw, out);
        if (out->len > before)
            buf_put(out, STR("\n"));
        if (part->filename.len > 0) {
            buf_put(out, part->filename);
            buf_put(out, STR("\n"));
        }
    }
}
