/*
 * Inside the vault only: one segment of the search index. It covers the contents first … last and
 * holds their terms in ascending order of bytes, each with the contents that have it, ascending.
 *
 * Two streams of blocks, each block a row, which fills a page:
 *
 *   word_terms     block = varint (where its first postings lie in their stream), then entries:
 *                  a byte of two halves: how many bytes are shared with the entry before (0 for
 *                  a block's first), and how many follow (a half of 15: a varint has the number);
 *                  those that follow; then, of a term that one content has, varint (twice that
 *                  content less the segment's first), else varint (twice the count of contents,
 *                  and 1) and varint (bytes of postings)
 *   word_postings  the postings one behind the other: varints, the first content less the
 *                  segment's first, then differences
 *
 * The terms lie apart from the postings because a part of a word is looked for in all of them: of
 * 100,000 messages some millions, most of which one content has. So that few blocks need be read
 * for it, word_terms also has, under numbers that no block has,
 *
 *   beginnings     of some blocks, varint (length) and text each: not before it begin this block's
 *                  terms, and before it are those of the block before (with the last of which it
 *                  shares all but its last byte)
 *   signs          of some blocks, signs.h each
 *
 * both under the number of the first block that they are of, and without gaps from one row to the
 * next.
 */
#ifndef VAULT_SEGMENT_H
#define VAULT_SEGMENT_H

#include "vault/signs.h"
#include "vault/state.h"
#include "vault/varint.h"
#include "vault/words.h"

#include <string.h>

struct segment {
    int64_t id;
    int64_t first_content_id, last_content_id;
};

enum {
    /* Of a row's key in both tables: the segment's id is above them. */
    SEGMENT_NUMBER_BITS = 24,
    SEGMENT_NUMBER_MAX = (1 << SEGMENT_NUMBER_BITS) - 1,
    /* In word_terms: the number of the first block's beginning, and of its sign. */
    SEGMENT_BEGINNINGS = 1 << 22,
    SEGMENT_SIGNS = 2 << 22,
    /* A row of these many bytes fills a page of 4096, less the cipher's 32 and SQLite's own. */
    SEGMENT_ROW_BYTES = 4000,
    /* An entry of terms, at most; more than the beginning of a block. */
    SEGMENT_ENTRY_MAX = TERM_BYTES_MAX + 5 * 10,
};

/* A word at a place, put together in `room`; the empty word may have no bytes at all. */
static inline struct str segment_term(struct str prefix, struct str word,
                                      char room[static TERM_BYTES_MAX + WORD_PIECE_STEP])
{
    memcpy(room, prefix.ptr, prefix.len);
    if (word.len > 0)
        memcpy(room + prefix.len, word.ptr, word.len);
    return str_make(room, prefix.len + word.len);
}

static inline int64_t segment_key(const struct segment *segment, int64_t number)
{
    return segment->id << SEGMENT_NUMBER_BITS | number;
}

/* --- Writing: within a change (segment_write.c) --- */

struct segment_writer {
    struct vault *vault; /* borrowed */
    struct segment segment;
    int64_t next_terms, next_postings;   /* numbers of the blocks under way */
    struct buf terms, postings;          /* own */
    struct sign sign;                    /* of the block of terms under way */
    struct buf beginnings, signs;        /* own; of blocks up to the one under way */
    int64_t first_beginning, first_sign; /* the blocks that these begin with */
    uint64_t written_bytes;              /* since it was opened */
    char last_term[TERM_BYTES_MAX];
    size_t last_term_len; /* 0: none yet */
};

/* Goes on behind what the segment has already. */
MUST_CHECK enum err segment_writer_open(struct segment_writer *writer, struct vault *vault,
                                        struct task *task, const struct segment *segment);
void segment_writer_close(struct segment_writer *writer);
/* Terms in ascending order; `postings` as they are stored. */
MUST_CHECK enum err segment_writer_put(struct segment_writer *writer, struct task *task,
                                       struct str term, uint64_t content_count,
                                       struct str postings);
/* What was put is in the file; more may follow. */
MUST_CHECK enum err segment_writer_flush(struct segment_writer *writer, struct task *task);

/* --- Reading --- */

enum { NEEDLE_BYTES_MAX = 63, NEEDLE_BLOCKS_MAX = 32, SEGMENT_KNOWN_MAX = 4 };

/* All blocks of a place that may have a needle. */
struct segment_known {
    struct str prefix, text; /* borrowed */
    int64_t blocks[NEEDLE_BLOCKS_MAX];
    size_t count;
};

struct segment_cursor {
    struct vault *vault; /* borrowed */
    struct segment segment;
    struct buf block; /* own */
    size_t at;        /* of the next entry in the block */
    int64_t block_number, block_count;
    struct buf beginnings; /* own; of all blocks */
    struct buf signs;      /* own; of the row that was read last, from signs_at on of the block */
    size_t signs_at;       /* … signs_number on */
    int64_t signs_number;
    uint64_t next_postings; /* where the next entry's lie */
    /* The entry at hand. */
    char term[TERM_BYTES_MAX];
    size_t term_len;
    uint64_t content_count;
    int64_t content_id; /* of a count of 1 */
    uint64_t postings_at, postings_len;
    struct segment_known known[SEGMENT_KNOWN_MAX]; /* so that signs are not looked through again */
    size_t known_count;
    uint64_t misses; /* of pages, before it was opened (read_around.h) */
    /* Postings that were read last. */
    struct buf chunk; /* own */
    int64_t chunk_number;
};

/* Close it also after an error. */
MUST_CHECK enum err segment_cursor_open(struct segment_cursor *cursor, struct vault *vault,
                                        struct task *task, const struct segment *segment);
void segment_cursor_close(struct segment_cursor *cursor);
/* The next entry is the first that is not before `term`. */
MUST_CHECK enum err segment_cursor_seek(struct segment_cursor *cursor, struct task *task,
                                        struct str term);
MUST_CHECK enum err segment_cursor_next(struct segment_cursor *cursor, struct task *task,
                                        bool *out_has_entry);
static inline struct str segment_cursor_term(const struct segment_cursor *cursor)
{
    return str_make(cursor->term, cursor->term_len);
}

/*
 * What is looked for in the words of a place. The automaton (shift-and) has a bit for each byte of
 * the needle; its states are kept for every length of the term at hand, so that what a term shares
 * with the one before is not looked at again.
 */
struct segment_needle {
    struct str prefix; /* of the place; borrowed */
    struct str text;   /* 1 … NEEDLE_BYTES_MAX bytes; borrowed */
    struct sign_needle sign;
    int64_t next_block, last_block;    /* that may have it, and were not looked at yet */
    int64_t likely[NEEDLE_BLOCKS_MAX]; /* those before, of which some were */
    size_t likely_at, likely_count;
    bool is_at_end;                 /* only as the end of a word */
    uint64_t masks[256];            /* the positions in the needle that a byte fits */
    uint64_t found;                 /* the bit that stays set from the end of the needle on */
    uint64_t states[TERM_BYTES_MAX + 1];
};
void segment_needle_init(struct segment_needle *needle, struct str prefix, struct str text,
                         bool is_at_end);
/* From the beginning of the place on. */
void segment_cursor_look(struct segment_cursor *cursor, struct segment_needle *needle);
/* The next entry of the place that has the needle; false at the end of the place. Look first. */
MUST_CHECK enum err segment_cursor_find(struct segment_cursor *cursor, struct task *task,
                                        struct segment_needle *needle, bool *out_has_entry);
/* The blocks that may have it, some of them at once, ascending; borrowed from the needle. Look
 * first. Of few the cursor keeps which they are, for whoever looks again; prefix and text are
 * borrowed as long. */
MUST_CHECK enum err segment_cursor_likely(struct segment_cursor *cursor, struct task *task,
                                          struct segment_needle *needle, const int64_t **out_blocks,
                                          size_t *out_count);
/* The block where the term would be; false: there are none. */
bool segment_cursor_block_of(struct segment_cursor *cursor, struct str term, int64_t *out_block);
/* Whether the term (of which `word` is what follows the place) may be there at all. */
MUST_CHECK enum err segment_cursor_may_have(struct segment_cursor *cursor, struct task *task,
                                            struct str term, struct str word, bool *out_may);
/* Appends the postings of a count over 1, as they are stored. */
MUST_CHECK enum err segment_cursor_postings(struct segment_cursor *cursor, struct task *task,
                                            uint64_t at, uint64_t len, struct buf *out);
/* The last term; false: there is none. */
MUST_CHECK enum err segment_last_term(struct vault *vault, struct task *task,
                                      const struct segment *segment,
                                      char out_term[static TERM_BYTES_MAX], size_t *out_len,
                                      bool *out_has_term);

#endif
