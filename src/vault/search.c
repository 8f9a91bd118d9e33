/*
 * Candidates of a search key from the index (index.h).
 *
 * The key is cut into words as the messages were. Its inner words are whole words of the text; its
 * first may be the end of a word, its last the beginning of one, an only word any part of one.
 * Which terms fit is found by reading through the terms of the place; the contents that have one of
 * them are the word's set, and the sets of the key's words are intersected.
 */
#include "vault/search.h"

#include "base/memory.h"
#include "message/message.h"
#include "vault/index.h"

#include <string.h>

enum { KEY_WORDS_MAX = 64 }; /* further ones narrow nothing */

/* --- Sets of content ids --- */

struct id_set {
    uint64_t *bits; /* own */
    size_t word_count;
};

static struct id_set id_set_new(int64_t end_id)
{
    size_t word_count = (size_t)end_id / 64 + 1;

    return (struct id_set){NEW_ARRAY(uint64_t, word_count), word_count};
}

static void id_set_done(struct id_set *set)
{
    mem_free(&set->bits);
}

static inline void id_set_add(struct id_set *set, int64_t id)
{
    if ((uint64_t)id / 64 < set->word_count)
        set->bits[(uint64_t)id / 64] |= UINT64_C(1) << (id & 63);
}

static inline bool id_set_has(const struct id_set *set, int64_t id)
{
    return (uint64_t)id / 64 < set->word_count &&
           (set->bits[(uint64_t)id / 64] >> (id & 63) & 1) != 0;
}

static void id_set_intersect(struct id_set *set, const struct id_set *other)
{
    for (size_t i = 0; i < set->word_count; i++)
        set->bits[i] &= other->bits[i];
}

/* --- Cutting the key into words --- */

struct key_word {
    struct str text;
    bool may_be_end;       /* of a word: the key begins with it */
    bool may_be_beginning; /* of a word: the key ends with it */
};

struct key_words {
    struct key_word words[KEY_WORDS_MAX];
    size_t count;
    bool is_exact; /* having the words is having the key */
};

static void cut_key(struct str key, struct key_words *out)
{
    size_t position = 0;
    struct str word;

    out->count = 0;
    while (out->count < KEY_WORDS_MAX && words_next(key, &position, &word)) {
        bool is_single = words_has_single(word);

        out->words[out->count++] = (struct key_word){
            .text = word,
            .may_be_end = word.ptr == key.ptr && !is_single,
            .may_be_beginning = word.ptr + word.len == key.ptr + key.len && !is_single,
        };
    }
    out->is_exact =
        out->count == 1 && out->words[0].text.len == key.len && key.len <= WORD_PIECE_STEP;
    /* Of long words there are pieces only, and a part of this length is in one of them. */
    for (size_t i = 0; i < out->count; i++) {
        if (out->words[i].text.len > WORD_PIECE_STEP)
            out->words[i] =
                (struct key_word){str_upto(out->words[i].text, WORD_PIECE_STEP), true, true};
    }
}

/* --- One place, one word, one segment --- */

struct scan {
    struct vault *vault;
    struct task *task;
    struct segment_cursor *cursor;
    struct str prefix; /* of the place */
    const struct key_word *word;
    struct buf postings;
    struct id_set *set;
};

static enum err add_contents(struct scan *scan)
{
    const struct segment_cursor *cursor = scan->cursor;
    int64_t content_id = cursor->segment.first_content_id;
    struct str left;

    if (cursor->content_count == 1) {
        id_set_add(scan->set, cursor->content_id);
        return ERR_OK;
    }
    buf_truncate(&scan->postings, 0);
    TRY(segment_cursor_postings(scan->cursor, scan->task, cursor->postings_at, cursor->postings_len,
                                &scan->postings));
    left = buf_str(&scan->postings);
    for (size_t at = 0, len; at < left.len; at += len) {
        uint64_t step;

        len = varint_get(left, at, &step);
        if (len == 0)
            return fail(scan->task, ERR_CORRUPT, "vault: postings of the index are damaged");
        content_id += (int64_t)step;
        id_set_add(scan->set, content_id);
    }
    return ERR_OK;
}

/* Where the word is a beginning, the terms that fit stand together. */
static enum err add_beginnings(struct scan *scan)
{
    char bytes[TERM_BYTES_MAX + WORD_PIECE_STEP];
    struct str word = scan->word->text;
    struct str start = str_make(bytes, scan->prefix.len + word.len);
    bool has_entry;

    memcpy(bytes, scan->prefix.ptr, scan->prefix.len);
    memcpy(bytes + scan->prefix.len, word.ptr, word.len);
    TRY(segment_cursor_seek(scan->cursor, scan->task, start));
    for (;;) {
        struct str term;

        TRY(segment_cursor_next(scan->cursor, scan->task, &has_entry));
        term = segment_cursor_term(scan->cursor);
        if (!has_entry || !str_starts_with(term, start) ||
            (!scan->word->may_be_beginning && term.len != start.len))
            return ERR_OK;
        TRY(add_contents(scan));
    }
}

static enum err add_parts(struct scan *scan)
{
    struct segment_needle needle;
    struct str word = str_upto(scan->word->text, NEEDLE_BYTES_MAX);
    bool is_at_end = !scan->word->may_be_beginning && word.len == scan->word->text.len;
    bool has_entry;

    segment_needle_init(&needle, scan->prefix, word, is_at_end);
    TRY(segment_cursor_seek(scan->cursor, scan->task, scan->prefix));
    for (;;) {
        TRY(segment_cursor_find(scan->cursor, scan->task, &needle, &has_entry));
        if (!has_entry)
            return ERR_OK;
        /* Of a longer word only the beginning was looked for. */
        if (word.len == scan->word->text.len ||
            str_find(str_from(segment_cursor_term(scan->cursor), scan->prefix.len),
                     scan->word->text) >= 0)
            TRY(add_contents(scan));
    }
}

static enum err scan_segment(struct vault *vault, struct task *task, const struct segment *segment,
                             struct str prefix, const struct key_word *word, struct id_set *set)
{
    struct segment_cursor cursor;
    struct scan scan = {.vault = vault,
                        .task = task,
                        .cursor = &cursor,
                        .prefix = prefix,
                        .word = word,
                        .set = set};
    enum err err = segment_cursor_open(&cursor, vault, task, segment);

    buf_init(&scan.postings, SIZE_MAX);
    if (err == ERR_OK)
        err = word->may_be_end ? add_parts(&scan) : add_beginnings(&scan);
    segment_cursor_close(&cursor);
    buf_free(&scan.postings);
    return err;
}

/* --- All of them --- */

struct places {
    char bytes[2][TERM_BYTES_MAX];
    struct str prefixes[2];
    size_t count;
    bool is_exact; /* the terms there are those of the field, no more */
};

static void add_place(struct places *places, enum words_place place, struct str name)
{
    places->prefixes[places->count] = words_prefix(place, name, places->bytes[places->count]);
    places->count++;
}

static void places_of(enum vault_search_field field, struct str name, struct places *out)
{
    out->count = 0;
    out->is_exact = true;
    switch (field) {
    case VAULT_SEARCH_TEXT:
        add_place(out, WORDS_BODY, name);
        add_place(out, WORDS_HEADERS, name);
        return;
    case VAULT_SEARCH_BODY:
        add_place(out, WORDS_BODY, name);
        return;
    case VAULT_SEARCH_SUBJECT:
        add_place(out, WORDS_SUBJECT, name);
        return;
    case VAULT_SEARCH_FROM:
        add_place(out, WORDS_FROM, name);
        return;
    case VAULT_SEARCH_TO:
        add_place(out, WORDS_TO, name);
        return;
    case VAULT_SEARCH_CC:
        add_place(out, WORDS_CC, name);
        return;
    case VAULT_SEARCH_BCC:
        add_place(out, WORDS_BCC, name);
        return;
    case VAULT_SEARCH_HEADER:
        out->is_exact = name.len > 0 && name.len <= WORD_NAME_MAX;
        add_place(out, out->is_exact ? WORDS_NAMED : WORDS_HEADERS, name);
        return;
    }
}

struct query {
    struct vault *vault;
    struct task *task;
    struct segment *segments;
    size_t segment_count;
    struct places places;
    struct key_words words;
};

static enum err word_contents(struct query *query, const struct key_word *word, struct id_set *set)
{
    for (size_t s = 0; s < query->segment_count; s++) {
        for (size_t p = 0; p < query->places.count; p++)
            TRY(scan_segment(query->vault, query->task, &query->segments[s],
                             query->places.prefixes[p], word, set));
    }
    return ERR_OK;
}

/* The contents that have all words. */
static enum err key_contents(struct query *query, struct id_set *set)
{
    TRY(word_contents(query, &query->words.words[0], set));
    for (size_t i = 1; i < query->words.count; i++) {
        CLEANUP(id_set_done) struct id_set other = id_set_new(query->vault->next_content_id);

        TRY(word_contents(query, &query->words.words[i], &other));
        id_set_intersect(set, &other);
    }
    return ERR_OK;
}

/* What the index has not, or not all of. */
static enum err open_contents(struct vault *vault, struct task *task, struct id_set *set)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    for (int64_t id = vault->indexed_content_id + 1; id < vault->next_content_id; id++)
        id_set_add(set, id);
    TRY(db_prepare(vault->db, task, "SELECT content_id FROM unindexed", &statement));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        id_set_add(set, db_column_int(statement, 0));
    }
}

/* The folder's messages with one of these contents (`found` NULL: all). */
static enum err uids_of(struct vault *vault, struct task *task, const struct folder *folder,
                        const struct id_set *found, const struct id_set *open,
                        struct vault_candidates *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    out->uids = ARENA_ARRAY(&task->arena, uint32_t, folder->message_count + 1);
    out->open_uids = ARENA_ARRAY(&task->arena, uint32_t, folder->message_count + 1);
    TRY(db_prepare(vault->db, task,
                   "SELECT key, content_id FROM message WHERE key BETWEEN ?1 AND ?2 "
                   "AND is_expunged = 0",
                   &statement));
    db_bind_int(statement, 1, message_key(folder->id, 1));
    db_bind_int(statement, 2, message_key(folder->id, UINT32_MAX));
    for (;;) {
        int64_t content_id;
        bool is_open;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        content_id = db_column_int(statement, 1);
        is_open = id_set_has(open, content_id);
        if (found != NULL && !is_open && !id_set_has(found, content_id))
            continue;
        if (out->count == folder->message_count)
            return fail(task, ERR_CORRUPT, "vault: a folder has more messages than it counted");
        out->uids[out->count++] = key_uid(db_column_int(statement, 0));
        if (is_open)
            out->open_uids[out->open_count++] = out->uids[out->count - 1];
    }
}

enum err vault_search_candidates(struct vault *vault, struct task *task, int64_t folder_id,
                                 enum vault_search_field field, struct str name, struct str key,
                                 struct vault_candidates *out)
{
    CLEANUP(id_set_done) struct id_set found = {0};
    CLEANUP(id_set_done) struct id_set open = {0};
    CLEANUP(buf_free) struct buf folded = {0};
    struct query query = {.vault = vault, .task = task};
    struct vault_candidates candidates = {0};
    const struct folder *folder;
    bool is_narrowed;

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    buf_init(&folded, SIZE_MAX);
    message_fold(key, &folded);
    places_of(field, name, &query.places);
    cut_key(buf_str(&folded), &query.words);
    if (folded.len == 0 && field == VAULT_SEARCH_HEADER && query.places.is_exact) {
        /* Having the field: the empty word. */
        query.words = (struct key_words){.count = 1, .is_exact = true};
    }
    found = id_set_new(vault->next_content_id);
    open = id_set_new(vault->next_content_id);
    is_narrowed = query.words.count > 0 && str_is_utf8(buf_str(&folded));
    TRY(index_segments(vault, task, &query.segments, &query.segment_count));
    if (is_narrowed)
        TRY(key_contents(&query, &found));
    TRY(open_contents(vault, task, &open));
    candidates.is_exact = is_narrowed && query.words.is_exact && query.places.is_exact;
    TRY(uids_of(vault, task, folder, is_narrowed ? &found : NULL, &open, &candidates));
    *out = candidates;
    return ERR_OK;
}
