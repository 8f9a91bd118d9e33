/* Writing one segment of the search index (segment.h has its form). */
#include "vault/segment.h"

#include "base/memory.h"

#include <string.h>

enum { HALF_MAX = 15 };

static void put_number(struct buf *out, uint64_t value)
{
    char bytes[VARINT_MAX];

    buf_put(out, str_make(bytes, varint_put(value, bytes)));
}

static enum err terms_count(struct vault *vault, struct task *task, const struct segment *segment,
                            int64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT key FROM word_terms WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC "
                   "LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, segment_key(segment, 0));
    db_bind_int(statement, 2, segment_key(segment, SEGMENT_BEGINNINGS - 1));
    TRY(db_step(vault->db, task, statement, &has_row));
    *out_count = !has_row ? 0 : db_column_int(statement, 0) - segment_key(segment, 0) + 1;
    return ERR_OK;
}

static enum err postings_count(struct vault *vault, struct task *task,
                               const struct segment *segment, int64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT key FROM word_postings WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC "
                   "LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, segment_key(segment, 0));
    db_bind_int(statement, 2, segment_key(segment, SEGMENT_NUMBER_MAX));
    TRY(db_step(vault->db, task, statement, &has_row));
    *out_count = !has_row ? 0 : db_column_int(statement, 0) - segment_key(segment, 0) + 1;
    return ERR_OK;
}

enum err segment_writer_open(struct segment_writer *writer, struct vault *vault, struct task *task,
                             const struct segment *segment)
{
    *writer = (struct segment_writer){.vault = vault, .segment = *segment};
    buf_init(&writer->terms, SIZE_MAX);
    buf_init(&writer->postings, SIZE_MAX);
    buf_init(&writer->beginnings, SIZE_MAX);
    buf_init(&writer->signs, SIZE_MAX);
    TRY(terms_count(vault, task, segment, &writer->next_terms));
    writer->first_beginning = writer->first_sign = writer->next_terms;
    return postings_count(vault, task, segment, &writer->next_postings);
}

void segment_writer_close(struct segment_writer *writer)
{
    buf_free(&writer->terms);
    buf_free(&writer->postings);
    buf_free(&writer->beginnings);
    buf_free(&writer->signs);
}

static enum err write_row(struct segment_writer *writer, struct task *task, const char *sql,
                          int64_t number, struct str bytes)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(writer->vault->db, task, sql, &statement));
    db_bind_int(statement, 1, segment_key(&writer->segment, number));
    db_bind_blob(statement, 2, bytes);
    TRY(db_run(writer->vault->db, task, statement));
    writer->written_bytes += bytes.len;
    return ERR_OK;
}

static const char terms_sql[] = "INSERT INTO word_terms(key, bytes) VALUES (?1, ?2)";

/* A row of beginnings or of signs, of the blocks up to, but not with, `next`. */
static enum err flush_about(struct segment_writer *writer, struct task *task, int64_t base,
                            struct buf *about, int64_t *first, int64_t next)
{
    if (about->len == 0)
        return ERR_OK;
    TRY(write_row(writer, task, terms_sql, base + *first, buf_str(about)));
    buf_reset(about);
    *first = next;
    return ERR_OK;
}

/* The block's beginning was noted when it began. */
static enum err flush_terms(struct segment_writer *writer, struct task *task)
{
    CLEANUP(buf_free) struct buf sign = {0};

    if (writer->terms.len == 0)
        return ERR_OK;
    if (writer->next_terms == SEGMENT_BEGINNINGS)
        return fail(task, ERR_LIMIT, "vault: a segment of too many blocks");
    TRY(write_row(writer, task, terms_sql, writer->next_terms, buf_str(&writer->terms)));
    buf_reset(&writer->terms);
    buf_init(&sign, SIZE_MAX);
    sign_put(&writer->sign, &sign);
    if (writer->signs.len + sign.len > SEGMENT_ROW_BYTES)
        TRY(flush_about(writer, task, SEGMENT_SIGNS, &writer->signs, &writer->first_sign,
                        writer->next_terms));
    buf_put(&writer->signs, buf_str(&sign));
    writer->next_terms++;
    return ERR_OK;
}

/* Whole blocks, or all there is. */
static enum err flush_postings(struct segment_writer *writer, struct task *task, bool is_all)
{
    while (writer->postings.len >= SEGMENT_ROW_BYTES || (is_all && writer->postings.len > 0)) {
        struct str block = str_upto(buf_str(&writer->postings), SEGMENT_ROW_BYTES);

        if (writer->next_postings >> SEGMENT_NUMBER_BITS != 0)
            return fail(task, ERR_LIMIT, "vault: a segment of too many blocks");
        TRY(write_row(writer, task, "INSERT INTO word_postings(key, bytes) VALUES (?1, ?2)",
                      writer->next_postings++, block));
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

/* An entry, but for its postings; at most SEGMENT_ENTRY_MAX. */
static size_t make_entry(size_t shared, struct str follows, uint64_t content_count,
                         struct str postings, char out[static SEGMENT_ENTRY_MAX])
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

/* `term` begins a block. */
static enum err begin_block(struct segment_writer *writer, struct task *task, struct str term)
{
    struct str last = str_make(writer->last_term, writer->last_term_len);
    struct str beginning = last.len == 0 ? term : str_upto(term, shared_length(last, term) + 1);

    if (writer->beginnings.len + beginning.len + VARINT_MAX > SEGMENT_ROW_BYTES)
        TRY(flush_about(writer, task, SEGMENT_BEGINNINGS, &writer->beginnings,
                        &writer->first_beginning, writer->next_terms));
    put_number(&writer->beginnings, beginning.len);
    buf_put(&writer->beginnings, beginning);
    put_number(&writer->terms,
               (uint64_t)writer->next_postings * SEGMENT_ROW_BYTES + writer->postings.len);
    return ERR_OK;
}

enum err segment_writer_put(struct segment_writer *writer, struct task *task, struct str term,
                            uint64_t content_count, struct str postings)
{
    size_t shared = 0, prefix_len = words_prefix_len(term), len = 0;
    char entry[SEGMENT_ENTRY_MAX];

    if (writer->terms.len > 0) {
        shared = shared_length(str_make(writer->last_term, writer->last_term_len), term);
        len = make_entry(shared, str_from(term, shared), content_count, postings, entry);
        if (writer->terms.len + len > SEGMENT_ROW_BYTES)
            TRY(flush_terms(writer, task));
    }
    if (writer->terms.len == 0) {
        TRY(begin_block(writer, task, term));
        shared = 0;
        len = make_entry(0, term, content_count, postings, entry);
    }
    buf_put(&writer->terms, str_make(entry, len));
    sign_add(&writer->sign, str_from(term, prefix_len),
             shared < prefix_len ? 0 : shared - prefix_len);
    if (content_count > 1)
        buf_put(&writer->postings, postings);
    memcpy(writer->last_term, term.ptr, term.len);
    writer->last_term_len = term.len;
    return writer->postings.len < SEGMENT_ROW_BYTES ? ERR_OK : flush_postings(writer, task, false);
}

enum err segment_writer_flush(struct segment_writer *writer, struct task *task)
{
    TRY(flush_terms(writer, task));
    TRY(flush_about(writer, task, SEGMENT_BEGINNINGS, &writer->beginnings, &writer->first_beginning,
                    writer->next_terms));
    TRY(flush_about(writer, task, SEGMENT_SIGNS, &writer->signs, &writer->first_sign,
                    writer->next_terms));
    return flush_postings(writer, task, true);
}
