/* Segments become one (index.h), a slice at a time, without the contents that went. */
#include "vault/index.h"

#include "base/memory.h"

#include <string.h>

enum {
    INPUTS_MAX = 16,
    ENTRIES_IN_SLICE = 20000,    /* read */
    BYTES_IN_SLICE = 512 * 1024, /* read or written */
};

struct merge {
    struct vault *vault;
    struct task *task;
    struct segment_writer writer;
    struct segment_cursor inputs[INPUTS_MAX]; /* oldest first, as their contents ascend */
    bool has_entry[INPUTS_MAX];
    size_t input_count;
    unsigned char *gone;      /* own; a bit for each content id of the range; NULL: none went */
    bool keeps_gone;          /* they are taken over */
    size_t entries, bytes;    /* read */
    struct buf postings, raw; /* own */
};

static enum err load_gone(struct merge *m)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    const struct segment *output = &m->writer.segment;
    int64_t range = output->last_content_id - output->first_content_id + 1;
    bool has_row;

    TRY(db_prepare(m->vault->db, m->task,
                   "SELECT content_id FROM word_gone WHERE content_id BETWEEN ?1 AND ?2 "
                   "AND segment_id = ?3",
                   &statement));
    db_bind_int(statement, 1, output->first_content_id);
    db_bind_int(statement, 2, output->last_content_id);
    db_bind_int(statement, 3, output->id);
    for (;;) {
        size_t bit;

        TRY(db_step(m->vault->db, m->task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        if (m->gone == NULL)
            m->gone = NEW_ARRAY(unsigned char, (size_t)range / 8 + 1);
        bit = (size_t)(db_column_int(statement, 0) - output->first_content_id);
        m->gone[bit / 8] |= (unsigned char)(1u << bit % 8);
    }
}

static bool is_gone(const struct merge *m, int64_t content_id)
{
    size_t bit = (size_t)(content_id - m->writer.segment.first_content_id);

    return m->gone != NULL && !m->keeps_gone && (m->gone[bit / 8] >> bit % 8 & 1) != 0;
}

/* Postings of the term under way. */
struct joined {
    int64_t last_content_id;
    uint64_t count;
};

static void join(struct merge *m, struct joined *joined, int64_t content_id)
{
    char bytes[VARINT_MAX];

    if (is_gone(m, content_id))
        return;
    buf_put(&m->postings,
            str_make(bytes, varint_put((uint64_t)(content_id - joined->last_content_id), bytes)));
    joined->last_content_id = content_id;
    joined->count++;
}

static enum err join_input(struct merge *m, struct joined *joined, struct segment_cursor *input)
{
    int64_t content_id = input->segment.first_content_id;
    struct str left;
    uint64_t step;

    if (input->content_count == 1) {
        join(m, joined, input->content_id);
        return ERR_OK;
    }
    buf_truncate(&m->raw, 0);
    TRY(segment_cursor_postings(input, m->task, input->postings_at, input->postings_len, &m->raw));
    left = buf_str(&m->raw);
    m->bytes += left.len;
    for (size_t at = 0, len; at < left.len; at += len) {
        len = varint_get(left, at, &step);
        content_id += (int64_t)step;
        if (len == 0 || content_id < joined->last_content_id ||
            content_id > input->segment.last_content_id)
            return fail(m->task, ERR_CORRUPT, "vault: postings of the search index are damaged");
        join(m, joined, content_id);
    }
    return ERR_OK;
}

static enum err advance(struct merge *m, size_t i)
{
    m->entries++;
    m->bytes += m->inputs[i].term_len;
    return segment_cursor_next(&m->inputs[i], m->task, &m->has_entry[i]);
}

/* The least term of all inputs; false in *out_has_term at the end. */
static enum err merge_term(struct merge *m, bool *out_has_term)
{
    struct joined joined = {.last_content_id = m->writer.segment.first_content_id};
    char bytes[TERM_BYTES_MAX];
    struct str term = {NULL, 0};

    for (size_t i = 0; i < m->input_count; i++) {
        if (m->has_entry[i] &&
            (term.ptr == NULL || str_compare(segment_cursor_term(&m->inputs[i]), term) < 0))
            term = segment_cursor_term(&m->inputs[i]);
    }
    *out_has_term = term.ptr != NULL;
    if (term.ptr == NULL)
        return ERR_OK;
    memcpy(bytes, term.ptr, term.len);
    term = str_make(bytes, term.len);
    buf_truncate(&m->postings, 0);
    for (size_t i = 0; i < m->input_count; i++) {
        if (!m->has_entry[i] || !str_equal(segment_cursor_term(&m->inputs[i]), term))
            continue;
        TRY(join_input(m, &joined, &m->inputs[i]));
        TRY(advance(m, i));
    }
    if (joined.count == 0)
        return ERR_OK;
    return segment_writer_put(&m->writer, m->task, term, joined.count, buf_str(&m->postings));
}

/* Behind `last`, which the output has. */
static enum err start_input(struct merge *m, size_t i, struct str last)
{
    struct segment_cursor *input = &m->inputs[i];

    if (last.len > 0)
        TRY(segment_cursor_seek(input, m->task, last));
    TRY(segment_cursor_next(input, m->task, &m->has_entry[i]));
    if (m->has_entry[i] && str_equal(segment_cursor_term(input), last))
        TRY(segment_cursor_next(input, m->task, &m->has_entry[i]));
    return ERR_OK;
}

static enum err start(struct merge *m, const struct segment *output)
{
    char term[TERM_BYTES_MAX];
    struct segment *segments;
    size_t count, len = 0;
    bool has_term;

    TRY(segment_last_term(m->vault, m->task, output, term, &len, &has_term));
    TRY(index_segments(m->vault, m->task, &segments, &count));
    for (size_t i = 0; i < count; i++) {
        if (segments[i].first_content_id < output->first_content_id ||
            segments[i].last_content_id > output->last_content_id)
            continue;
        if (m->input_count == INPUTS_MAX)
            return fail(m->task, ERR_CORRUPT, "vault: too many segments in the range of one");
        TRY(segment_cursor_open(&m->inputs[m->input_count++], m->vault, m->task, &segments[i]));
        TRY(start_input(m, m->input_count - 1, str_make(term, has_term ? len : 0)));
    }
    return load_gone(m);
}

static enum err run(struct merge *m, const struct segment *output, bool *out_is_whole)
{
    bool has_term = true;

    TRY(segment_writer_open(&m->writer, m->vault, m->task, output));
    TRY(start(m, output));
    while (has_term && m->entries < ENTRIES_IN_SLICE && m->bytes < BYTES_IN_SLICE)
        TRY(merge_term(m, &has_term));
    /* All that was read has gone: the next slice, which begins behind what the output has, would read
     * the same again. So it gets this term, which says nothing false (index.h). */
    m->keeps_gone = m->writer.last_term_len == 0;
    if (has_term && m->keeps_gone)
        TRY(merge_term(m, &has_term));
    *out_is_whole = !has_term;
    return segment_writer_flush(&m->writer, m->task);
}

enum err index_merge(struct vault *vault, struct task *task, const struct segment *output,
                     bool *out_is_whole)
{
    struct merge m = {.vault = vault, .task = task};
    enum err err;

    buf_init(&m.postings, SIZE_MAX);
    buf_init(&m.raw, SIZE_MAX);
    err = run(&m, output, out_is_whole);
    segment_writer_close(&m.writer);
    for (size_t i = 0; i < m.input_count; i++)
        segment_cursor_close(&m.inputs[i]);
    mem_free(&m.gone);
    buf_free(&m.postings);
    buf_free(&m.raw);
    return err;
}
