/*
 * Candidates of a search key from the word indexes (design §4).
 *
 * The key is cut into words as the indexes were. Its inner words are whole words of the text; its
 * first may be the end of a word, its last the beginning of one, an only word any part of one.
 * Which words of the vocabulary fit is found by reading the vocabulary, and what has them by the
 * index; the sets of the key's words are intersected. Where the index cannot tell (a key without
 * words, signs outside ASCII between words), everything is a candidate.
 */
#include "vault/search.h"

#include "base/memory.h"
#include "message/message.h"
#include "vault/state.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEY_WORDS_MAX = 64,
    FITTING_WORDS_MAX = 5000, /* more words that fit say little */
    KEY_WORD_BYTES_MAX = 30000,
};

/* --- Cutting the key into words --- */

struct key_word {
    struct str text;       /* in the arena */
    bool may_be_end;       /* of a word: the key begins with it */
    bool may_be_beginning; /* of a word: the key ends with it */
};

struct key_words {
    struct arena *arena;
    struct str key;
    struct key_word words[KEY_WORDS_MAX];
    size_t count;
    int end; /* of the last word, in the key */
    bool is_unusable;
};

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= 0x80)
            return false;
    }
    return true;
}

static int on_word(void *data, int flags, const char *text, int len, int start, int end)
{
    struct key_words *key = data;
    struct str between = str_from(str_upto(key->key, (size_t)start), (size_t)key->end);

    (void)flags;
    if (!is_ascii(between) || key->count == KEY_WORDS_MAX || len > KEY_WORD_BYTES_MAX) {
        key->is_unusable = true;
        return SQLITE_OK;
    }
    key->words[key->count++] = (struct key_word){
        .text = arena_copy(key->arena, str_make(text, (size_t)len)),
        .may_be_end = start == 0,
        .may_be_beginning = (size_t)end == key->key.len,
    };
    key->end = end;
    return SQLITE_OK;
}

static enum err find_tokenizer(struct vault *vault, struct task *task, fts5_tokenizer *out,
                               Fts5Tokenizer **out_instance)
{
    const char *arguments[] = {"remove_diacritics", "0"}; /* as in the schema */
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    fts5_api *api = NULL;
    void *data = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT fts5(?1)", &statement));
    sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", NULL);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (api == NULL || api->xFindTokenizer(api, "unicode61", &data, out) != SQLITE_OK ||
        out->xCreate(data, arguments, ARRAY_LEN(arguments), out_instance) != SQLITE_OK)
        return fail(task, ERR_IO, "vault: no tokenizer");
    return ERR_OK;
}

static enum err cut_key(struct vault *vault, struct task *task, struct str key,
                        struct key_words *out)
{
    fts5_tokenizer tokenizer;
    Fts5Tokenizer *instance;
    int code;

    *out = (struct key_words){.arena = &task->arena, .key = key};
    if (key.len > INT32_MAX / 2 || !str_is_utf8(key)) {
        out->is_unusable = true;
        return ERR_OK;
    }
    TRY(find_tokenizer(vault, task, &tokenizer, &instance));
    code = tokenizer.xTokenize(instance, out, FTS5_TOKENIZE_QUERY, key.ptr, (int)key.len, on_word);
    tokenizer.xDelete(instance);
    if (code != SQLITE_OK || out->count == 0 ||
        !is_ascii(str_from(key, (size_t)(out->end > 0 ? out->end : 0))))
        out->is_unusable = true;
    return ERR_OK;
}

/* --- Sets of content ids --- */

struct id_set {
    int64_t *ids; /* own */
    size_t count, room;
};

static void id_set_done(struct id_set *set)
{
    mem_free(&set->ids);
}

static void id_set_add(struct id_set *set, int64_t id)
{
    if (set->count == set->room) {
        set->room = set->room * 2 + 64;
        set->ids = mem_resize(set->ids, set->room, sizeof(*set->ids));
    }
    set->ids[set->count++] = id;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return left < right ? -1 : left > right;
}

static void id_set_settle(struct id_set *set)
{
    size_t kept = 0;

    if (set->count > 1)
        qsort(set->ids, set->count, sizeof(*set->ids), compare_ids);
    for (size_t i = 0; i < set->count; i++) {
        if (i == 0 || set->ids[i] != set->ids[kept - 1])
            set->ids[kept++] = set->ids[i];
    }
    set->count = kept;
}

static bool id_set_has(const struct id_set *set, int64_t id)
{
    return set->count > 0 &&
           bsearch(&id, set->ids, set->count, sizeof(*set->ids), compare_ids) != NULL;
}

static void id_set_intersect(struct id_set *set, const struct id_set *other)
{
    size_t kept = 0;

    for (size_t i = 0; i < set->count; i++) {
        if (id_set_has(other, set->ids[i]))
            set->ids[kept++] = set->ids[i];
    }
    set->count = kept;
}

static enum err add_rows(struct vault *vault, struct task *task, sqlite3_stmt *statement,
                         struct id_set *set)
{
    bool has_row;

    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        id_set_add(set, db_column_int(statement, 0));
    }
    sqlite3_reset(statement);
    return ERR_OK;
}

/* --- One index, one word --- */

/* Where a field's words are. */
struct place {
    const char *vocabulary_sql; /* term, and the column's name where there is one */
    const char *match_sql;
    struct str column; /* empty: the index has one column */
};

static const char body_vocabulary_sql[] = "SELECT term FROM body_vocabulary";
static const char header_vocabulary_sql[] = "SELECT term, col FROM header_vocabulary";
static const char body_match_sql[] = "SELECT rowid FROM body_words WHERE body_words MATCH ?1";
static const char header_match_sql[] = "SELECT rowid FROM header_words WHERE header_words MATCH ?1";

static const struct place body_place = {body_vocabulary_sql, body_match_sql, {NULL, 0}};

static struct place header_place(enum vault_search_field field)
{
    struct place place = {header_vocabulary_sql, header_match_sql, STR("headers")};

    switch (field) {
    case VAULT_SEARCH_SUBJECT:
        place.column = STR("subject");
        break;
    case VAULT_SEARCH_FROM:
        place.column = STR("sender");
        break;
    case VAULT_SEARCH_TO:
        place.column = STR("recipient");
        break;
    case VAULT_SEARCH_CC:
        place.column = STR("cc");
        break;
    case VAULT_SEARCH_BCC:
        place.column = STR("bcc");
        break;
    case VAULT_SEARCH_TEXT:
    case VAULT_SEARCH_BODY:
    case VAULT_SEARCH_HEADER:
        break;
    }
    return place;
}

/* Adds the contents that have this word, or a word that begins with it. */
static enum err add_matches(struct vault *vault, struct task *task, const struct place *place,
                            struct str word, bool is_prefix, struct id_set *set)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    CLEANUP(buf_free) struct buf expression = {0};

    buf_init(&expression, SIZE_MAX);
    if (place->column.len > 0)
        buf_putf(&expression, "%.*s : ", STR_ARG(place->column));
    /* Words hold letters and digits only, never the quote. */
    buf_putf(&expression, "\"%.*s\"%s", STR_ARG(word), is_prefix ? " *" : "");
    TRY(db_prepare(vault->db, task, place->match_sql, &statement));
    db_bind_text(statement, 1, buf_str(&expression));
    return add_rows(vault, task, statement, set);
}

static bool fits(const struct key_word *word, struct str term)
{
    if (term.len < word->text.len)
        return false;
    if (word->may_be_beginning)
        return str_find(term, word->text) >= 0;
    return str_ends_with(term, word->text);
}

/* The words of the vocabulary that fit; false in *out_is_usable when there are too many. */
static enum err fitting_words(struct vault *vault, struct task *task, const struct place *place,
                              const struct key_word *word, struct str **out_words,
                              size_t *out_count, bool *out_is_usable)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct str *words = ARENA_ARRAY(&task->arena, struct str, FITTING_WORDS_MAX);
    size_t count = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task, place->vocabulary_sql, &statement));
    for (;;) {
        struct str term;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        term = db_column_text(statement, 0);
        if (!fits(word, term) ||
            (place->column.len > 0 && !str_equal(db_column_text(statement, 1), place->column)))
            continue;
        if (count == FITTING_WORDS_MAX) {
            *out_is_usable = false;
            return ERR_OK;
        }
        words[count++] = arena_copy(&task->arena, term);
    }
    *out_words = words;
    *out_count = count;
    *out_is_usable = true;
    return ERR_OK;
}

static enum err add_word(struct vault *vault, struct task *task, const struct place *place,
                         const struct key_word *word, struct id_set *set, bool *out_is_usable)
{
    struct str *words = NULL;
    size_t count = 0;

    *out_is_usable = true;
    if (!word->may_be_end)
        return add_matches(vault, task, place, word->text, word->may_be_beginning, set);
    TRY(fitting_words(vault, task, place, word, &words, &count, out_is_usable));
    for (size_t i = 0; *out_is_usable && i < count; i++)
        TRY(add_matches(vault, task, place, words[i], false, set));
    return ERR_OK;
}

/* --- All words --- */

static enum err word_contents(struct vault *vault, struct task *task, enum vault_search_field field,
                              const struct key_word *word, struct id_set *set, bool *out_is_usable)
{
    struct place headers = header_place(field);

    *out_is_usable = true;
    if (field == VAULT_SEARCH_TEXT || field == VAULT_SEARCH_BODY)
        TRY(add_word(vault, task, &body_place, word, set, out_is_usable));
    if (field != VAULT_SEARCH_BODY && *out_is_usable)
        TRY(add_word(vault, task, &headers, word, set, out_is_usable));
    id_set_settle(set);
    return ERR_OK;
}

/* The contents that have all words; *out_is_everything: the index does not help. */
static enum err key_contents(struct vault *vault, struct task *task, enum vault_search_field field,
                             const struct key_words *key, struct id_set *set,
                             bool *out_is_everything)
{
    bool is_narrowed = false;

    for (size_t i = 0; i < key->count; i++) {
        CLEANUP(id_set_done) struct id_set other = {0};
        bool is_usable;

        TRY(word_contents(vault, task, field, &key->words[i], &other, &is_usable));
        if (!is_usable)
            continue; /* this word narrows nothing */
        if (is_narrowed) {
            id_set_intersect(set, &other);
        } else {
            *set = other;
            other = (struct id_set){0};
        }
        is_narrowed = true;
    }
    *out_is_everything = !is_narrowed;
    return ERR_OK;
}

static enum err unindexed_contents(struct vault *vault, struct task *task, struct id_set *set)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "SELECT content_id FROM unindexed", &statement));
    return add_rows(vault, task, statement, set);
}

static enum err uids_of(struct vault *vault, struct task *task, const struct folder *folder,
                        const struct id_set *set, bool is_everything, uint32_t **out_uids,
                        size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint32_t *uids = ARENA_ARRAY(&task->arena, uint32_t, folder->message_count + 1);
    size_t count = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT key, content_id FROM message WHERE key BETWEEN ?1 AND ?2 "
                   "AND is_expunged = 0",
                   &statement));
    db_bind_int(statement, 1, message_key(folder->id, 1));
    db_bind_int(statement, 2, message_key(folder->id, UINT32_MAX));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (!is_everything && !id_set_has(set, db_column_int(statement, 1)))
            continue;
        if (count == folder->message_count)
            return fail(task, ERR_CORRUPT, "vault: a folder has more messages than it counted");
        uids[count++] = key_uid(db_column_int(statement, 0));
    }
    *out_uids = uids;
    *out_count = count;
    return ERR_OK;
}

enum err vault_search_candidates(struct vault *vault, struct task *task, int64_t folder_id,
                                 enum vault_search_field field, struct str key, uint32_t **out_uids,
                                 size_t *out_count, bool *out_is_exact)
{
    CLEANUP(id_set_done) struct id_set set = {0};
    CLEANUP(buf_free) struct buf folded = {0};
    const struct folder *folder;
    struct key_words words;
    bool is_everything = true;
    size_t indexed_count;

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    buf_init(&folded, SIZE_MAX);
    message_fold(key, &folded);
    TRY(cut_key(vault, task, buf_str(&folded), &words));
    if (!words.is_unusable)
        TRY(key_contents(vault, task, field, &words, &set, &is_everything));
    indexed_count = set.count;
    TRY(unindexed_contents(vault, task, &set));
    *out_is_exact = !is_everything && set.count == indexed_count && words.count == 1 &&
                    words.words[0].text.len == folded.len && is_ascii(buf_str(&folded)) &&
                    field != VAULT_SEARCH_HEADER;
    id_set_settle(&set);
    return uids_of(vault, task, folder, &set, is_everything, out_uids, out_count);
}
