/*
 * Filling the word indexes. Each transaction leaves one small segment in each of them; merging is
 * left to housekeeping (automerge is off), but for a bound on how many there may be (crisismerge).
 */
#include "vault/words.h"

#include "base/memory.h"

#include <string.h>

/* --- Making the text --- */

/* A run of bytes that could be one word and would be cut. */
static bool has_long_word(struct str text)
{
    size_t run = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool may_be_in_word = c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                              (c >= 'A' && c <= 'Z');

        run = may_be_in_word ? run + 1 : 0;
        if (run > WORDS_WORD_MAX)
            return true;
    }
    return false;
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

void words_make(struct words *words, struct str raw, const struct message_summary *summary)
{
    struct buf text;

    memset(words, 0, sizeof(*words));
    buf_init(&words->body, SIZE_MAX);
    buf_init(&words->headers, SIZE_MAX);
    buf_init(&words->fields, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    message_text(&summary->structure, raw, false, &text);
    words->is_cut = cut(&text);
    message_fold(buf_str(&text), &words->body);
    buf_reset(&text);
    header_text(raw, &summary->structure, &text);
    words->is_cut = cut(&text) || words->is_cut;
    message_fold(buf_str(&text), &words->headers);
    buf_free(&text);
    words->is_cut = words->is_cut || has_long_word(buf_str(&words->body)) ||
                    has_long_word(buf_str(&words->headers)) ||
                    !str_is_utf8(buf_str(&words->body)) || !str_is_utf8(buf_str(&words->headers));
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
