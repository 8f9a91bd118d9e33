/* Reading one segment of the search index (segment.h has its form; segment_write.c writes it). */
#include "vault/segment.h"

#include "base/memory.h"
#include "sqlite/read_around.h"
#include "vault/ahead.h"

#include <string.h>

enum { HALF_MAX = 15 };

static enum err damaged(struct task *task)
{
    return fail(task, ERR_CORRUPT, "vault: a block of the search index is damaged");
}

static enum err read_beginnings(struct segment_cursor *cursor, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(cursor->vault->db, task,
                   "SELECT bytes FROM word_terms WHERE key BETWEEN ?1 AND ?2", &statement));
    db_bind_int(statement, 1, segment_key(&cursor->segment, SEGMENT_BEGINNINGS));
    db_bind_int(statement, 2, segment_key(&cursor->segment, SEGMENT_SIGNS - 1));
    for (;;) {
        TRY(db_step(cursor->vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        buf_put(&cursor->beginnings, db_column_blob(statement, 0));
    }
}

/* Of the block whose beginning stands at `*at`, which moves behind it; false: there is no whole
 * one. */
static bool next_beginning(const struct segment_cursor *cursor, size_t *at, struct str *out)
{
    struct str all = buf_str(&cursor->beginnings);
    uint64_t len;
    size_t len_len = varint_get(all, *at, &len);

    if (len_len == 0 || len > all.len - *at - len_len)
        return false;
    *out = str_make(all.ptr + *at + len_len, (size_t)len);
    *at += len_len + (size_t)len;
    return true;
}

enum err segment_cursor_open(struct segment_cursor *cursor, struct vault *vault, struct task *task,
                             const struct segment *segment)
{
    struct str beginning;

    *cursor = (struct segment_cursor){
        .vault = vault, .segment = *segment, .misses = read_around_misses(), .chunk_number = -1};
    buf_init(&cursor->block, SIZE_MAX);
    buf_init(&cursor->beginnings, SIZE_MAX);
    buf_init(&cursor->signs, SIZE_MAX);
    buf_init(&cursor->chunk, SIZE_MAX);
    TRY(read_beginnings(cursor, task));
    for (size_t at = 0; at < cursor->beginnings.len; cursor->block_count++)
        if (!next_beginning(cursor, &at, &beginning))
            return damaged(task);
    return ERR_OK;
}

void segment_cursor_close(struct segment_cursor *cursor)
{
    buf_free(&cursor->block);
    buf_free(&cursor->beginnings);
    buf_free(&cursor->signs);
    buf_free(&cursor->chunk);
}

static enum err read_row(struct segment_cursor *cursor, struct task *task, const char *sql,
                         int64_t number, struct buf *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(cursor->vault->db, task, sql, &statement));
    db_bind_int(statement, 1, segment_key(&cursor->segment, number));
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

/* The next entry is the block's first. */
static enum err load_block(struct segment_cursor *cursor, struct task *task, int64_t number)
{
    TRY(read_row(cursor, task, "SELECT bytes FROM word_terms WHERE key = ?1", number,
                 &cursor->block));
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
    return load_block(cursor, task, next);
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

/* --- Which block --- */

/* The block where the term would be, and the last one that begins with `prefix` behind it; there
 * are blocks. */
static void blocks_of(struct segment_cursor *cursor, struct str term, struct str prefix,
                      int64_t *out_first, int64_t *out_last)
{
    struct str beginning;
    size_t at = 0;

    *out_first = *out_last = 0;
    for (int64_t number = 0; number < cursor->block_count; number++) {
        (void)next_beginning(cursor, &at, &beginning);
        if (str_compare(beginning, term) <= 0)
            *out_first = *out_last = number;
        else if (str_starts_with(beginning, prefix))
            *out_last = number;
        else
            return;
    }
}

static enum err read_signs(struct segment_cursor *cursor, struct task *task, int64_t number)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(cursor->vault->db, task,
                   "SELECT key, bytes FROM word_terms WHERE key BETWEEN ?1 AND ?2 "
                   "ORDER BY key DESC LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, segment_key(&cursor->segment, SEGMENT_SIGNS));
    db_bind_int(statement, 2, segment_key(&cursor->segment, SEGMENT_SIGNS + number));
    TRY(db_step(cursor->vault->db, task, statement, &has_row));
    if (!has_row)
        return damaged(task);
    buf_truncate(&cursor->signs, 0);
    buf_put(&cursor->signs, db_column_blob(statement, 1));
    cursor->signs_at = 0;
    cursor->signs_number =
        db_column_int(statement, 0) - segment_key(&cursor->segment, SEGMENT_SIGNS);
    return ERR_OK;
}

/* The block's sign, borrowed until the next one is asked for. */
static enum err sign_of(struct segment_cursor *cursor, struct task *task, int64_t number,
                        struct str *out)
{
    size_t len = sign_length(str_from(buf_str(&cursor->signs), cursor->signs_at));
    bool is_read = len == 0 || number < cursor->signs_number;

    if (is_read)
        TRY(read_signs(cursor, task, number));
    for (;;) {
        struct str left = str_from(buf_str(&cursor->signs), cursor->signs_at);

        len = sign_length(left);
        if (len == 0 && is_read)
            return damaged(task);
        if (len == 0) { /* in another row */
            is_read = true;
            TRY(read_signs(cursor, task, number));
            continue;
        }
        if (cursor->signs_number == number) {
            *out = str_upto(left, len);
            return ERR_OK;
        }
        cursor->signs_at += len;
        cursor->signs_number++;
    }
}

static enum err block_may_have(struct segment_cursor *cursor, struct task *task, int64_t number,
                               const struct sign_needle *needle, bool *out_may)
{
    struct str sign;

    *out_may = true;
    if (needle->count == 0)
        return ERR_OK;
    TRY(sign_of(cursor, task, number, &sign));
    *out_may = sign_may_have(sign, needle);
    return ERR_OK;
}

enum err segment_cursor_may_have(struct segment_cursor *cursor, struct task *task, struct str term,
                                 struct str word, bool *out_may)
{
    struct sign_needle needle;
    int64_t first, last;

    *out_may = cursor->block_count > 0;
    sign_needle_init(&needle, word);
    if (!*out_may || needle.count == 0)
        return ERR_OK;
    blocks_of(cursor, term, term, &first, &last);
    return block_may_have(cursor, task, first, &needle, out_may);
}

/* --- A part of a word --- */

void segment_needle_init(struct segment_needle *needle, struct str prefix, struct str text,
                         bool is_at_end)
{
    memset(needle, 0, sizeof(*needle));
    needle->prefix = prefix;
    sign_needle_init(&needle->sign, text);
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

static const struct segment_known *known_of(const struct segment_cursor *cursor,
                                            const struct segment_needle *needle)
{
    for (size_t i = 0; i < cursor->known_count; i++)
        if (str_equal(cursor->known[i].prefix, needle->prefix) &&
            str_equal(cursor->known[i].text, needle->text))
            return &cursor->known[i];
    return NULL;
}

void segment_cursor_look(struct segment_cursor *cursor, struct segment_needle *needle)
{
    const struct segment_known *known = known_of(cursor, needle);

    buf_truncate(&cursor->block, 0);
    cursor->at = 0;
    needle->next_block = 0;
    needle->last_block = -1;
    needle->likely_at = needle->likely_count = 0;
    if (known != NULL) {
        memcpy(needle->likely, known->blocks, known->count * sizeof(known->blocks[0]));
        needle->likely_count = known->count;
    } else if (cursor->block_count > 0) {
        blocks_of(cursor, needle->prefix, needle->prefix, &needle->next_block, &needle->last_block);
    }
}

bool segment_cursor_block_of(struct segment_cursor *cursor, struct str term, int64_t *out_block)
{
    int64_t last;

    blocks_of(cursor, term, term, out_block, &last);
    return cursor->block_count > 0;
}

/* Where pages were missing already, those of the blocks are asked for together. */
static void ask_for_likely(struct segment_cursor *cursor, struct task *task,
                               const struct segment_needle *needle)
{
    struct db_keys blocks[NEEDLE_BLOCKS_MAX];
    bool is_cold;

    if (read_around_misses() == cursor->misses || needle->likely_count < 2)
        return;
    for (size_t i = 0; i < needle->likely_count; i++)
        blocks[i].first = blocks[i].last = segment_key(&cursor->segment, needle->likely[i]);
    ahead_of_rows(cursor->vault, task, "word_terms", blocks, needle->likely_count, AHEAD_PAGE,
                  &is_cold);
}

/* The next blocks that may have it. */
static enum err find_likely(struct segment_cursor *cursor, struct task *task,
                            struct segment_needle *needle)
{
    needle->likely_at = needle->likely_count = 0;
    for (; needle->next_block <= needle->last_block && needle->likely_count < NEEDLE_BLOCKS_MAX;
         needle->next_block++) {
        bool may_have;

        TRY(block_may_have(cursor, task, needle->next_block, &needle->sign, &may_have));
        if (may_have)
            needle->likely[needle->likely_count++] = needle->next_block;
    }
    return ERR_OK;
}

static void keep_known(struct segment_cursor *cursor, const struct segment_needle *needle)
{
    struct segment_known *known = &cursor->known[cursor->known_count];

    if (cursor->known_count == SEGMENT_KNOWN_MAX)
        return;
    cursor->known_count++;
    known->prefix = needle->prefix;
    known->text = needle->text;
    known->count = needle->likely_count;
    memcpy(known->blocks, needle->likely, known->count * sizeof(known->blocks[0]));
}

enum err segment_cursor_likely(struct segment_cursor *cursor, struct task *task,
                               struct segment_needle *needle, const int64_t **out_blocks,
                               size_t *out_count)
{
    if (known_of(cursor, needle) == NULL) {
        TRY(find_likely(cursor, task, needle));
        if (needle->next_block > needle->last_block)
            keep_known(cursor, needle);
    }
    *out_blocks = needle->likely;
    *out_count = needle->likely_count;
    return ERR_OK;
}

/* As reach_entry, but only of blocks that may have it. */
static enum err reach_likely(struct segment_cursor *cursor, struct task *task,
                             struct segment_needle *needle, bool *out_has_entry)
{
    *out_has_entry = cursor->at < cursor->block.len;
    if (*out_has_entry)
        return ERR_OK;
    if (needle->likely_at == needle->likely_count) {
        TRY(find_likely(cursor, task, needle));
        ask_for_likely(cursor, task, needle);
    }
    if (needle->likely_at == needle->likely_count)
        return ERR_OK;
    *out_has_entry = true;
    return load_block(cursor, task, needle->likely[needle->likely_at++]);
}

enum err segment_cursor_find(struct segment_cursor *cursor, struct task *task,
                             struct segment_needle *needle, bool *out_has_entry)
{
    for (;;) {
        size_t shared, len;
        bool is_found;

        TRY(reach_likely(cursor, task, needle, out_has_entry));
        if (!*out_has_entry)
            return ERR_OK;
        if (!get_lengths(cursor, &shared, &len))
            return damaged(task);
        take_bytes(cursor, needle, shared, len);
        is_found = (needle->states[cursor->term_len] & needle->found) != 0;
        if (!(is_found ? get_contents(cursor) : skip_contents(cursor)))
            return damaged(task);
        /* The first block may begin before the place, the last may end behind it. */
        if (shared < needle->prefix.len &&
            !str_starts_with(segment_cursor_term(cursor), needle->prefix)) {
            if (str_compare(segment_cursor_term(cursor), needle->prefix) < 0)
                continue;
            *out_has_entry = false;
            return ERR_OK;
        }
        if (is_found && str_starts_with(segment_cursor_term(cursor), needle->prefix) &&
            (!needle->is_at_end || str_ends_with(segment_cursor_term(cursor), needle->text)))
            return ERR_OK;
    }
}

/* --- A term --- */

enum err segment_cursor_seek(struct segment_cursor *cursor, struct task *task, struct str term)
{
    char before[TERM_BYTES_MAX];
    size_t before_len;
    int64_t first, last;
    bool has_entry;

    if (cursor->block_count == 0)
        return ERR_OK;
    blocks_of(cursor, term, term, &first, &last);
    TRY(load_block(cursor, task, first));
    for (;;) {
        int64_t block_number = cursor->block_number;
        uint64_t next_postings = cursor->next_postings;
        size_t at = cursor->at;

        before_len = cursor->term_len;
        memcpy(before, cursor->term, before_len);
        TRY(segment_cursor_next(cursor, task, &has_entry));
        if (!has_entry)
            return ERR_OK;
        if (str_compare(segment_cursor_term(cursor), term) < 0)
            continue;
        if (cursor->block_number != block_number)
            return load_block(cursor, task, cursor->block_number);
        /* One step back. */
        cursor->at = at;
        cursor->next_postings = next_postings;
        memcpy(cursor->term, before, before_len);
        cursor->term_len = before_len;
        return ERR_OK;
    }
}

enum err segment_cursor_postings(struct segment_cursor *cursor, struct task *task, uint64_t at,
                                 uint64_t len, struct buf *out)
{
    while (len > 0) {
        int64_t number = (int64_t)(at / SEGMENT_ROW_BYTES);
        struct str part;

        if (cursor->chunk_number != number) {
            cursor->chunk_number = -1;
            TRY(read_row(cursor, task, "SELECT bytes FROM word_postings WHERE key = ?1", number,
                         &cursor->chunk));
            cursor->chunk_number = number;
        }
        part = str_upto(str_from(buf_str(&cursor->chunk), (size_t)(at % SEGMENT_ROW_BYTES)),
                        (size_t)len);
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

    TRY(load_block(cursor, task, cursor->block_count - 1));
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
