/* Reading and writing one segment of the search index (segment.h has its form). */
#include "vault/segment.h"

#include "base/memory.h"

#include <string.h>

enum {
    BLOCK_NUMBER_BITS = 24,
    /* Read at random: a row fills one page of 4096 bytes, less the cipher's 32 and SQLite's own. */
    POSTINGS_BYTES = 4000,
    /* Read one after the other: SQLite puts the pages of a row near each other. */
    TERMS_BYTES = 16000,
    ENTRY_BYTES_MAX = TERM_BYTES_MAX + 5 * VARINT_MAX,
    HALF_MAX = 15,
};

static int64_t block_key(const struct segment *segment, int64_t number)
{
    return segment->id << BLOCK_NUMBER_BITS | number;
}

size_t varint_put(uint64_t value, char out[static VARINT_MAX])
{
    size_t len = 0;

    while (value >= 0x80) {
        out[len++] = (char)(0x80 | (value & 0x7f));
        value >>= 7;
    }
    out[len++] = (char)value;
    return len;
}

static void put_number(struct buf *out, uint64_t value)
{
    char bytes[VARINT_MAX];

    buf_put(out, str_make(bytes, varint_put(value, bytes)));
}

static enum err damaged(struct task *task)
{
    return fail(task, ERR_CORRUPT, "vault: a block of the search index is damaged");
}

static enum err block_count(struct vault *vault, struct task *task, const char *sql,
                            const struct segment *segment, int64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, sql, &statement));
    db_bind_int(statement, 1, block_key(segment, 0));
    db_bind_int(statement, 2, block_key(segment, (1 << BLOCK_NUMBER_BITS) - 1));
    TRY(db_step(vault->db, task, statement, &has_row));
    *out_count = !has_row ? 0 : db_column_int(statement, 0) - block_key(segment, 0) + 1;
    return ERR_OK;
}

static const char terms_count_sql[] =
    "SELECT key FROM word_terms WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1";
static const char postings_count_sql[] =
    "SELECT key FROM word_postings WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1";

/* --- Writing --- */

enum err segment_writer_open(struct segment_writer *writer, struct vault *vault, struct task *task,
                             const struct segment *segment)
{
    *writer = (struct segment_writer){.vault = vault, .segment = *segment};
    buf_init(&writer->terms, SIZE_MAX);
    buf_init(&writer->postings, SIZE_MAX);
    TRY(block_count(vault, task, terms_count_sql, segment, &writer->next_terms));
    return block_count(vault, task, postings_count_sql, segment, &writer->next_postings);
}

void segment_writer_close(struct segment_writer *writer)
{
    buf_free(&writer->terms);
    buf_free(&writer->postings);
}

static enum err write_block(struct segment_writer *writer, struct task *task, const char *sql,
                            int64_t *number, struct str bytes)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    if (*number >> BLOCK_NUMBER_BITS != 0)
        return fail(task, ERR_LIMIT, "vault: a segment of too many blocks");
    TRY(db_prepare(writer->vault->db, task, sql, &statement));
    db_bind_int(statement, 1, block_key(&writer->segment, *number));
    db_bind_blob(statement, 2, bytes);
    TRY(db_run(writer->vault->db, task, statement));
    writer->written_bytes += bytes.len;
    ++*number;
    return ERR_OK;
}

static enum err flush_terms(struct segment_writer *writer, struct task *task)
{
    if (writer->terms.len == 0)
        return ERR_OK;
    TRY(write_block(writer, task, "INSERT INTO word_terms(key, bytes) VALUES (?1, ?2)",
                    &writer->next_terms, buf_str(&writer->terms)));
    buf_reset(&writer->terms);
    writer->last_term_len = 0;
    return ERR_OK;
}

/* Whole blocks, or all there is. */
static enum err flush_postings(struct segment_writer *writer, struct task *task, bool is_all)
{
    while (writer->postings.len >= POSTINGS_BYTES || (is_all && writer->postings.len > 0)) {
        struct str block = str_upto(buf_str(&writer->postings), POSTINGS_BYTES);

        TRY(write_block(writer, task, "INSERT INTO word_postings(key, bytes) VALUES (?1, ?2)",
                        &writer->next_postings, block));
        buf_consume(&writer->postings, block.len);
    }
    return ERR_OK;
}

static size_t shared_length(struct str a, struct str b)
{
    size_t len = 0, max = a.len < b.len ? a.len : b.len;

    while (len + sizeof(uint64_t) <= max) {
        uint64_t left, right;

        memcpy(&left, a.ptr + len, sizeof(left));
        memcpy(&right, b.ptr + len, sizeof(right));
        if (left != right)
            break;
        len += sizeof(left);
    }
    while (len < max && a.ptr[len] == b.ptr[len])
        len++;
    return len;
}

/* An entry, but for its postings; at most ENTRY_BYTES_MAX. */
static size_t make_entry(size_t shared, struct str follows, uint64_t content_count,
                         struct str postings, char out[static ENTRY_BYTES_MAX])
{
    size_t high = shared < HALF_MAX ? shared : HALF_MAX, len = 0;
    size_t low = follows.len < HALF_MAX ? follows.len : HALF_MAX;
    uint64_t content = 0;

    out[len++] = (char)(high << 4 | low);
    if (high == HALF_MAX)
        len += varint_put(shared, out + len);
    if (low == HALF_MAX)
        len += varint_put(follows.len, out + len);
    memcpy(out + len, follows.ptr, follows.len);
    len += follows.len;
    if (content_count == 1) {
        (void)varint_get(postings, 0, &content);
        return len + varint_put(content << 1, out + len);
    }
    len += varint_put(content_count << 1 | 1, out + len);
    return len + varint_put(postings.len, out + len);
}

enum err segment_writer_put(struct segment_writer *writer, struct task *task, struct str term,
                            uint64_t content_count, struct str postings)
{
    size_t shared = shared_length(str_make(writer->last_term, writer->last_term_len), term);
    char entry[ENTRY_BYTES_MAX];

    if (writer->terms.len == 0)
        put_number(&writer->terms,
                   (uint64_t)writer->next_postings * POSTINGS_BYTES + writer->postings.len);
    buf_put(&writer->terms, str_make(entry, make_entry(shared, str_from(term, shared),
                                                       content_count, postings, entry)));
    if (content_count > 1)
        buf_put(&writer->postings, postings);
    memcpy(writer->last_term, term.ptr, term.len);
    writer->last_term_len = term.len;
    if (writer->terms.len > TERMS_BYTES - ENTRY_BYTES_MAX)
        TRY(flush_terms(writer, task));
    return writer->postings.len < POSTINGS_BYTES ? ERR_OK : flush_postings(writer, task, false);
}

enum err segment_writer_flush(struct segment_writer *writer, struct task *task)
{
    TRY(flush_terms(writer, task));
    return flush_postings(writer, task, true);
}

/* --- Reading --- */

enum err segment_cursor_open(struct segment_cursor *cursor, struct vault *vault, struct task *task,
                             const struct segment *segment)
{
    *cursor = (struct segment_cursor){.vault = vault, .segment = *segment, .chunk_number = -1};
    buf_init(&cursor->block, SIZE_MAX);
    buf_init(&cursor->chunk, SIZE_MAX);
    return block_count(vault, task, terms_count_sql, segment, &cursor->block_count);
}

void segment_cursor_close(struct segment_cursor *cursor)
{
    buf_free(&cursor->block);
    buf_free(&cursor->chunk);
}

static enum err read_row(struct segment_cursor *cursor, struct task *task, const char *sql,
                         int64_t number, struct buf *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(cursor->vault->db, task, sql, &statement));
    db_bind_int(statement, 1, block_key(&cursor->segment, number));
    TRY(db_step(cursor->vault->db, task, statement, &has_row));
    if (!has_row)
        return damaged(task);
    buf_truncate(out, 0);
    buf_put(out, db_column_blob(statement, 0));
    return ERR_OK;
}

static inline bool get_number(struct segment_cursor *cursor, uint64_t *out)
{
    size_t len;

    /* Nearly all are of one byte. */
    if (cursor->at < cursor->block.len && (unsigned char)cursor->block.ptr[cursor->at] < 0x80) {
        *out = (unsigned char)cursor->block.ptr[cursor->at++];
        return true;
    }
    len = varint_get(buf_str(&cursor->block), cursor->at, out);
    cursor->at += len;
    return len > 0;
}

static const char block_sql[] = "SELECT bytes FROM word_terms WHERE key = ?1";
/* No more than the block's first entry needs: ENTRY_BYTES_MAX. */
static const char beginning_sql[] = "SELECT substr(bytes, 1, 400) FROM word_terms WHERE key = ?1";

/* The next entry is the block's first. */
static enum err load_block(struct segment_cursor *cursor, struct task *task, const char *sql,
                           int64_t number)
{
    TRY(read_row(cursor, task, sql, number, &cursor->block));
    cursor->block_number = number;
    cursor->at = 0;
    cursor->term_len = 0;
    return get_number(cursor, &cursor->next_postings) ? ERR_OK : damaged(task);
}

/* Whether there is an entry at cursor->at: loads the next block where that is needed. */
static enum err reach_entry(struct segment_cursor *cursor, struct task *task, bool *out_has_entry)
{
    int64_t next = cursor->block.len == 0 ? 0 : cursor->block_number + 1;

    *out_has_entry = cursor->at < cursor->block.len;
    if (*out_has_entry || next >= cursor->block_count)
        return ERR_OK;
    *out_has_entry = true;
    return load_block(cursor, task, block_sql, next);
}

/* How the entry's term is made from the one before: its first `shared` bytes, and `len` more,
 * which begin at cursor->at then. */
static inline bool get_lengths(struct segment_cursor *cursor, size_t *out_shared, size_t *out_len)
{
    unsigned char halves;
    uint64_t shared, len;

    if (cursor->at >= cursor->block.len)
        return false;
    halves = (unsigned char)cursor->block.ptr[cursor->at++];
    shared = halves >> 4;
    len = halves & HALF_MAX;
    if ((shared == HALF_MAX && !get_number(cursor, &shared)) ||
        (len == HALF_MAX && !get_number(cursor, &len)))
        return false;
    *out_shared = (size_t)shared;
    *out_len = (size_t)len;
    return shared <= cursor->term_len && len <= TERM_BYTES_MAX - shared &&
           len <= cursor->block.len - cursor->at;
}

/* What stands behind the term. */
static inline bool get_contents(struct segment_cursor *cursor)
{
    uint64_t value;

    cursor->postings_len = 0;
    cursor->content_count = 1;
    if (!get_number(cursor, &value))
        return false;
    if ((value & 1) == 0) {
        cursor->content_id = cursor->segment.first_content_id + (int64_t)(value >> 1);
        return true;
    }
    cursor->content_count = value >> 1;
    cursor->postings_at = cursor->next_postings;
    if (!get_number(cursor, &cursor->postings_len))
        return false;
    cursor->next_postings += cursor->postings_len;
    return true;
}

enum err segment_cursor_next(struct segment_cursor *cursor, struct task *task, bool *out_has_entry)
{
    size_t shared, len;

    TRY(reach_entry(cursor, task, out_has_entry));
    if (!*out_has_entry)
        return ERR_OK;
    if (!get_lengths(cursor, &shared, &len))
        return damaged(task);
    memcpy(cursor->term + shared, cursor->block.ptr + cursor->at, len);
    cursor->term_len = shared + len;
    cursor->at += len;
    return get_contents(cursor) ? ERR_OK : damaged(task);
}

void segment_needle_init(struct segment_needle *needle, struct str prefix, struct str text,
                         bool is_at_end)
{
    memset(needle, 0, sizeof(*needle));
    needle->prefix = prefix;
    needle->text = text;
    needle->is_at_end = is_at_end;
    for (size_t i = 0; i < text.len; i++)
        needle->masks[(unsigned char)text.ptr[i]] |= UINT64_C(1) << i;
    needle->found = UINT64_C(1) << (text.len - 1);
}

/* Takes the term's new bytes, from `from` on, and the states behind each of them. */
static inline void take_bytes(struct segment_cursor *cursor, struct segment_needle *needle,
                              size_t from, size_t len)
{
    const char *bytes = cursor->block.ptr + cursor->at;
    uint64_t state = needle->states[from], found = needle->found;
    size_t i = 0;

    /* The place's own bytes are not looked at. */
    for (; i < len && from + i < needle->prefix.len; i++)
        cursor->term[from + i] = bytes[i];
    for (; i < len; i++) {
        cursor->term[from + i] = bytes[i];
        state = ((state << 1 | 1) & needle->masks[(unsigned char)bytes[i]]) | (state & found);
        needle->states[from + i + 1] = state;
    }
    cursor->term_len = from + len;
    cursor->at += len;
}

/* Passes over what stands behind a term; most often the one content that has it. */
static inline bool skip_contents(struct segment_cursor *cursor)
{
    const char *bytes = cursor->block.ptr;

    if (cursor->at >= cursor->block.len)
        return false;
    if ((bytes[cursor->at] & 1) != 0)
        return get_contents(cursor);
    while (cursor->at < cursor->block.len && ((unsigned char)bytes[cursor->at] & 0x80) != 0)
        cursor->at++;
    cursor->at++;
    return cursor->at <= cursor->block.len;
}

enum err segment_cursor_find(struct segment_cursor *cursor, struct task *task,
                             struct segment_needle *needle, bool *out_has_entry)
{
    for (;;) {
        size_t shared, len;
        bool is_found;

        TRY(reach_entry(cursor, task, out_has_entry));
        if (!*out_has_entry)
            return ERR_OK;
        if (!get_lengths(cursor, &shared, &len))
            return damaged(task);
        take_bytes(cursor, needle, shared, len);
        is_found = (needle->states[cursor->term_len] & needle->found) != 0;
        if (!(is_found ? get_contents(cursor) : skip_contents(cursor)))
            return damaged(task);
        if (shared < needle->prefix.len &&
            !str_starts_with(segment_cursor_term(cursor), needle->prefix)) {
            *out_has_entry = false;
            return ERR_OK;
        }
        if (is_found &&
            (!needle->is_at_end || str_ends_with(segment_cursor_term(cursor), needle->text)))
            return ERR_OK;
    }
}

enum err segment_cursor_seek(struct segment_cursor *cursor, struct task *task, struct str term)
{
    int64_t low = 0, high = cursor->block_count; /* the last block that begins before the term */
    size_t at;
    bool has_entry;

    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;

        TRY(load_block(cursor, task, beginning_sql, middle));
        TRY(segment_cursor_next(cursor, task, &has_entry));
        if (str_compare(segment_cursor_term(cursor), term) < 0)
            low = middle;
        else
            high = middle;
    }
    if (cursor->block_count == 0)
        return ERR_OK;
    TRY(load_block(cursor, task, block_sql, low));
    for (;;) {
        struct segment_cursor before = *cursor;

        at = cursor->at;
        TRY(segment_cursor_next(cursor, task, &has_entry));
        if (!has_entry)
            return ERR_OK;
        if (str_compare(segment_cursor_term(cursor), term) < 0)
            continue;
        if (cursor->block_number != before.block_number)
            return load_block(cursor, task, block_sql, cursor->block_number);
        /* One step back. */
        cursor->at = at;
        cursor->next_postings = before.next_postings;
        memcpy(cursor->term, before.term, before.term_len);
        cursor->term_len = before.term_len;
        return ERR_OK;
    }
}

enum err segment_cursor_postings(struct segment_cursor *cursor, struct task *task, uint64_t at,
                                 uint64_t len, struct buf *out)
{
    while (len > 0) {
        int64_t number = (int64_t)(at / POSTINGS_BYTES);
        struct str part;

        if (cursor->chunk_number != number) {
            cursor->chunk_number = -1;
            TRY(read_row(cursor, task, "SELECT bytes FROM word_postings WHERE key = ?1", number,
                         &cursor->chunk));
            cursor->chunk_number = number;
        }
        part =
            str_upto(str_from(buf_str(&cursor->chunk), (size_t)(at % POSTINGS_BYTES)), (size_t)len);
        if (part.len == 0)
            return damaged(task);
        buf_put(out, part);
        at += part.len;
        len -= part.len;
    }
    return ERR_OK;
}

static enum err read_last(struct segment_cursor *cursor, struct task *task,
                          char out_term[static TERM_BYTES_MAX], size_t *out_len)
{
    bool has_entry = true;

    TRY(load_block(cursor, task, block_sql, cursor->block_count - 1));
    while (cursor->at < cursor->block.len)
        TRY(segment_cursor_next(cursor, task, &has_entry));
    memcpy(out_term, cursor->term, cursor->term_len);
    *out_len = cursor->term_len;
    return ERR_OK;
}

enum err segment_last_term(struct vault *vault, struct task *task, const struct segment *segment,
                           char out_term[static TERM_BYTES_MAX], size_t *out_len,
                           bool *out_has_term)
{
    struct segment_cursor cursor;
    enum err err = segment_cursor_open(&cursor, vault, task, segment);

    *out_has_term = cursor.block_count > 0;
    if (err == ERR_OK && *out_has_term)
        err = read_last(&cursor, task, out_term, out_len);
    segment_cursor_close(&cursor);
    return err;
}
