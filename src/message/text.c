/*
 * Searchable text: what a reader would see of the parts, as UTF-8 without NUL; at once, or in
 * steps.
 */
#include "base/memory.h"
#include "message/charset.h"
#include "message/header.h"
#include "message/html.h"
#include "message/message.h"
#include "message/words.h"

#include <assert.h>

/* The part's range of `raw`, also when the two do not belong together. */
static struct str range_of(struct str raw, uint64_t start, uint64_t len)
{
    if (start > raw.len)
        return STR("");
    return str_upto(str_from(raw, (size_t)start), (size_t)(len > raw.len ? raw.len : len));
}

/* One part being read: DECODE, CONVERT, and for HTML STRIP. */
struct part_reader {
    enum { PART_NEW, PART_CONVERT, PART_STRIP } stage;
    struct buf decoded, utf8; /* own */
    struct charset_reader charset;
    struct html_reader html;
    size_t before; /* length of the text */
};

struct message_text_maker {
    const struct message_structure *structure; /* borrowed */
    struct str raw;                            /* borrowed */
    enum { TEXT_HEADERS, TEXT_BODIES, TEXT_FOLD, TEXT_DONE } stage;
    uint32_t part;   /* being read */
    size_t position; /* HEADERS: in the part's header; FOLD: in `plain` */
    struct part_reader reader;
    struct buf plain, folded;             /* own */
    size_t body_start, folded_body_start; /* in either */
    bool keeps_plain;
};

/* ---- A part's text ---- */

bool message_part_holds_text(const struct message_part *part)
{
    return part->kind == MESSAGE_KIND_LEAF &&
           (str_equal(part->type, STR("text")) || str_equal(part->type, STR("message")));
}

static void open_part(struct part_reader *reader, const struct message_part *part, struct str raw,
                      const struct buf *out)
{
    struct str body = range_of(raw, part->body_start, part->body_len);

    *reader = (struct part_reader){.stage = PART_CONVERT, .before = out->len};
    buf_init(&reader->decoded, SIZE_MAX);
    buf_init(&reader->utf8, SIZE_MAX);
    if (!message_part_holds_text(part))
        body = STR("");
    if (part->encoding == MESSAGE_ENCODING_BASE64 ||
        part->encoding == MESSAGE_ENCODING_QUOTED_PRINTABLE) {
        message_decode_body(part->encoding, body, &reader->decoded);
        body = buf_str(&reader->decoded);
    }
    charset_reader_open(&reader->charset, part->charset, body);
}

static void close_part(struct part_reader *reader)
{
    if (reader->stage == PART_NEW)
        return;
    charset_reader_close(&reader->charset);
    buf_free(&reader->decoded);
    buf_free(&reader->utf8);
    reader->stage = PART_NEW;
}

/* False: the part's text is there. */
static bool read_part(struct part_reader *reader, const struct message_part *part, size_t max,
                      struct buf *out)
{
    bool is_html = str_equal(part->subtype, STR("html"));

    if (reader->stage == PART_CONVERT) {
        if (charset_reader_step(&reader->charset, max, is_html ? &reader->utf8 : out))
            return true;
        if (!is_html || reader->utf8.len == 0 ||
            buf_reserve(out, reader->utf8.len + 1, &reader->html.room) != ERR_OK)
            return false;
        reader->html.html = buf_str(&reader->utf8);
        reader->stage = PART_STRIP;
        return true;
    }
    if (html_reader_step(&reader->html, max))
        return true;
    buf_commit(out, reader->html.len);
    return false;
}

void message_part_text(const struct message_part *part, struct str raw, struct buf *out)
{
    struct part_reader reader;

    open_part(&reader, part, raw, out);
    while (read_part(&reader, part, SIZE_MAX, out))
        continue;
    close_part(&reader);
}

/* False: on with the next part. */
static bool make_body(struct message_text_maker *maker, size_t max, struct buf *out)
{
    const struct message_part *part = &maker->structure->parts[maker->part];
    struct part_reader *reader = &maker->reader;

    if (reader->stage == PART_NEW) {
        open_part(reader, part, maker->raw, out);
        return true;
    }
    if (read_part(reader, part, max, out))
        return true;
    if (out->len > reader->before)
        buf_put(out, STR("\n"));
    if (part->filename.len > 0) {
        buf_put(out, part->filename);
        buf_put(out, STR("\n"));
    }
    close_part(reader);
    return false;
}

/* ---- The headers' ---- */

/* False: on with the next part. */
static bool make_header(struct message_text_maker *maker, size_t max, struct buf *out)
{
    const struct message_part *part = &maker->structure->parts[maker->part];
    struct str header = range_of(maker->raw, part->header_start, part->header_len);
    size_t start = maker->position;
    struct header_field field;

    while (maker->position - start < max) {
        if (!header_field_next(header, &maker->position, &field))
            return false;
        if (field.name.len > 0) {
            charset_guess_to_utf8(field.name, out);
            buf_put(out, STR(": "));
        }
        message_header_decode(field.value, out);
        buf_put(out, STR("\n"));
    }
    return true;
}

/* ---- All of it ---- */

/* A step towards the plain text in `out`; false: it is there. */
static bool make_plain(struct message_text_maker *maker, size_t max, struct buf *out)
{
    if (maker->part < maker->structure->part_count) {
        bool has_more = maker->stage == TEXT_HEADERS ? make_header(maker, max, out)
                                                     : make_body(maker, max, out);

        if (!has_more) {
            maker->part++;
            maker->position = 0;
        }
        return true;
    }
    if (maker->stage == TEXT_BODIES)
        return false;
    maker->stage = TEXT_BODIES;
    maker->part = 0;
    maker->body_start = out->len;
    return true;
}

void message_text(const struct message_structure *structure, struct str raw, bool with_headers,
                  struct buf *out)
{
    struct message_text_maker maker = {
        .structure = structure,
        .raw = raw,
        .stage = with_headers ? TEXT_HEADERS : TEXT_BODIES,
    };

    while (make_plain(&maker, SIZE_MAX, out))
        continue;
}

struct message_text_maker *message_text_maker_new(const struct message_structure *structure,
                                                  struct str raw, bool keeps_plain)
{
    struct message_text_maker *maker = NEW(struct message_text_maker);

    maker->structure = structure;
    maker->raw = raw;
    maker->keeps_plain = keeps_plain;
    buf_init(&maker->plain, SIZE_MAX);
    buf_init(&maker->folded, SIZE_MAX);
    return maker;
}

void message_text_maker_free(struct message_text_maker **maker)
{
    if (*maker == NULL)
        return;
    close_part(&(*maker)->reader);
    buf_free(&(*maker)->plain);
    buf_free(&(*maker)->folded);
    mem_free(maker);
}

/* The headers end with a line break, or are empty: their folding ends there, too. */
static void fold_on(struct message_text_maker *maker, size_t max)
{
    struct str plain = buf_str(&maker->plain);
    struct str part = maker->part == 0 ? str_upto(plain, maker->body_start) : plain;

    maker->position = message_fold_some(part, maker->position, max, &maker->folded);
    if (maker->position == part.len && maker->part == 0) {
        maker->part = 1;
        maker->folded_body_start = maker->folded.len;
    } else if (maker->position == plain.len) {
        maker->stage = TEXT_DONE;
        if (!maker->keeps_plain)
            buf_free(&maker->plain);
    }
}

bool message_text_maker_step(struct message_text_maker *maker, size_t max)
{
    switch (maker->stage) {
    case TEXT_HEADERS:
    case TEXT_BODIES:
        if (make_plain(maker, max, &maker->plain))
            return true;
        maker->stage = TEXT_FOLD;
        maker->part = 0; /* the headers' text, then the bodies' */
        maker->position = 0;
        return true;
    case TEXT_FOLD:
        fold_on(maker, max);
        break;
    case TEXT_DONE:
        break;
    }
    return maker->stage != TEXT_DONE;
}

struct str message_text_maker_text(const struct message_text_maker *maker, bool with_headers)
{
    return str_from(buf_str(&maker->folded), with_headers ? 0 : maker->folded_body_start);
}

struct str message_text_maker_plain(const struct message_text_maker *maker, bool with_headers)
{
    assert(maker->keeps_plain);
    return str_from(buf_str(&maker->plain), with_headers ? 0 : maker->body_start);
}
