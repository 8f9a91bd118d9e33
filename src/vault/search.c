/*
 * Candidates of a search key from the index (index.h).
 *
 * The key is cut into words as the messages were. Its inner words are whole words of the text; its
 * first may be the end of a word, its last the beginning of one, an only word any part of one.
 * Which terms fit is found by reading through the terms of the place; the contents that have one of
 * them are the word's set, and the sets of the key's words are intersected.
 *
 * A key that is a run (words.h) is not cut: in fields that have runs it is looked for as any part
 * of one, and whatever has it there has the key.
 */
#include "vault/search.h"

#include "base/memory.h"
#include "message/message.h"
#include "sqlite/read_around.h"
#include "vault/ahead.h"
#include "vault/folder_contents.h"
#include "vault/index.h"
#include "vault/parts.h"
#include "vault/segment_ahead.h"

#include <string.h>

enum {
    KEY_WORDS_MAX = 64, /* further ones narrow nothing */
    FEW_PART = 64,      /* a term that fewer than one in so many contents have */
    FEW_MAX = 32768,
    FEW_AT_FIRST = 64,
    /* Reading so many bytes of postings takes as long as confirming one content by its text. */
    DOUBT_BYTES = 64 * 1024,
};

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

/* True: it was not in the set. */
static inline bool id_set_add(struct id_set *set, int64_t id)
{
    uint64_t bit = UINT64_C(1) << (id & 63), before;

    if ((uint64_t)id / 64 >= set->word_count)
        return false;
    before = set->bits[(uint64_t)id / 64];
    set->bits[(uint64_t)id / 64] = before | bit;
    return (before & bit) == 0;
}

static void id_set_add_range(struct id_set *set, int64_t first, uint32_t count)
{
    int64_t end = first + count;

    for (int64_t id = first; id < end && id >= 0 && (uint64_t)id / 64 < set->word_count;) {
        int64_t next = (id | 63) + 1;
        uint64_t bits = UINT64_MAX << (id & 63);

        if (end < next)
            bits &= (UINT64_C(1) << (end & 63)) - 1;
        set->bits[(uint64_t)id / 64] |= bits;
        id = next;
    }
}

static inline bool id_set_has(const struct id_set *set, int64_t id)
{
    return (uint64_t)id / 64 < set->word_count &&
           (set->bits[(uint64_t)id / 64] >> (id & 63) & 1) != 0;
}

/* How many of `set` lie in the range and are not in `except`. */
static size_t id_set_count(const struct id_set *set, const struct id_set *except, int64_t first,
                           int64_t last)
{
    size_t count = 0;

    for (int64_t id = first; id <= last;) {
        uint64_t bits = (uint64_t)id / 64 < set->word_count
                            ? set->bits[(uint64_t)id / 64] & ~except->bits[(uint64_t)id / 64]
                            : 0;
        int64_t next = (id | 63) + 1;

        bits >>= id & 63;
        if (last < next - 1)
            bits &= (UINT64_C(2) << (last - id)) - 1;
        count += (size_t)__builtin_popcountll(bits);
        id = next;
    }
    return count;
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

/* `is_run`: it is one, and looked for among runs. */
static void cut_key(struct str key, bool is_run, struct key_words *out)
{
    size_t position = 0;
    struct str word;

    out->count = 0;
    if (is_run) {
        *out = (struct key_words){.words = {{key, true, true}}, .count = 1, .is_exact = true};
        return;
    }
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

/* Where the postings of a term that few contents have lie. */
struct few {
    uint64_t at, len;
};

struct scan {
    struct task *task;
    struct segment_cursor *cursor;
    struct str prefix; /* of the place */
    const struct key_word *word;
    const struct id_set *wanted;
    struct id_set *found;
    struct id_set *doubtful; /* found, but only its text can tell */
    size_t left; /* wanted contents of the segment that were not found yet; 0: no need to go on */
    struct buf postings;
    struct few *few; /* own; read last, as those of many contents may make them needless */
    size_t few_count, few_room;
    uint64_t few_bytes; /* of postings that are to be read yet */
};

static inline void find(struct scan *scan, int64_t content_id)
{
    if (id_set_has(scan->wanted, content_id) && id_set_add(scan->found, content_id))
        scan->left--;
}

/* Of a part of a word that nearly all contents have, the last few are cheaper to confirm by their
 * text than to look for among all words that have the part. */
static void doubt_where_cheaper(struct scan *scan)
{
    const struct segment *segment = &scan->cursor->segment;

    if (scan->left == 0 || scan->left * DOUBT_BYTES > scan->few_bytes)
        return;
    for (int64_t id = segment->first_content_id; id <= segment->last_content_id; id++) {
        if (id_set_has(scan->wanted, id) && id_set_add(scan->found, id))
            (void)id_set_add(scan->doubtful, id);
    }
    scan->left = 0;
}

static enum err add_postings(struct scan *scan, uint64_t at, uint64_t len)
{
    int64_t content_id = scan->cursor->segment.first_content_id;
    struct str bytes;
    size_t position = 0;

    buf_truncate(&scan->postings, 0);
    TRY(segment_cursor_postings(scan->cursor, scan->task, at, len, &scan->postings));
    bytes = buf_str(&scan->postings);
    while (position < bytes.len) {
        uint64_t step = (unsigned char)bytes.ptr[position];
        size_t step_len = 1;

        if (step >= 0x80)
            step_len = varint_get(bytes, position, &step);
        if (step_len == 0)
            return fail(scan->task, ERR_CORRUPT, "vault: postings of the index are damaged");
        position += step_len;
        content_id += (int64_t)step;
        find(scan, content_id);
    }
    return ERR_OK;
}

/* The contents of the term at hand. */
static enum err add_term(struct scan *scan)
{
    const struct segment_cursor *cursor = scan->cursor;

    if (cursor->content_count == 1) {
        find(scan, cursor->content_id);
        return ERR_OK;
    }
    if (scan->few_count == FEW_MAX ||
        cursor->content_count >=
            (uint64_t)(cursor->segment.last_content_id - cursor->segment.first_content_id) /
                FEW_PART)
        return add_postings(scan, cursor->postings_at, cursor->postings_len);
    if (scan->few_count == scan->few_room) {
        scan->few_room = scan->few_room == 0 ? FEW_AT_FIRST : scan->few_room * 2;
        scan->few = mem_resize(scan->few, scan->few_room, sizeof(*scan->few));
    }
    scan->few[scan->few_count++] = (struct few){cursor->postings_at, cursor->postings_len};
    scan->few_bytes += cursor->postings_len;
    doubt_where_cheaper(scan);
    return ERR_OK;
}

static enum err add_few(struct scan *scan)
{
    for (size_t i = 0; i < scan->few_count && scan->left > 0; i++) {
        TRY(add_postings(scan, scan->few[i].at, scan->few[i].len));
        scan->few_bytes -= scan->few[i].len;
        doubt_where_cheaper(scan);
    }
    return ERR_OK;
}

/* The word itself, or those that begin with it: they stand together. */
static enum err add_beginnings(struct scan *scan, bool is_whole)
{
    char room[TERM_BYTES_MAX + WORD_PIECE_STEP];
    struct str word = scan->word->text, start = segment_term(scan->prefix, word, room);
    bool has_entry;

    if (is_whole)
        TRY(segment_cursor_may_have(scan->cursor, scan->task, start, word, &has_entry));
    if (is_whole && !has_entry)
        return ERR_OK;
    TRY(segment_cursor_seek(scan->cursor, scan->task, start));
    while (scan->left > 0) {
        struct str term;

        TRY(segment_cursor_next(scan->cursor, scan->task, &has_entry));
        term = segment_cursor_term(scan->cursor);
        if (!has_entry || !str_starts_with(term, start) || (is_whole && term.len != start.len))
            return ERR_OK;
        TRY(add_term(scan));
    }
    return ERR_OK;
}

/* The words that have it as a part, or as their end: all words of the place are looked through. */
static enum err add_parts(struct scan *scan)
{
    struct segment_needle needle;
    struct str word = str_upto(scan->word->text, NEEDLE_BYTES_MAX);
    bool is_all = word.len == scan->word->text.len, has_entry;

    segment_needle_init(&needle, scan->prefix, word, is_all && !scan->word->may_be_beginning);
    segment_cursor_look(scan->cursor, &needle);
    while (scan->left > 0) {
        TRY(segment_cursor_find(scan->cursor, scan->task, &needle, &has_entry));
        if (!has_entry)
            return ERR_OK;
        /* Of a longer word only the beginning was looked for. */
        if (is_all || str_find(str_from(segment_cursor_term(scan->cursor), scan->prefix.len),
                               scan->word->text) >= 0)
            TRY(add_term(scan));
    }
    return ERR_OK;
}

static enum err scan_place(struct scan *scan, bool is_whole)
{
    if (is_whole)
        TRY(add_beginnings(scan, true));
    else if (scan->word->may_be_end)
        TRY(add_parts(scan));
    else
        TRY(add_beginnings(scan, !scan->word->may_be_beginning));
    return add_few(scan);
}

/* The contents that have a word, as they are collected. */
struct hits {
    const struct id_set *wanted; /* among these */
    struct id_set found;
    struct id_set *doubtful; /* a part of them */
};

/* `is_whole`: the word itself only. */
static enum err scan_segment(struct task *task, struct segment_cursor *cursor, struct str prefix,
                             const struct key_word *word, bool is_whole, struct hits *hits)
{
    struct scan scan = {
        .task = task,
        .cursor = cursor,
        .prefix = prefix,
        .word = word,
        .wanted = hits->wanted,
        .found = &hits->found,
        .doubtful = hits->doubtful,
        .left = id_set_count(hits->wanted, &hits->found, cursor->segment.first_content_id,
                             cursor->segment.last_content_id),
    };
    enum err err;

    if (scan.left == 0)
        return ERR_OK;
    buf_init(&scan.postings, SIZE_MAX);
    err = scan_place(&scan, is_whole);
    mem_free(&scan.few);
    buf_free(&scan.postings);
    return err;
}

/* --- All of them --- */

struct places {
    char bytes[4][TERM_BYTES_MAX];
    struct str prefixes[4];
    size_t count;
    bool is_exact; /* the terms there are those of the field, no more */
    bool are_runs;
};

static void add_place(struct places *places, enum words_place place, struct str name)
{
    places->prefixes[places->count] = words_prefix(place, name, places->bytes[places->count]);
    places->count++;
}

/* A field's words, or its runs. */
static void add_field(struct places *places, enum words_place place, struct str name, bool is_run)
{
    places->are_runs = is_run && words_place_of_runs(place, &place);
    add_place(places, place, name);
}

/* `is_run`: runs are to be taken where there are some. */
static void places_of(enum vault_search_field field, struct str name, bool is_run,
                      struct places *out)
{
    out->count = 0;
    out->is_exact = true;
    out->are_runs = false;
    switch (field) {
    case VAULT_SEARCH_TEXT:
        add_place(out, WORDS_BODY, name);
        add_place(out, WORDS_HEADERS, name);
        add_place(out, WORDS_BODY_HEX, name);
        add_place(out, WORDS_HEADERS_HEX, name);
        return;
    case VAULT_SEARCH_BODY:
        add_place(out, WORDS_BODY, name);
        add_place(out, WORDS_BODY_HEX, name);
        return;
    case VAULT_SEARCH_SUBJECT:
        add_field(out, WORDS_SUBJECT, name, is_run);
        return;
    case VAULT_SEARCH_FROM:
        add_field(out, WORDS_FROM, name, is_run);
        return;
    case VAULT_SEARCH_TO:
        add_field(out, WORDS_TO, name, is_run);
        return;
    case VAULT_SEARCH_CC:
        add_field(out, WORDS_CC, name, is_run);
        return;
    case VAULT_SEARCH_BCC:
        add_field(out, WORDS_BCC, name, is_run);
        return;
    case VAULT_SEARCH_HEADER:
        out->is_exact = name.len > 0 && name.len <= WORD_NAME_MAX;
        add_field(out, out->is_exact ? WORDS_NAMED : WORDS_HEADERS, name, is_run);
        if (!out->is_exact)
            add_place(out, WORDS_HEADERS_HEX, name);
        return;
    }
}

struct query {
    struct vault *vault;
    struct task *task;
    struct segment *segments;
    size_t segment_count;
    struct segment_cursor *cursors; /* of some of the segments at a time; room in the arena */
    struct places places;
    struct key_words words;
    bool is_cold; /* pages were missing since the search before began */
};

static bool is_hex(struct str prefix)
{
    return prefix.ptr[0] == WORDS_BODY_HEX || prefix.ptr[0] == WORDS_HEADERS_HEX;
}

/* Numbers in hexadecimal stand at places of their own. */
static bool may_be_at(struct str prefix, const struct key_word *word)
{
    return !is_hex(prefix) || words_are_hex(word->text);
}

/* In all places of a segment. */
static enum err scan_places(struct query *query, struct segment_cursor *cursor,
                            const struct key_word *word, bool is_whole, struct hits *hits)
{
    for (size_t p = 0; p < query->places.count; p++) {
        struct str prefix = query->places.prefixes[p];

        if (may_be_at(prefix, word))
            TRY(scan_segment(query->task, cursor, prefix, word, is_whole, hits));
    }
    return ERR_OK;
}

/* The next segments that may have some of `wanted`, up to *segment_at: their cursors, opened. */
static enum err open_some(struct query *query, const struct hits *hits, size_t *segment_at,
                          size_t *out_count)
{
    *out_count = 0;
    for (; *segment_at < query->segment_count && *out_count < SEGMENT_AHEAD_MAX; ++*segment_at) {
        const struct segment *segment = &query->segments[*segment_at];

        if (id_set_count(hits->wanted, &hits->found, segment->first_content_id,
                         segment->last_content_id) > 0)
            TRY(segment_cursor_open(&query->cursors[(*out_count)++], query->vault, query->task,
                                    segment));
    }
    return ERR_OK;
}

static void ask_ahead(struct query *query, size_t cursor_count, const struct key_word *word)
{
    struct str prefixes[ARRAY_LEN(query->places.prefixes)];
    struct segment_word ahead = {.prefixes = prefixes,
                                 .text = word->text,
                                 .is_beginning = word->may_be_beginning && !word->may_be_end,
                                 .is_part = word->may_be_end};

    for (size_t p = 0; p < query->places.count; p++)
        if (may_be_at(query->places.prefixes[p], word))
            prefixes[ahead.prefix_count++] = query->places.prefixes[p];
    if (segments_ask_ahead(query->cursors, cursor_count, query->task, &ahead))
        query->vault->search_was_cold = true;
}

static enum err scan_some(struct query *query, size_t cursor_count, const struct key_word *word,
                          struct hits *hits)
{
    for (size_t i = 0; i < cursor_count; i++) {
        /* A common word may be in all that is wanted, and then its parts need not be looked for. */
        if (word->may_be_end)
            TRY(scan_places(query, &query->cursors[i], word, true, hits));
        TRY(scan_places(query, &query->cursors[i], word, false, hits));
    }
    return ERR_OK;
}

/* Those of `wanted` that have the word. */
static enum err word_contents(struct query *query, const struct key_word *word, struct hits *hits)
{
    for (size_t s = 0; s < query->segment_count;) {
        size_t count;
        enum err err = open_some(query, hits, &s, &count);

        if (err == ERR_OK && query->is_cold)
            ask_ahead(query, count, word);
        if (err == ERR_OK)
            err = scan_some(query, count, word, hits);
        for (size_t i = 0; i < count; i++)
            segment_cursor_close(&query->cursors[i]);
        TRY(err);
    }
    return ERR_OK;
}

/* Narrows `wanted` to the contents that have all words, or may have where they are in `doubtful`.
 */
static enum err narrow(struct query *query, struct id_set *wanted, struct id_set *doubtful)
{
    for (size_t i = 0; i < query->words.count; i++) {
        struct hits hits = {wanted, id_set_new(query->vault->next_content_id), doubtful};
        enum err err = word_contents(query, &query->words.words[i], &hits);

        if (err == ERR_OK)
            id_set_intersect(wanted, &hits.found);
        id_set_done(&hits.found);
        TRY(err);
    }
    id_set_intersect(doubtful, wanted);
    return ERR_OK;
}

/* What the index has not, or not all of. */
static enum err open_contents(struct vault *vault, struct task *task, struct id_set *set)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    for (int64_t id = vault->indexed_content_id + 1; id < vault->next_content_id; id++)
        (void)id_set_add(set, id);
    TRY(db_prepare(vault->db, task, "SELECT content_id FROM unindexed", &statement));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        (void)id_set_add(set, db_column_int(statement, 0));
    }
}

/* --- The folder's messages --- */

/* Which of them are asked for. */
struct among {
    const uint32_t *uids; /* ascending; NULL: all */
    size_t count;
    size_t at; /* those before were passed */
};

/* The next part of the folder's stretches that is asked for: walks through them and, where some
 * UIDs only are, through these. */
static bool next_asked(const struct vault *vault, struct folder_contents_walk *walk,
                       struct among *among, struct folder_contents_stretch *whole,
                       struct folder_contents_stretch *out)
{
    if (among->uids == NULL)
        return folder_contents_next(vault, walk, out);
    for (;;) {
        uint32_t uid, from;

        while (among->at < among->count && among->uids[among->at] < whole->uid)
            among->at++;
        if (among->at == among->count)
            return false;
        uid = among->uids[among->at];
        from = uid - whole->uid;
        if (from >= whole->count) {
            if (!folder_contents_next(vault, walk, whole))
                return false;
            continue;
        }
        *out = (struct folder_contents_stretch){uid, whole->content_id + from, 1};
        for (among->at++; among->at < among->count && out->count < whole->count - from &&
                          among->uids[among->at] == uid + out->count;
             among->at++)
            out->count++;
        return true;
    }
}

static void want(const struct vault *vault, struct among among, struct id_set *wanted)
{
    struct folder_contents_walk walk = {0};
    struct folder_contents_stretch whole = {0}, stretch;

    while (next_asked(vault, &walk, &among, &whole, &stretch))
        id_set_add_range(wanted, stretch.content_id, stretch.count);
}

static void choose(const struct vault *vault, struct task *task, struct among among,
                   const struct id_set *found, const struct id_set *open,
                   struct vault_candidates *out)
{
    struct folder_contents_walk walk = {0};
    struct folder_contents_stretch whole = {0}, stretch;
    size_t room = among.uids == NULL ? folder_contents_count(vault) : among.count;

    out->uids = ARENA_ARRAY(&task->arena, uint32_t, room + 1);
    out->open_uids = ARENA_ARRAY(&task->arena, uint32_t, room + 1);
    while (next_asked(vault, &walk, &among, &whole, &stretch)) {
        for (uint32_t i = 0; i < stretch.count; i++) {
            bool is_open = id_set_has(open, stretch.content_id + i);

            if (!is_open && !id_set_has(found, stretch.content_id + i))
                continue;
            out->uids[out->count++] = stretch.uid + i;
            if (is_open)
                out->open_uids[out->open_count++] = stretch.uid + i;
        }
    }
}

static enum err search(struct query *query, const struct folder *folder, struct among among,
                       bool is_narrowed, struct vault_candidates *out)
{
    CLEANUP(id_set_done) struct id_set wanted = id_set_new(query->vault->next_content_id);
    CLEANUP(id_set_done) struct id_set open = id_set_new(query->vault->next_content_id);

    TRY(folder_contents_read(query->vault, query->task, folder));
    want(query->vault, among, &wanted);
    TRY(index_segments(query->vault, query->task, &query->segments, &query->segment_count));
    if (is_narrowed) {
        query->cursors = ARENA_ARRAY(&query->task->arena, struct segment_cursor,
                                     query->segment_count < SEGMENT_AHEAD_MAX ? query->segment_count
                                                                              : SEGMENT_AHEAD_MAX);
        TRY(narrow(query, &wanted, &open));
    }
    TRY(open_contents(query->vault, query->task, &open));
    choose(query->vault, query->task, among, &wanted, &open, out);
    folder_contents_rest(query->vault);
    return ERR_OK;
}

enum err vault_search_candidates(struct vault *vault, struct task *task, int64_t folder_id,
                                 enum vault_search_field field, struct str name, struct str key,
                                 const uint32_t *uids, size_t uid_count,
                                 struct vault_candidates *out)
{
    CLEANUP(buf_free) struct buf folded = {0};
    struct query query = {.vault = vault,
                          .task = task,
                          .is_cold = vault->search_was_cold ||
                                     vault->search_misses != read_around_misses()};
    struct vault_candidates candidates = {0};
    const struct folder *folder;
    bool is_narrowed, is_begun;
    enum err err;

    TRY(vault_check(vault, task));
    vault->search_misses = read_around_misses();
    vault->search_was_cold = false;
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    buf_init(&folded, SIZE_MAX);
    message_fold(key, &folded);
    /* Of long runs there are pieces only. */
    places_of(field, name, folded.len <= WORD_PIECE_STEP && words_are_run(buf_str(&folded)),
              &query.places);
    cut_key(buf_str(&folded), query.places.are_runs, &query.words);
    if (folded.len == 0 && field == VAULT_SEARCH_HEADER && query.places.is_exact) {
        /* Having the field: the empty word. */
        query.words =
            (struct key_words){.words = {{.text = STR("")}}, .count = 1, .is_exact = true};
    }
    is_narrowed = query.words.count > 0 && str_is_utf8(buf_str(&folded));
    candidates.is_exact = is_narrowed && query.words.is_exact && query.places.is_exact;
    TRY(db_read_begin(vault->db, task, &is_begun));
    err = search(&query, folder, (struct among){.uids = uids, .count = uid_count}, is_narrowed,
                 &candidates);
    db_read_end(vault->db, is_begun);
    TRY(err);
    *out = candidates;
    return ERR_OK;
}

/* --- Before they are read --- */

/* The rows of these messages' contents, ascending. */
static size_t contents_of(const struct vault *vault, struct among among,
                          struct db_keys out[static VAULT_AHEAD_MAX])
{
    struct folder_contents_walk walk = {0};
    struct folder_contents_stretch whole = {0}, stretch;
    size_t count = 0;

    while (next_asked(vault, &walk, &among, &whole, &stretch))
        for (uint32_t i = 0; i < stretch.count && count < VAULT_AHEAD_MAX; i++, count++)
            out[count].first = out[count].last = stretch.content_id + i;
    ahead_sort(out, count);
    return count;
}

enum err vault_search_ahead(struct vault *vault, struct task *task, int64_t folder_id,
                            const uint32_t *uids, size_t uid_count)
{
    struct among among = {.uids = uids,
                          .count = uid_count < VAULT_AHEAD_MAX ? uid_count : VAULT_AHEAD_MAX};
    struct db_keys rows[VAULT_AHEAD_MAX], parts[VAULT_AHEAD_MAX];
    bool is_cold = vault->misses != read_around_misses();
    size_t count;

    TRY(vault_check(vault, task));
    vault->misses = read_around_misses();
    if (!is_cold || !folder_contents_are_of(vault, folder_id))
        return ERR_OK;
    count = contents_of(vault, among, rows);
    for (size_t i = 0; i < count; i++) {
        parts[i].first = part_key(rows[i].first, 0);
        parts[i].last = part_key(rows[i].first + 1, 0) - 1;
    }
    ahead_of_rows(vault, task, "part", parts, count, AHEAD_AROUND, &is_cold);
    ahead_of_rows(vault, task, "content", rows, count, AHEAD_PAGE, &is_cold);
    return ERR_OK;
}
