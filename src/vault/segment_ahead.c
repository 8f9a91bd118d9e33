/* First the blocks of terms of all segments, then, from these, where their postings lie. */
#include "vault/segment_ahead.h"

#include "vault/ahead.h"

enum {
    WISHES_MAX = 512,
    PART_BLOCKS_MAX = 4, /* of a place of a segment */
};

/* Rows of a table that are wanted. */
struct wishes {
    struct vault *vault; /* borrowed */
    struct task *task;   /* borrowed */
    const char *table;
    struct db_keys rows[WISHES_MAX];
    size_t count;
    bool is_cold; /* some were not in memory */
};

/* Ascending, and none over another. */
static void put_in_order(struct wishes *wishes)
{
    size_t kept = 0;

    ahead_sort(wishes->rows, wishes->count);
    for (size_t i = 0; i < wishes->count; i++) {
        if (kept == 0 || wishes->rows[i].first > wishes->rows[kept - 1].last)
            wishes->rows[kept++] = wishes->rows[i];
        else if (wishes->rows[i].last > wishes->rows[kept - 1].last)
            wishes->rows[kept - 1].last = wishes->rows[i].last;
    }
    wishes->count = kept;
}

/* For them all; then there are none any more. */
static void ask(struct wishes *wishes)
{
    bool is_cold;

    put_in_order(wishes);
    ahead_of_rows(wishes->vault, wishes->task, wishes->table, wishes->rows, wishes->count,
                  AHEAD_PAGE, &is_cold);
    wishes->count = 0;
    wishes->is_cold |= is_cold;
}

static void wish(struct wishes *wishes, const struct segment *segment, int64_t first, int64_t last)
{
    struct db_keys rows = {segment_key(segment, first), segment_key(segment, last)};
    const struct db_keys *before = &wishes->rows[wishes->count];

    /* Many terms of a block have their postings in the same row. */
    if (wishes->count > 0 && before[-1].first <= rows.first && before[-1].last >= rows.last)
        return;
    if (wishes->count == WISHES_MAX)
        ask(wishes);
    wishes->rows[wishes->count++] = rows;
}

/* --- The blocks --- */

static enum err wish_for_term(struct segment_cursor *cursor, struct task *task, struct str prefix,
                              const struct segment_word *word, struct wishes *wishes)
{
    char room[TERM_BYTES_MAX + WORD_PIECE_STEP];
    struct str term = segment_term(prefix, word->text, room);
    int64_t block;
    bool may_have = true;

    if (!word->is_beginning)
        TRY(segment_cursor_may_have(cursor, task, term, word->text, &may_have));
    if (may_have && segment_cursor_block_of(cursor, term, &block))
        wish(wishes, &cursor->segment, block, block);
    return ERR_OK;
}

/* The first blocks of the place that may have it; the cursor stands before them. */
static enum err look_for_part(struct segment_cursor *cursor, struct task *task, struct str prefix,
                              const struct segment_word *word, struct segment_needle *needle,
                              const int64_t **out_blocks, size_t *out_count)
{
    segment_needle_init(needle, prefix, str_upto(word->text, NEEDLE_BYTES_MAX), false);
    segment_cursor_look(cursor, needle);
    return segment_cursor_likely(cursor, task, needle, out_blocks, out_count);
}

static enum err wish_for_parts(struct segment_cursor *cursor, struct task *task, struct str prefix,
                               const struct segment_word *word, struct wishes *wishes)
{
    struct segment_needle needle;
    const int64_t *blocks;
    size_t count;

    TRY(look_for_part(cursor, task, prefix, word, &needle, &blocks, &count));
    for (size_t i = 0; i < count; i++)
        wish(wishes, &cursor->segment, blocks[i], blocks[i]);
    return ERR_OK;
}

static enum err wish_for_blocks(struct segment_cursor *cursor, struct task *task,
                                const struct segment_word *word, struct wishes *wishes)
{
    for (size_t p = 0; p < word->prefix_count; p++) {
        TRY(wish_for_term(cursor, task, word->prefixes[p], word, wishes));
        if (word->is_part)
            TRY(wish_for_parts(cursor, task, word->prefixes[p], word, wishes));
    }
    return ERR_OK;
}

/* --- The postings --- */

/* Of the entry at hand. */
static void wish_for_entry(const struct segment_cursor *cursor, struct wishes *wishes)
{
    uint64_t at = cursor->postings_at, len = cursor->postings_len;

    if (len > 0) /* one content has no postings */
        wish(wishes, &cursor->segment, (int64_t)(at / SEGMENT_ROW_BYTES),
             (int64_t)((at + len - 1) / SEGMENT_ROW_BYTES));
}

static enum err wish_for_term_postings(struct segment_cursor *cursor, struct task *task,
                                       struct str prefix, const struct segment_word *word,
                                       struct wishes *wishes)
{
    char room[TERM_BYTES_MAX + WORD_PIECE_STEP];
    struct str term = segment_term(prefix, word->text, room);
    bool has_entry;

    TRY(segment_cursor_may_have(cursor, task, term, word->text, &has_entry));
    if (!has_entry)
        return ERR_OK;
    TRY(segment_cursor_seek(cursor, task, term));
    TRY(segment_cursor_next(cursor, task, &has_entry));
    if (has_entry && str_equal(segment_cursor_term(cursor), term))
        wish_for_entry(cursor, wishes);
    return ERR_OK;
}

/* Where they stand in a few blocks; of many, nothing is known before they are read. */
static enum err wish_for_part_postings(struct segment_cursor *cursor, struct task *task,
                                       struct str prefix, const struct segment_word *word,
                                       struct wishes *wishes)
{
    struct segment_needle needle;
    const int64_t *blocks;
    size_t count;
    bool has_entry = true;

    TRY(look_for_part(cursor, task, prefix, word, &needle, &blocks, &count));
    if (count > PART_BLOCKS_MAX)
        return ERR_OK;
    for (;;) {
        TRY(segment_cursor_find(cursor, task, &needle, &has_entry));
        if (!has_entry)
            return ERR_OK;
        wish_for_entry(cursor, wishes);
    }
}

static enum err wish_for_postings(struct segment_cursor *cursor, struct task *task,
                                  const struct segment_word *word, struct wishes *wishes)
{
    for (size_t p = 0; p < word->prefix_count; p++) {
        TRY(wish_for_term_postings(cursor, task, word->prefixes[p], word, wishes));
        if (word->is_part)
            TRY(wish_for_part_postings(cursor, task, word->prefixes[p], word, wishes));
    }
    return ERR_OK;
}

bool segments_ask_ahead(struct segment_cursor *cursors, size_t cursor_count, struct task *task,
                        const struct segment_word *word)
{
    struct wishes wishes = {.task = task, .table = "word_terms"};

    if (cursor_count == 0)
        return false;
    wishes.vault = cursors[0].vault;
    for (size_t i = 0; i < cursor_count; i++)
        if (wish_for_blocks(&cursors[i], task, word, &wishes) != ERR_OK)
            task_forgive(task);
    ask(&wishes);
    wishes.table = "word_postings";
    for (size_t i = 0; i < cursor_count; i++)
        if (wish_for_postings(&cursors[i], task, word, &wishes) != ERR_OK)
            task_forgive(task);
    ask(&wishes);
    return wishes.is_cold;
}
