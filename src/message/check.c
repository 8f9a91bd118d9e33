/* The checks themselves: written against message.h only, not against how it is done. */
#include "message/check.h"

#include "base/ascii.h"
#include "message/preview.h"
#include "message/transfer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A string or literal at text[*i]; false when it is malformed. */
static bool skip_string(struct str text, size_t *i)
{
    size_t len = 0;

    if (text.ptr[*i] == '"') {
        for (*i += 1; *i < text.len && text.ptr[*i] != '"'; *i += 1) {
            if (text.ptr[*i] == '\\') {
                *i += 1;
                if (*i >= text.len || (text.ptr[*i] != '"' && text.ptr[*i] != '\\'))
                    return false;
            } else if (text.ptr[*i] <= 0 || text.ptr[*i] == '\r' || text.ptr[*i] == '\n') {
                return false;
            }
        }
        *i += 1;
        return *i <= text.len;
    }
    for (*i += 1; *i < text.len && ascii_is_digit(text.ptr[*i]); *i += 1)
        len = len * 10 + (size_t)(text.ptr[*i] - '0');
    if (!str_starts_with(str_from(text, *i), STR("}\r\n")) || len > text.len - *i - 3)
        return false;
    *i += 3;
    if (memchr(text.ptr + *i, 0, len) != NULL)
        return false;
    *i += len;
    return true;
}

bool check_is_list(struct str text)
{
    size_t depth = 0;
    size_t i = 0;
    char before = 0; /* the token before this one; 's' for a string */

    if (!str_starts_with(text, STR("(")))
        return false;
    while (i < text.len) {
        char c = text.ptr[i];

        if (c == '"' || c == '{') {
            if (!skip_string(text, &i))
                return false;
            before = 's';
            continue;
        }
        if (c == '(') {
            depth++;
        } else if (c == ')') {
            if (depth == 0 || before == ' ' || (--depth == 0 && i + 1 != text.len))
                return false;
        } else if (c == ' ') {
            if (before == ' ' || before == '(')
                return false;
        } else if (str_starts_with(str_from(text, i), STR("NIL"))) {
            i += 2;
        } else if (!ascii_is_digit(c)) {
            return false;
        }
        before = c;
        i++;
    }
    return depth == 0;
}

static void check_part(const struct message_structure *structure, uint32_t i, uint64_t size)
{
    const struct message_part *part = &structure->parts[i];
    const struct message_part *parent = &structure->parts[part->parent];
    uint64_t end = part->body_start + part->body_len;

    assert(part->body_start == part->header_start + part->header_len);
    assert(end >= part->body_start && end <= size);
    assert(part->body_lines <= part->body_len);
    assert(part->next == 0 || part->next > i);
    assert(part->first_child == 0 || part->first_child == i + 1);
    assert((part->first_child != 0) == (part->kind != MESSAGE_KIND_LEAF));
    assert(str_is_utf8(part->filename));
    if (i == 0) {
        assert(part->parent == 0 && part->header_start == 0 && end == size && part->next == 0);
        return;
    }
    assert(part->parent < i && parent->kind != MESSAGE_KIND_LEAF);
    assert(part->header_start >= parent->body_start &&
           end <= parent->body_start + parent->body_len);
    if (part->next != 0) {
        assert(structure->parts[part->next].parent == part->parent);
        assert(structure->parts[part->next].header_start >= end);
        assert(parent->kind == MESSAGE_KIND_MULTIPART);
    }
}

static bool parts_equal(const struct message_part *a, const struct message_part *b)
{
    return a->kind == b->kind && a->encoding == b->encoding && a->parent == b->parent &&
           a->next == b->next && a->first_child == b->first_child &&
           a->header_start == b->header_start && a->header_len == b->header_len &&
           a->body_start == b->body_start && a->body_len == b->body_len &&
           a->body_lines == b->body_lines && a->is_attachment == b->is_attachment &&
           str_equal(a->type, b->type) && str_equal(a->subtype, b->subtype) &&
           str_equal(a->charset, b->charset) && str_equal(a->filename, b->filename);
}

static void check_sections(const struct message_structure *structure, uint64_t size)
{
    static const enum message_section sections[] = {MESSAGE_SECTION_ALL, MESSAGE_SECTION_HEADER,
                                                    MESSAGE_SECTION_TEXT, MESSAGE_SECTION_MIME};
    static const uint32_t paths[][3] = {{1, 1, 1}, {1, 2, 1}, {2, 1, 1}, {0, 1, 1}, {3, 1, 2}};

    for (size_t p = 0; p < ARRAY_LEN(paths); p++) {
        for (size_t len = 0; len <= 3; len++) {
            for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
                struct message_range range = {0};

                if (message_section_range(structure, paths[p], len, sections[s], &range))
                    assert(range.start <= size && range.len <= size - range.start);
                else
                    assert(len > 0 || sections[s] == MESSAGE_SECTION_MIME);
            }
        }
    }
}

static void check_round_trip(struct task *task, const struct message_structure *structure)
{
    struct message_structure again;
    struct buf stored;

    buf_init(&stored, SIZE_MAX);
    message_structure_encode(structure, &stored);
    if (message_structure_decode(task, buf_str(&stored), &again) != ERR_OK)
        abort();
    assert(again.part_count == structure->part_count);
    for (uint32_t i = 0; i < again.part_count; i++)
        assert(parts_equal(&structure->parts[i], &again.parts[i]));
    /* A byte less or more is noticed. */
    assert(message_structure_decode(task, str_upto(buf_str(&stored), stored.len - 1), &again) ==
           ERR_CORRUPT);
    buf_put(&stored, STR("x"));
    assert(message_structure_decode(task, buf_str(&stored), &again) == ERR_CORRUPT);
    buf_free(&stored);
}

/* In steps of any size it is what it is at once. */
static void check_text_in_steps(const struct message_structure *structure, struct str raw,
                                struct str plain, struct str folded)
{
    const size_t sizes[] = {raw.len / 64 + 1, raw.len / 7 + 1};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct message_text_maker *maker = message_text_maker_new(structure, raw, true);
        struct str text, body;

        while (message_text_maker_step(maker, sizes[i]))
            continue;
        text = message_text_maker_text(maker, true);
        body = message_text_maker_text(maker, false);
        assert(str_equal(text, folded));
        assert(body.len <= text.len && str_ends_with(text, body));
        text = message_text_maker_plain(maker, true);
        body = message_text_maker_plain(maker, false);
        assert(str_equal(text, plain));
        assert(body.len <= text.len && str_ends_with(text, body));
        message_text_maker_free(&maker);
    }
}

static void check_texts(const struct message_structure *structure, struct str raw)
{
    struct buf text, folded, again;

    buf_init(&text, SIZE_MAX);
    buf_init(&folded, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    message_text(structure, raw, true, &text);
    assert(str_is_utf8(buf_str(&text)));
    /* Linear: header names, U+FFFD for a byte, and what folding expands. */
    assert(text.len <= 16 * raw.len + 64);
    message_fold(buf_str(&text), &folded);
    check_text_in_steps(structure, raw, buf_str(&text), buf_str(&folded));
    assert(str_is_utf8(buf_str(&folded)));
    message_fold(raw, &again);
    assert(again.len <= 16 * raw.len);
    buf_free(&text);
    buf_free(&folded);
    buf_free(&again);
}

static void check_header_fields(struct str header)
{
    const struct str names[] = {STR_INIT("subject"), STR_INIT("CONTENT-TYPE"), STR_INIT("to")};
    struct buf named, others;
    struct str value;
    size_t position = 0;

    buf_init(&named, SIZE_MAX);
    buf_init(&others, SIZE_MAX);
    message_header_fields(header, names, ARRAY_LEN(names), false, &named);
    message_header_fields(header, names, ARRAY_LEN(names), true, &others);
    /* Both have the empty line; otherwise each byte is in one of them. */
    assert(named.len + others.len >= header.len && named.len + others.len <= header.len + 2);
    while (message_header_next(header, names[0], &position, &value))
        assert(value.ptr >= header.ptr && value.ptr + value.len <= header.ptr + header.len);
    buf_free(&named);
    buf_free(&others);
}

/* Decoded in pieces is decoded as a whole; where it is cut follows from the bytes. */
static void check_transfer(struct str body)
{
    static const enum message_encoding ENCODINGS[] = {MESSAGE_ENCODING_BASE64,
                                                      MESSAGE_ENCODING_QUOTED_PRINTABLE};
    struct buf whole, pieces;

    buf_init(&whole, SIZE_MAX);
    buf_init(&pieces, SIZE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(ENCODINGS); i++) {
        struct str rest = body;
        struct transfer transfer;

        buf_reset(&whole);
        buf_reset(&pieces);
        message_decode_body(ENCODINGS[i], body, &whole);
        transfer_init(&transfer, ENCODINGS[i]);
        while (rest.len > 0) {
            size_t piece = 1 + (unsigned char)rest.ptr[0] % 7;

            transfer_feed(&transfer, str_upto(rest, piece), &pieces);
            assert(transfer.held_len <= TRANSFER_HELD_MAX);
            rest = str_from(rest, piece);
        }
        transfer_end(&transfer, &pieces);
        assert(str_equal(buf_str(&whole), buf_str(&pieces)));
    }
    buf_free(&whole);
    buf_free(&pieces);
}

/* A preview is short, and UTF-8 (RFC 8970 §3.3). */
static void check_preview(const struct message_structure *structure, struct str raw)
{
    const struct message_part *part;

    for (unsigned choice = 0; (part = message_preview_part(structure, choice)) != NULL; choice++) {
        struct buf out;
        size_t chars = 0;

        assert(choice < 2);
        buf_init(&out, SIZE_MAX);
        message_preview(part, str_from(raw, (size_t)part->body_start), &out);
        assert(str_is_utf8(buf_str(&out)));
        for (size_t i = 0; i < out.len; i++)
            chars += ((unsigned char)out.ptr[i] & 0xc0) != 0x80;
        assert(chars <= MESSAGE_PREVIEW_CHARS);
        buf_free(&out);
    }
}

void check_message(struct str raw)
{
    struct message_summary summary;
    const struct message_structure *structure = &summary.structure;
    struct task task;

    task_init(&task, 0);
    message_parse(&task, raw, &summary);
    assert(structure->part_count >= 1 && structure->part_count <= MESSAGE_PARTS_MAX);
    for (uint32_t i = 0; i < structure->part_count; i++)
        check_part(structure, i, raw.len);
    assert(check_is_list(summary.envelope));
    assert(check_is_list(summary.bodystructure));
    assert(check_is_list(summary.body));
    assert(str_is_utf8(summary.subject) && str_is_utf8(summary.base_subject));
    assert(str_is_utf8(summary.from) && str_is_utf8(summary.to) && str_is_utf8(summary.cc));
    assert(str_is_utf8(summary.message_id) && str_is_utf8(summary.references));
    check_sections(structure, raw.len);
    check_round_trip(&task, structure);
    check_transfer(str_upto(raw, 4096));
    check_preview(structure, raw);
    check_texts(structure, raw);
    check_header_fields(str_upto(raw, (size_t)structure->parts[0].header_len));
    task_done(&task);
}

void check_stored(struct str stored)
{
    struct message_structure structure;
    struct buf again;
    struct task task;

    task_init(&task, 0);
    if (message_structure_decode(&task, stored, &structure) == ERR_OK) {
        uint64_t size = structure.parts[0].body_start + structure.parts[0].body_len;

        check_sections(&structure, size);
        buf_init(&again, SIZE_MAX);
        message_structure_encode(&structure, &again);
        assert(str_equal(stored, buf_str(&again)));
        buf_reset(&again);
        message_text(&structure, stored, true, &again); /* does not belong to it: stays inside */
        buf_free(&again);
    }
    task_done(&task);
}
