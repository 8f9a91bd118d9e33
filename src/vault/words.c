/*
 * Filling the word indexes. Each transaction leaves one small segment in each of them; merging is
 * left to housekeeping (automerge is off), but for a bound on how many there may be (crisismerge).
 */
#include "vault/words.h"

#include "base/memory.h"

#include <string.h>

/* --- Making the text --- */

/*
 * The words of a text, each once: neither index keeps positions or counts, and handing FTS5 a word
 * twice costs it more than finding that out here. A run of ASCII letters, digits and bytes over 127
 * is kept as it is; what the tokenizer makes of it is the tokenizer's affair.
 */
struct distinct {
    struct str *slots; /* own; a hash table with open addressing */
    size_t room;       /* a power of two */
    size_t count;
};

static bool may_be_in_word(unsigned char c)
{
    return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

static size_t slot_of(const struct distinct *distinct, struct str word)
{
    uint64_t hash = word.len;
    size_t slot;

    for (size_t i = 0; i < word.len; i++)
        hash = (hash ^ (unsigned char)word.ptr[i]) * UINT64_C(0x9e3779b97f4a7c15);
    slot = (size_t)(hash >> 32) & (distinct->room - 1);
    while (distinct->slots[slot].ptr != NULL && !str_equal(distinct->slots[slot], word))
        slot = (slot + 1) & (distinct->room - 1);
    return slot;
}

static void distinct_grow(struct distinct *distinct)
{
    struct distinct larger = {.room = distinct->room == 0 ? 2048 : distinct->room * 4,
                              .count = distinct->count};

    larger.slots = NEW_ARRAY(struct str, larger.room);
    for (size_t i = 0; i < distinct->room; i++) {
        if (distinct->slots[i].ptr != NULL)
            larger.slots[slot_of(&larger, distinct->slots[i])] = distinct->slots[i];
    }
    mem_free(&distinct->slots);
    *distinct = larger;
}

/* Appends the words of `text` to `out`; true when one is so long that the tokenizer would cut it.
 */
static bool put_distinct(struct str text, struct buf *out)
{
    struct distinct distinct = {0};
    bool has_long = false;
    size_t at = 0;

    while (at < text.len) {
        struct str word;
        size_t start, slot;

        while (at < text.len && !may_be_in_word((unsigned char)text.ptr[at]))
            at++;
        start = at;
        while (at < text.len && may_be_in_word((unsigned char)text.ptr[at]))
            at++;
        word = str_make(text.ptr + start, at - start);
        if (word.len == 0)
            break;
        has_long = has_long || word.len > WORDS_WORD_MAX;
        if (distinct.count * 2 >= distinct.room)
            distinct_grow(&distinct);
        slot = slot_of(&distinct, word);
        if (distinct.slots[slot].ptr != NULL)
            continue;
        distinct.slots[slot] = word;
        distinct.count++;
        buf_put(out, word);
        buf_put(out, STR(" "));
    }
    mem_free(&distinct.slots);
    return has_long;
}

/* Cuts at the limit, before a UTF-8 sequence rather than within it. */
static bool cut(struct buf *text)
{
    size_t len = WORDS_TEXT_MAX;

    if (text->len <= WORDS_TEXT_MAX)
        return false;
    while (len > 0 && ((unsigned char)text->ptr[len] & 0xc0) == 0x80)
        len--;
    buf_truncate(text, len);
    return true;
}

/* Folds the fields one behind the other; the views are taken when the buffer moves no more. */
static void fold_fields(struct words *words, const struct message_summary *summary)
{
    const struct {
        struct str from;
        struct str *to;
    } rows[] = {
        {summary->subject, &words->subject}, {summary->from, &words->from},
        {summary->to, &words->to},           {summary->cc, &words->cc},
        {summary->bcc, &words->bcc},
    };
    size_t ends[ARRAY_LEN(rows)], start = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        message_fold(rows[i].from, &words->fields);
        ends[i] = words->fields.len;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        *rows[i].to = str_from(str_upto(buf_str(&words->fields), ends[i]), start);
        start = ends[i];
    }
}

/* The header fields of all levels: what message_text puts before the body, without the body. */
static void header_text(struct str raw, const struct message_structure *structure, struct buf *out)
{
    struct message_structure bare = {.part_count = structure->part_count};

    bare.parts = NEW_ARRAY(struct message_part, structure->part_count);
    for (uint32_t i = 0; i < structure->part_count; i++) {
        bare.parts[i] = structure->parts[i];
        bare.parts[i].kind = MESSAGE_KIND_MULTIPART; /* holds no text itself */
        bare.parts[i].filename = STR("");
    }
    message_text(&bare, raw, true, out);
    mem_free(&bare.parts);
}

/*
 * The text of the body, without more work than the index will use: leaves are read up to a budget.
 * True when something was left out.
 */
static bool body_text(struct str raw, const struct message_structure *structure, struct buf *out)
{
    struct message_structure bounded = {.part_count = structure->part_count};
    uint64_t budget = WORDS_RAW_MAX;
    bool is_cut = false;

    bounded.parts = NEW_ARRAY(struct message_part, structure->part_count);
    for (uint32_t i = 0; i < structure->part_count; i++) {
        struct message_part *part = &bounded.parts[i];

        *part = structure->parts[i];
        if (part->kind != MESSAGE_KIND_LEAF || !str_equal(part->type, STR("text")))
            continue;
        if (part->body_len > budget) {
            part->body_len = budget;
            is_cut = true;
        }
        budget -= part->body_len;
    }
    message_text(&bounded, raw, false, out);
    mem_free(&bounded.parts);
    return is_cut;
}

/* Folds the text, and adds its words; true when the index will not have all of it. */
static bool put_words(struct buf *text, struct buf *out)
{
    struct buf folded;
    bool is_cut = cut(text);

    buf_init(&folded, SIZE_MAX);
    message_fold(buf_str(text), &folded);
    is_cut = put_distinct(buf_str(&folded), out) || is_cut;
    buf_free(&folded);
    return is_cut;
}

void words_make(struct words *words, struct str raw, const struct message_summary *summary)
{
    struct buf text;

    memset(words, 0, sizeof(*words));
    buf_init(&words->body, SIZE_MAX);
    buf_init(&words->headers, SIZE_MAX);
    buf_init(&words->fields, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    words->is_cut = body_text(raw, &summary->structure, &text);
    words->is_cut = put_words(&text, &words->body) || words->is_cut;
    buf_reset(&text);
    header_text(raw, &summary->structure, &text);
    words->is_cut = put_words(&text, &words->headers) || words->is_cut;
    buf_free(&text);
    fold_fields(words, summary);
}

void words_done(struct words *words)
{
    buf_free(&words->body);
    buf_free(&words->headers);
    buf_free(&words->fields);
}

/* --- The indexes --- */

static enum err run_with_id(struct vault *vault, struct task *task, const char *sql,
                            int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, sql, &statement));
    db_bind_int(statement, 1, content_id);
    return db_run(vault->db, task, statement);
}

enum err words_add(struct vault *vault, struct task *task, int64_t content_id,
                   const struct words *words)
{
    CLEANUP(db_release) sqlite3_stmt *body = NULL;
    CLEANUP(db_release) sqlite3_stmt *headers = NULL;

    TRY(db_prepare(vault->db, task, "INSERT INTO body_words(rowid, body) VALUES (?1, ?2)", &body));
    db_bind_int(body, 1, content_id);
    db_bind_text(body, 2, buf_str(&words->body));
    TRY(db_run(vault->db, task, body));
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO header_words(rowid, subject, sender, recipient, cc, bcc, headers) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                   &headers));
    db_bind_int(headers, 1, content_id);
    db_bind_text(headers, 2, words->subject);
    db_bind_text(headers, 3, words->from);
    db_bind_text(headers, 4, words->to);
    db_bind_text(headers, 5, words->cc);
    db_bind_text(headers, 6, words->bcc);
    db_bind_text(headers, 7, buf_str(&words->headers));
    TRY(db_run(vault->db, task, headers));
    vault->merges_due++;
    if (!words->is_cut)
        return ERR_OK;
    return run_with_id(vault, task, "INSERT INTO unindexed VALUES (?1)", content_id);
}

enum err words_remove(struct vault *vault, struct task *task, int64_t content_id)
{
    TRY(run_with_id(vault, task, "DELETE FROM body_words WHERE rowid = ?1", content_id));
    TRY(run_with_id(vault, task, "DELETE FROM header_words WHERE rowid = ?1", content_id));
    return run_with_id(vault, task, "DELETE FROM unindexed WHERE content_id = ?1", content_id);
}

/* FTS5: total_changes grows by one or none when a 'merge' found nothing to do. */
static enum err merge(struct vault *vault, struct task *task, const char *sql, bool *out_more)
{
    sqlite3 *handle = db_handle(vault->db);
    int64_t before = sqlite3_total_changes64(handle);

    TRY(db_execute(vault->db, task, sql));
    *out_more = sqlite3_total_changes64(handle) - before >= 2;
    return ERR_OK;
}

enum err words_merge(struct vault *vault, struct task *task, bool *out_more)
{
    bool body_more, header_more;

    TRY(merge(vault, task, "INSERT INTO body_words(body_words, rank) VALUES ('merge', 64)",
              &body_more));
    TRY(merge(vault, task, "INSERT INTO header_words(header_words, rank) VALUES ('merge', 64)",
              &header_more));
    *out_more = body_more || header_more;
    return ERR_OK;
}
