/*
 * The sections of one message, one after the other: BODY[…] (RFC 3501 §6.4.5) and BINARY[…]
 * (RFC 3516), streamed. What BINARY gives is read twice: to know its size, and whether there is a
 * NUL in it, which takes a literal8 (§4.3); and to write it.
 */
#include "imap/cmd/fetch.h"

#include "imap/write.h"

enum {
    CHUNK = 64 * 1024,      /* of a message, read at once */
    CONTENT_PER_UNIT = 128, /* what is read from messages */
    SECTION_UNITS = 30,
};

void imap_fetch_end_message(struct imap_session *s, struct imap_fetch_args *fetch)
{
    buf_put(&s->out, STR(")\r\n"));
    vault_content_close(&s->content);
    arena_free(&s->message_arena);
    fetch->index++;
    fetch->phase = IMAP_FETCH_ROWS;
}

/* What a BINARY section decodes; NULL: it is taken as it is. */
static const struct message_part *encoded_part(const struct imap_fetch_args *fetch,
                                               const struct imap_section *section)
{
    const struct message_part *part;

    /* Only leaves are encoded (RFC 2045 §6.4); the message as such is no leaf. */
    if (section->form == IMAP_SECTION_BODY || section->path_len == 0)
        return NULL;
    part = message_section_part(&fetch->structure, section->path, section->path_len);
    return part != NULL && part->kind == MESSAGE_KIND_LEAF ? part : NULL;
}

/* RFC 3516 §4.3: else the command fails with UNKNOWN-CTE. */
static bool has_known_encodings(const struct imap_fetch_args *fetch)
{
    for (size_t i = 0; i < fetch->section_count; i++) {
        const struct message_part *part = encoded_part(fetch, &fetch->sections[i]);

        if (part != NULL && part->encoding == MESSAGE_ENCODING_OTHER)
            return false;
    }
    return true;
}

/* Before a byte of the answer is written, so that a message that cannot be read spoils nothing. */
enum err imap_fetch_open_message(struct imap_session *s, struct task *task,
                                 struct imap_fetch_args *fetch, const struct vault_message *row,
                                 unsigned columns)
{
    TRY(vault_content_open(s->vault, task, row->content_id, &s->content));
    fetch->structure = (struct message_structure){0};
    if (columns & VAULT_COLUMN_STRUCTURE) {
        struct task decoding;
        enum err err;

        task_init(&decoding, task->now_ms);
        err = message_structure_decode(&decoding, row->structure, &fetch->structure);
        s->message_arena = decoding.arena;
        if (err != ERR_OK) {
            vault_content_close(&s->content);
            arena_free(&s->message_arena);
            return fail(task, err, "%s", decoding.words);
        }
    }
    fetch->section = 0;
    if (!has_known_encodings(fetch)) {
        vault_content_close(&s->content);
        arena_free(&s->message_arena);
        fetch->has_unknown_encoding = true;
        return fail(task, ERR_INVALID, "an unknown transfer encoding");
    }
    return ERR_OK;
}

/* Where the section's bytes are; false: there is no such section. */
static bool find_range(const struct imap_session *s, const struct imap_fetch_args *fetch,
                       const struct imap_section *section, struct message_range *out)
{
    if (section->path_len == 0 && section->kind == MESSAGE_SECTION_ALL) {
        *out = (struct message_range){0, vault_content_size(s->content)};
        return true;
    }
    return message_section_range(&fetch->structure, section->path, section->path_len, section->kind,
                                 out);
}

static void put_literal_size(struct imap_session *s, uint64_t size)
{
    buf_put(&s->out, STR("{"));
    imap_write_number(&s->out, size);
    buf_put(&s->out, STR("}\r\n"));
}

/* HEADER.FIELDS: the block is read whole, filtered, and written at once. */
static enum err write_fields(struct imap_session *s, struct task *task,
                             const struct imap_section *section, struct message_range range)
{
    CLEANUP(buf_free) struct buf header;
    CLEANUP(buf_free) struct buf chosen;
    struct str text;

    buf_init(&header, SIZE_MAX);
    buf_init(&chosen, SIZE_MAX);
    TRY(vault_content_read(s->content, task, range.start, (size_t)range.len, &header));
    message_header_fields(buf_str(&header), section->fields, section->field_count, section->is_not,
                          &chosen);
    text = buf_str(&chosen);
    if (section->is_partial)
        text = str_upto(str_from(text, section->offset), section->len);
    put_literal_size(s, text.len);
    buf_put(&s->out, text);
    imap_spend(s, range.len / CONTENT_PER_UNIT);
    return ERR_OK;
}

/* The part of `size` bytes that was asked for. */
static void cut_partial(const struct imap_section *section, uint64_t *start, uint64_t *size)
{
    uint64_t offset;

    *start = 0;
    if (!section->is_partial)
        return;
    offset = section->offset < *size ? section->offset : *size;
    *start = offset;
    *size = *size - offset < section->len ? *size - offset : section->len;
}

/* The size is known: what remains is to write it, or to write that many bytes. */
static void begin_bytes(struct imap_session *s, struct imap_fetch_args *fetch,
                        const struct imap_section *section, struct message_range range,
                        uint64_t size)
{
    uint64_t start;

    fetch->phase = IMAP_FETCH_SECTION;
    if (section->form == IMAP_SECTION_BINARY_SIZE) {
        imap_write_number(&s->out, size);
        return;
    }
    cut_partial(section, &start, &size);
    if (fetch->has_nul)
        buf_put(&s->out, STR("~"));
    put_literal_size(s, size);
    if (size == 0)
        return;
    fetch->position = range.start;
    fetch->left = size;
    if (fetch->is_decoding) {
        fetch->skip = start;
        fetch->raw_left = range.len;
        transfer_init(&fetch->transfer, fetch->transfer.encoding);
    } else {
        fetch->position += start;
    }
    fetch->phase = IMAP_FETCH_LITERAL;
}

/* Of what is not encoded the size is known: only the bytes that were asked for are looked at. */
static void begin_measuring(struct imap_fetch_args *fetch, const struct imap_section *section,
                            struct message_range range, enum message_encoding encoding)
{
    uint64_t start = 0, len = range.len;

    if (!fetch->is_decoding)
        cut_partial(section, &start, &len);
    transfer_init(&fetch->transfer, encoding);
    fetch->position = range.start + start;
    fetch->raw_left = len;
    fetch->measured = 0;
    fetch->phase = IMAP_FETCH_MEASURE;
}

/* Writes a section's label and what needs no streaming; else leaves position and left. */
static enum err begin_section(struct imap_session *s, struct task *task,
                              struct imap_fetch_args *fetch)
{
    const struct imap_section *section = &fetch->sections[fetch->section];
    const struct message_part *part = encoded_part(fetch, section);
    uint64_t size = vault_content_size(s->content);
    struct message_range range;

    imap_spend(s, SECTION_UNITS);
    if (fetch->section > 0)
        buf_put(&s->out, STR(" "));
    buf_put(&s->out, section->label);
    buf_put(&s->out, STR(" "));
    fetch->section++;
    if (!find_range(s, fetch, section, &range)) {
        buf_put(&s->out, section->form == IMAP_SECTION_BINARY_SIZE ? STR("0") : STR("NIL"));
        return ERR_OK;
    }
    if (range.start > size || range.len > size - range.start)
        return fail(task, ERR_CORRUPT, "a part lies outside its message");
    if (section->fields != NULL)
        return write_fields(s, task, section, range);
    fetch->is_decoding = part != NULL && (part->encoding == MESSAGE_ENCODING_BASE64 ||
                                          part->encoding == MESSAGE_ENCODING_QUOTED_PRINTABLE);
    fetch->has_nul = false;
    if (!fetch->is_decoding && section->form != IMAP_SECTION_BINARY) {
        begin_bytes(s, fetch, section, range, range.len);
        return ERR_OK;
    }
    begin_measuring(fetch, section, range,
                    fetch->is_decoding ? part->encoding : MESSAGE_ENCODING_BINARY);
    return ERR_OK;
}

/* The next piece of what is encoded, decoded; at the end, what was held back. */
static enum err decode_piece(struct imap_session *s, struct task *task,
                             struct imap_fetch_args *fetch, struct buf *out)
{
    CLEANUP(buf_free) struct buf raw = {0};
    size_t len = fetch->raw_left < CHUNK ? (size_t)fetch->raw_left : CHUNK;

    buf_init(&raw, SIZE_MAX);
    TRY(vault_content_read(s->content, task, fetch->position, len, &raw));
    if (raw.len != len)
        return fail(task, ERR_CORRUPT, "a message ended before its size");
    imap_spend(s, len / CONTENT_PER_UNIT * 2);
    fetch->position += len;
    fetch->raw_left -= len;
    transfer_feed(&fetch->transfer, buf_str(&raw), out);
    if (fetch->raw_left == 0)
        transfer_end(&fetch->transfer, out);
    return ERR_OK;
}

static enum err measure(struct imap_session *s, struct task *task, struct imap_fetch_args *fetch)
{
    const struct imap_section *section = &fetch->sections[fetch->section - 1];
    CLEANUP(buf_free) struct buf decoded = {0};
    struct message_range range;

    buf_init(&decoded, SIZE_MAX);
    TRY(decode_piece(s, task, fetch, &decoded));
    fetch->measured += decoded.len;
    fetch->has_nul |=
        section->form == IMAP_SECTION_BINARY && str_index(buf_str(&decoded), '\0') >= 0;
    if (fetch->raw_left > 0)
        return ERR_OK;
    if (!find_range(s, fetch, section, &range))
        return fail(task, ERR_CORRUPT, "a part is gone");
    begin_bytes(s, fetch, section, range, fetch->is_decoding ? fetch->measured : range.len);
    return ERR_OK;
}

static enum err write_decoded(struct imap_session *s, struct task *task,
                              struct imap_fetch_args *fetch)
{
    CLEANUP(buf_free) struct buf decoded = {0};
    struct str bytes;

    if (fetch->raw_left == 0)
        return fail(task, ERR_CORRUPT, "a part was decoded to less than its size");
    buf_init(&decoded, SIZE_MAX);
    TRY(decode_piece(s, task, fetch, &decoded));
    bytes = buf_str(&decoded);
    if (fetch->skip >= bytes.len) {
        fetch->skip -= bytes.len;
        return ERR_OK;
    }
    bytes = str_from(bytes, (size_t)fetch->skip);
    fetch->skip = 0;
    if (bytes.len > fetch->left)
        bytes = str_upto(bytes, (size_t)fetch->left);
    buf_put(&s->out, bytes);
    fetch->left -= bytes.len;
    return ERR_OK;
}

static enum err write_raw(struct imap_session *s, struct task *task, struct imap_fetch_args *fetch)
{
    size_t len = fetch->left < CHUNK ? (size_t)fetch->left : CHUNK, before = s->out.len;

    TRY(vault_content_read(s->content, task, fetch->position, len, &s->out));
    if (s->out.len - before != len)
        return fail(task, ERR_CORRUPT, "a message ended before its size");
    imap_spend(s, len / CONTENT_PER_UNIT);
    fetch->position += len;
    fetch->left -= len;
    return ERR_OK;
}

static enum err write_literal(struct imap_session *s, struct task *task,
                              struct imap_fetch_args *fetch)
{
    TRY(fetch->is_decoding ? write_decoded(s, task, fetch) : write_raw(s, task, fetch));
    if (fetch->left == 0)
        fetch->phase = IMAP_FETCH_SECTION;
    return ERR_OK;
}

/* Until the message is written, or it is time to give way (the phase tells which). */
enum err imap_fetch_write_sections(struct imap_session *s, struct task *task,
                                   struct imap_fetch_args *fetch)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && fetch->phase != IMAP_FETCH_ROWS && !imap_must_give_way(s)) {
        if (fetch->phase == IMAP_FETCH_LITERAL)
            err = write_literal(s, task, fetch);
        else if (fetch->phase == IMAP_FETCH_MEASURE)
            err = measure(s, task, fetch);
        else if (fetch->section < fetch->section_count)
            err = begin_section(s, task, fetch);
        else
            imap_fetch_end_message(s, fetch);
    }
    /* No way to go on but a new connection; and a literal is not filled up with other bytes. */
    if (err != ERR_OK && fetch->phase == IMAP_FETCH_LITERAL)
        imap_session_end(s);
    if (err != ERR_OK && s->state != IMAP_STATE_LOGOUT) {
        buf_put(&s->out, STR("\r\n"));
        imap_session_bye(s, "[UNAVAILABLE] A message could not be read.");
    }
    return err;
}
