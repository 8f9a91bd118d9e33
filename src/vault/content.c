/*
 * Reading a message's bytes from its parts (parts.h). A reader keeps the list of the parts, with it
 * what the first ones hold as far as they are short (most messages are one part, so that they are
 * read by one statement), and one chunk, decompressed or as it lies in the attachment. Between calls
 * it holds no statement, so what it has not read and was purged meanwhile is ERR_NOT_FOUND.
 */
#include "vault/content.h"

#include "base/memory.h"
#include "vault/parts.h"

#include <string.h>

enum {
    /* What comes with the list of the parts. */
    KEPT_PARTS = 4,
    KEPT_PART_BYTES = 32 * 1024,
};

struct part {
    uint64_t start, length;
    int64_t number;
    enum part_kind kind;
    int64_t attachment_id;
    struct base64_layout layout;
    size_t kept_at, kept_len; /* in `kept`, as the row has it; kept_len 0: it is not there */
};

struct vault_content {
    struct vault *vault; /* borrowed */
    int64_t id;
    uint64_t size_bytes;
    struct part *parts; /* own; in order */
    size_t part_count, part_room;
    size_t current;  /* the part that was read last: reading goes forward */
    struct buf kept; /* own */
    /* The chunk at hand. */
    int64_t chunk_key; /* part_key; -1: none */
    bool is_attachment_chunk;
    struct buf chunk; /* own */
};

static enum err read_part_row(struct vault_content *content, struct task *task,
                              sqlite3_stmt *statement)
{
    struct str bytes = db_column_blob(statement, 7);
    struct part *part;

    if (content->part_count == content->part_room) {
        content->part_room = content->part_room * 2 + 1;
        content->parts = mem_resize(content->parts, content->part_room, sizeof(*content->parts));
    }
    part = &content->parts[content->part_count++];
    *part = (struct part){
        .number = db_column_int(statement, 0) & ((1 << PART_NUMBER_BITS) - 1),
        .start = (uint64_t)db_column_int(statement, 1),
        .length = (uint64_t)db_column_int(statement, 2),
        .kind = (enum part_kind)db_column_int(statement, 3),
        .attachment_id = db_column_int(statement, 4),
        .layout = {(uint32_t)db_column_int(statement, 5),
                   (enum base64_line_end)db_column_int(statement, 6)},
        .kept_at = content->kept.len,
        .kept_len = bytes.len,
    };
    buf_put(&content->kept, bytes);
    if (part->start != content->size_bytes || part->length > INT64_MAX - part->start ||
        db_column_int(statement, 3) < PART_BYTES || db_column_int(statement, 3) > PART_BASE64 ||
        db_column_int(statement, 6) < BASE64_ONE_LINE || db_column_int(statement, 6) > BASE64_CRLF)
        return fail(task, ERR_CORRUPT, "vault: the parts of a message do not fit together");
    content->size_bytes += part->length;
    return ERR_OK;
}

static enum err read_parts(struct vault_content *content, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault *vault = content->vault;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT key, start, length, kind, attachment_id, line_length, line_end, "
                   "CASE WHEN key < ?3 AND length <= ?4 THEN bytes END "
                   "FROM part WHERE key BETWEEN ?1 AND ?2",
                   &statement));
    db_bind_int(statement, 1, part_key(content->id, 0));
    db_bind_int(statement, 2, part_key(content->id + 1, 0) - 1);
    db_bind_int(statement, 3, part_key(content->id, KEPT_PARTS));
    db_bind_int(statement, 4, KEPT_PART_BYTES);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        TRY(read_part_row(content, task, statement));
    }
}

static enum err check_exists(struct vault *vault, struct task *task, int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT 1 FROM content WHERE id = ?1", &statement));
    db_bind_int(statement, 1, content_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: the content was purged");
    return ERR_OK;
}

enum err vault_content_open(struct vault *vault, struct task *task, int64_t content_id,
                            struct vault_content **out_content)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;

    TRY(vault_check(vault, task));
    content = NEW(struct vault_content);
    content->vault = vault;
    content->id = content_id;
    content->chunk_key = -1;
    buf_init(&content->chunk, PART_CHUNK_BYTES);
    buf_init(&content->kept, SIZE_MAX);
    TRY(read_parts(content, task));
    if (content->part_count == 0) /* an empty message has no parts */
        TRY(check_exists(vault, task, content_id));
    *out_content = content;
    content = NULL;
    return ERR_OK;
}

void vault_content_close(struct vault_content **content)
{
    if (*content == NULL)
        return;
    buf_free(&(*content)->chunk);
    buf_free(&(*content)->kept);
    mem_free(&(*content)->parts);
    mem_free(content);
}

uint64_t vault_content_size(const struct vault_content *content)
{
    return content->size_bytes;
}

enum err vault_content_has_utf8_header(const struct vault_content *content, struct task *task,
                                       bool *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(vault_check(content->vault, task));
    TRY(db_prepare(content->vault->db, task,
                   "SELECT 1 FROM content WHERE id = ?1 AND has_utf8_header = 1", &statement));
    db_bind_int(statement, 1, content->id);
    return db_step(content->vault->db, task, statement, out);
}

/* --- Chunks --- */

/* The bytes of one row. */
struct chunk {
    bool is_attachment; /* of attachment_part, else of part */
    int64_t key;
    size_t len;              /* decompressed */
    const struct part *kept; /* borrowed; they came with the list of the parts. NULL: they are read */
};

/* Appends what the row holds, decompressed: exactly chunk->len bytes. */
static enum err decode_chunk(struct vault_content *content, struct task *task,
                             const struct chunk *chunk, bool is_compressed, struct str bytes,
                             struct buf *out)
{
    if (is_compressed)
        return part_decompress(content->vault, task, bytes, chunk->len, out);
    if (bytes.len != chunk->len)
        return fail(task, ERR_CORRUPT, "vault: a part has not its length");
    return buf_append(out, bytes);
}

static enum err append_chunk(struct vault_content *content, struct task *task,
                             const struct chunk *chunk, struct buf *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault *vault = content->vault;
    bool has_row;

    if (chunk->kept != NULL)
        return decode_chunk(content, task, chunk, chunk->kept->kind == PART_ZSTD,
                            str_upto(str_from(buf_str(&content->kept), chunk->kept->kept_at),
                                     chunk->kept->kept_len),
                            out);
    TRY(vault_check(vault, task));
    TRY(db_prepare(vault->db, task,
                   chunk->is_attachment ? "SELECT kind, bytes FROM attachment_part WHERE key = ?1"
                                        : "SELECT kind, bytes FROM part WHERE key = ?1",
                   &statement));
    db_bind_int(statement, 1, chunk->key);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: the content was purged");
    return decode_chunk(content, task, chunk, db_column_int(statement, 0) == PART_ZSTD,
                        db_column_blob(statement, 1), out);
}

/* The same into `chunk`, where the next reader of a piece of it finds it. */
static enum err load_chunk(struct vault_content *content, struct task *task,
                           const struct chunk *chunk)
{
    if (content->chunk_key == chunk->key && content->is_attachment_chunk == chunk->is_attachment)
        return ERR_OK;
    content->chunk_key = -1;
    buf_reset(&content->chunk);
    TRY(append_chunk(content, task, chunk, &content->chunk));
    content->chunk_key = chunk->key;
    content->is_attachment_chunk = chunk->is_attachment;
    return ERR_OK;
}

static enum err read_bytes(struct vault_content *content, struct task *task,
                           const struct part *part, uint64_t start, uint64_t end, struct buf *out)
{
    const struct chunk chunk = {.key = part_key(content->id, part->number),
                                .len = (size_t)part->length,
                                .kept = part->kept_len > 0 ? part : NULL};

    if (part->length > PART_CHUNK_BYTES)
        return fail(task, ERR_CORRUPT, "vault: a part is too long");
    /* All of it at once: nobody comes back for a piece. */
    if (start == 0 && end == part->length)
        return append_chunk(content, task, &chunk, out);
    TRY(load_chunk(content, task, &chunk));
    return buf_append(
        out, str_upto(str_from(buf_str(&content->chunk), (size_t)start), (size_t)(end - start)));
}

static enum err attachment_size(struct vault_content *content, struct task *task,
                                int64_t attachment_id, uint64_t *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault *vault = content->vault;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT size_bytes FROM attachment WHERE id = ?1", &statement));
    db_bind_int(statement, 1, attachment_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: the attachment was purged");
    *out = (uint64_t)db_column_int(statement, 0);
    return ERR_OK;
}

/* The attachment's bytes [start, end), which lie in one chunk. */
static enum err read_attachment_chunk(struct vault_content *content, struct task *task,
                                      const struct part *part, uint64_t size, uint64_t start,
                                      uint64_t end, struct str *out)
{
    uint64_t number = start / ATTACHMENT_CHUNK_BYTES, first = number * ATTACHMENT_CHUNK_BYTES;
    uint64_t len = size - first < ATTACHMENT_CHUNK_BYTES ? size - first : ATTACHMENT_CHUNK_BYTES;
    const struct chunk chunk = {.is_attachment = true,
                                .key = part_key(part->attachment_id, (int64_t)number),
                                .len = (size_t)len};

    TRY(load_chunk(content, task, &chunk));
    *out = str_upto(str_from(buf_str(&content->chunk), (size_t)(start - first)),
                    (size_t)(end - start));
    return ERR_OK;
}

static uint64_t chunk_end(uint64_t offset, uint64_t end)
{
    uint64_t boundary = (offset / ATTACHMENT_CHUNK_BYTES + 1) * ATTACHMENT_CHUNK_BYTES;

    return boundary < end ? boundary : end;
}

static enum err read_attachment(struct vault_content *content, struct task *task,
                                const struct part *part, uint64_t start, uint64_t end,
                                struct buf *out)
{
    uint64_t size = part->length;

    while (start < end) {
        uint64_t stop = chunk_end(start, end);
        struct str bytes;

        TRY(read_attachment_chunk(content, task, part, size, start, stop, &bytes));
        TRY(buf_append(out, bytes));
        start = stop;
    }
    return ERR_OK;
}

/*
 * Encodes as much at a time as one chunk of the attachment gives: chunks are whole triples, so each
 * ends where a base64 quad does.
 */
static enum err read_base64(struct vault_content *content, struct task *task,
                            const struct part *part, uint64_t start, uint64_t end, struct buf *out)
{
    uint64_t size = 0;

    TRY(attachment_size(content, task, part->attachment_id, &size));
    if (base64_encoded_length(&part->layout, size) != part->length)
        return fail(task, ERR_CORRUPT, "vault: an attachment has not its length");
    while (start < end) {
        uint64_t stop = end, first, last;
        struct str bytes;

        base64_decoded_range(&part->layout, start, stop, &first, &last);
        if (chunk_end(first, last) < last) {
            stop = base64_encoded_length(&part->layout, chunk_end(first, last));
            base64_decoded_range(&part->layout, start, stop, &first, &last);
        }
        if (last > size)
            last = size;
        TRY(read_attachment_chunk(content, task, part, size, first, last, &bytes));
        base64_encode_range(&part->layout, bytes, start, stop, out);
        start = stop;
    }
    return ERR_OK;
}

/* --- Reading --- */

static void find_part(struct vault_content *content, uint64_t offset)
{
    const struct part *part = &content->parts[content->current];
    size_t low = 0, high = content->part_count;

    if (offset >= part->start && offset < part->start + part->length)
        return;
    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (content->parts[middle].start <= offset)
            low = middle;
        else
            high = middle;
    }
    content->current = low;
}

static enum err read_from_part(struct vault_content *content, struct task *task,
                               const struct part *part, uint64_t start, uint64_t end,
                               struct buf *out)
{
    switch (part->kind) {
    case PART_BYTES:
    case PART_ZSTD:
        return read_bytes(content, task, part, start, end, out);
    case PART_ATTACHMENT:
        return read_attachment(content, task, part, start, end, out);
    case PART_BASE64:
        return read_base64(content, task, part, start, end, out);
    }
    return fail(task, ERR_CORRUPT, "vault: a part of an unknown kind");
}

enum err vault_content_read(struct vault_content *content, struct task *task, uint64_t offset,
                            size_t len, struct buf *out)
{
    uint64_t end;

    if (offset >= content->size_bytes)
        return ERR_OK;
    end = len < content->size_bytes - offset ? offset + len : content->size_bytes;
    while (offset < end) {
        const struct part *part;
        uint64_t stop;

        find_part(content, offset);
        part = &content->parts[content->current];
        stop = part->start + part->length < end ? part->start + part->length : end;
        TRY(read_from_part(content, task, part, offset - part->start, stop - part->start, out));
        offset = stop;
    }
    return ERR_OK;
}
