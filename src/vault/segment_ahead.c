/* First the blocks of terms of all segments, then, from these, where their postings lie. */
#include "vault/segment_ahead.h"

#include "vault/ahead.h"

#include <string.h>

enum {
    WISHES_MAX = 512,
    PART_BLOCKS_MAX = 4, /* of a place of a segment */
};

struct wishes {
    struct db_keys rows[WISHES_MAX];
    size_t count;
};

static void wish(struct wishes *wishes, int64_t first, int64_t last)
{
    if (wishes->count < WISHES_MAX)
        wishes->rows[wishes->count++] = (struct db_keys){first, last};
}

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
static void ask(struct vault *vault, struct task *task, const char *table, struct wishes *wishes)
{
    bool is_cold;

    put_in_order(wishes);
    ahead_of_rows(vault, task, table, wishes->rows, wishes->count, AHEAD_PAGE, &is_cold);
    wishes->count = 0;
}

/* `room` for both together. */
static struct str term_of(struct str prefix, struct str word,
                          char room[static TERM_BYTES_MAX + WORD_PIECE_STEP])
{
    memcpy(room, prefix.ptr, prefix.len);
    if (word.len > 0)
        memcpy(room + prefix.len, word.ptr, word.len);
    return str_make(room, prefix.len + word.len);
}

/* --- The blocks --- */

static enum err wish_for_term(struct segment_cursor *cursor, struct task *task, struct str prefix,
                              const struct segment_word *word, struct wishes *wishes)
{
    char room[TERM_BYTES_MAX + WORD_PIECE_STEP];
    struct str term = term_of(prefix, word->text, room);
    int64_t block;
    bool may_have = true;

    if (!word->is_beginning)
        TRY(segment_cursor_may_have(cursor, task, term, word->text, &may_have));
    if (may_have && segment_cursor_block_of(cursor, term, &block))
        wish(wishes, segment_key(&cursor->segment, block), segment_key(&cursor->segment, block));
    return ERR_OK;
}

static enum err wish_for_parts(struct segment_cursor *cursor, struct task *task, struct str prefix,
                               const struct segment_word *word, struct wishes *wishes)
{
    struct segment_needle needle;
    const int64_t *blocks;
    size_t count;

    segment_needle_init(&needle, prefix, str_upto(word->text, NEEDLE_BYTES_MAX), false);
    segment_cursor_look(cursor, &needle);
    TRY(segment_cursor_likely(cursor, task, &needle, &blocks, &count));
    for (size_t i = 0; i < count; i++)
        wish(wishes, segment_key(&cursor->segment, blocks[i]),
             segment_key(&cursor->segment, blocks[i]));
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
        wish(wishes, segment_key(&cursor->segment, (int64_t)(at / SEGMENT_ROW_BYTES)),
             segment_key(&cursor->segment, (int64_t)((at + len - 1) / SEGMENT_ROW_BYTES)));
}

static enum err wish_for_term_postings(struct segment_cursor *cursor, struct task *task,
                                       struct str prefix, const struct segment_word *word,
                                       struct wishes *wishes)
{
    char room[TERM_BYTES_MAX + WORD_PIECE_STEP];
    struct str term = term_of(prefix, word->text, room);
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

    segment_needle_init(&needle, prefix, str_upto(word->text, NEEDLE_BYTES_MAX), false);
    segment_cursor_look(cursor, &needle);
    TRY(segment_cursor_likely(cursor, task, &needle, &blocks, &count));
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

void segments_ask_ahead(struct segment_cursor *cursors, size_t cursor_count, struct task *task,
                        const struct segment_word *word)
{
    struct wishes wishes = {.count = 0};

    if (cursor_count == 0)
        return;
    for (size_t i = 0; i < cursor_count; i++)
        if (wish_for_blocks(&cursors[i], task, word, &wishes) != ERR_OK)
            task_forgive(task);
    ask(cursors[0].vault, task, "word_terms", &wishes);
    for (size_t i = 0; i < cursor_count; i++)
        if (wish_for_postings(&cursors[i], task, word, &wishes) != ERR_OK)
            task_forgive(task);
    ask(cursors[0].vault, task, "word_postings", &wishes);
}
