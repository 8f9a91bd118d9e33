/*
 * Learning from what is moved. A move notes contents in spam_waiting; each slice takes a few of them,
 * reads them, and counts their tokens up, or from one side to the other when they were learned
 * before. A crash loses nothing but a slice, which is done again.
 *
 * Bounded: of one message the TOKENS_MAX tokens of lowest hash (any choice would do that is always
 * the same); tokens that were seen once are forgotten after a while when much was learned.
 */
#include "vault/learn.h"

#include "base/clock.h"
#include "spam/model.h"
#include "spam/view.h"
#include "vault/content.h"
#include "vault/junk.h"

enum {
    SLICE_US = 6000,
    SLICE_MESSAGES = 16,
    TOKENS_MAX = 1024,
    FORGET_FROM = 1000, /* messages learned: from then on a part of the rare tokens goes each time */
};

/* --- What teaches --- */

enum learn_kind learn_of_move(const struct folder *from, const struct folder *to)
{
    bool was_junk = from->use == VAULT_USE_JUNK, is_junk = to->use == VAULT_USE_JUNK;

    if (was_junk == is_junk)
        return LEARN_NOTHING;
    if (is_junk)
        return LEARN_SPAM;
    return to->use == VAULT_USE_TRASH ? LEARN_NOTHING : LEARN_WANTED;
}

static uint64_t keyword_bit(const struct vault *vault, struct str name)
{
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        if (str_equal_nocase(vault->keywords[bit], name))
            return UINT64_C(1) << bit;
    }
    return 0;
}

enum learn_kind learn_of_flags(const struct vault *vault, uint64_t gained, uint64_t flags)
{
    uint64_t junk, wanted;

    if (gained >> VAULT_KEYWORD_FIRST == 0)
        return LEARN_NOTHING;
    junk = keyword_bit(vault, STR("$Junk"));
    wanted = keyword_bit(vault, STR("$NotJunk"));
    if ((flags & junk) != 0 && (flags & wanted) != 0)
        return LEARN_NOTHING;
    if ((gained & junk) != 0)
        return LEARN_SPAM;
    return (gained & wanted) != 0 ? LEARN_WANTED : LEARN_NOTHING;
}

static enum err run_with(struct vault *vault, struct task *task, const char *sql, int64_t first,
                         int64_t second)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, sql, &statement));
    db_bind_int(statement, 1, first);
    if (sqlite3_bind_parameter_count(statement) > 1)
        db_bind_int(statement, 2, second);
    return db_run(vault->db, task, statement);
}

enum err learn_later(struct vault *vault, struct task *task, int64_t content_id,
                     enum learn_kind kind)
{
    vault->has_junk_waiting = true;
    return run_with(vault, task,
                    "INSERT INTO spam_waiting VALUES (?1, ?2) "
                    "ON CONFLICT(content_id) DO UPDATE SET kind = excluded.kind",
                    content_id, kind);
}

enum err learn_forget(struct vault *vault, struct task *task, int64_t content_id)
{
    TRY(run_with(vault, task, "DELETE FROM spam_waiting WHERE content_id = ?1", content_id, 0));
    return run_with(vault, task, "DELETE FROM spam_learned WHERE content_id = ?1", content_id, 0);
}

/* --- Loading --- */

enum err learn_load(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT form, spam, ham, (SELECT min(content_id) FROM spam_waiting) IS NOT NULL "
                   "FROM spam_total WHERE id = 1",
                   &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_CORRUPT, "vault: the row of what was learned is missing");
    vault->junk_form = db_column_int(statement, 0);
    vault->junk_learned = (uint32_t)db_column_int(statement, 1);
    vault->wanted_learned = (uint32_t)db_column_int(statement, 2);
    vault->has_junk_waiting = db_column_int(statement, 3) != 0;
    if (vault->junk_form != SPAM_TOKEN_FORM && vault->junk_learned + vault->wanted_learned > 0) {
        vault->junk_learned = vault->wanted_learned = 0; /* to be learned anew */
        vault->has_junk_waiting = true;
    }
    return ERR_OK;
}

bool vault_junk_is_waiting(const struct vault *vault)
{
    return vault->has_junk_waiting;
}

void vault_junk_training(const struct vault *vault, struct vault_junk_training *out)
{
    out->spam = vault->junk_learned;
    out->wanted = vault->wanted_learned;
}

/* Tokens were of another form: what is still there is learned again. */
static enum err start_anew(struct vault *vault, struct task *task)
{
    TRY(db_execute(vault->db, task,
                   "DELETE FROM spam_token;"
                   "INSERT OR IGNORE INTO spam_waiting SELECT content_id, kind FROM spam_learned;"
                   "DELETE FROM spam_learned;"));
    vault->junk_form = SPAM_TOKEN_FORM;
    vault->junk_learned = vault->wanted_learned = 0;
    return ERR_OK;
}

/* --- One content --- */

static enum err tokens_of(struct vault *vault, struct task *task, int64_t content_id,
                          struct spam_tokens *out)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    CLEANUP(buf_free) struct buf raw = {0};
    struct message_structure structure;
    bool has_row;

    buf_init(&raw, SIZE_MAX);
    TRY(db_prepare(vault->db, task, "SELECT structure FROM content WHERE id = ?1", &statement));
    db_bind_int(statement, 1, content_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: the content was purged");
    TRY(message_structure_decode(task, db_column_blob(statement, 0), &structure));
    TRY(vault_content_open(vault, task, content_id, &content));
    TRY(vault_content_read(content, task, 0, SPAM_VIEW_REACH_MAX, &raw));
    spam_tokenize(task, buf_str(&raw), &structure, out);
    if (out->count > TOKENS_MAX)
        out->count = TOKENS_MAX;
    return ERR_OK;
}

static enum err count_tokens(struct vault *vault, struct task *task,
                             const struct spam_tokens *tokens, int64_t spam, int64_t wanted)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "INSERT INTO spam_token VALUES (?1, max(0, ?2), max(0, ?3)) "
                   "ON CONFLICT(hash) DO UPDATE SET spam = max(0, spam + ?2), "
                   "ham = max(0, ham + ?3)",
                   &statement));
    for (size_t i = 0; i < tokens->count; i++) {
        db_bind_int(statement, 1, (int64_t)tokens->hashes[i]);
        db_bind_int(statement, 2, spam);
        db_bind_int(statement, 3, wanted);
        TRY(db_run(vault->db, task, statement));
    }
    return ERR_OK;
}

/* A 256th of the tokens at a time, by their hash. */
static enum err forget_rare(struct vault *vault, struct task *task)
{
    uint64_t learned = (uint64_t)vault->junk_learned + vault->wanted_learned;
    uint64_t part = (learned & 0xff) << 56;

    if (learned < FORGET_FROM)
        return ERR_OK;
    return run_with(vault, task,
                    "DELETE FROM spam_token WHERE hash BETWEEN ?1 AND ?2 AND spam + ham <= 1",
                    (int64_t)part, (int64_t)(part | ((UINT64_C(1) << 56) - 1)));
}

static enum err look_up_learned(struct vault *vault, struct task *task, int64_t content_id,
                                enum learn_kind *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT kind FROM spam_learned WHERE content_id = ?1",
                   &statement));
    db_bind_int(statement, 1, content_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    *out = has_row ? (enum learn_kind)db_column_int(statement, 0) : LEARN_NOTHING;
    return ERR_OK;
}

static enum err learn(struct vault *vault, struct task *task, int64_t content_id,
                      enum learn_kind kind)
{
    struct spam_tokens tokens;
    enum learn_kind before;
    int64_t spam = kind == LEARN_SPAM ? 1 : 0, wanted = 1 - spam;
    enum err err;

    TRY(look_up_learned(vault, task, content_id, &before));
    if (before == kind)
        return ERR_OK;
    err = tokens_of(vault, task, content_id, &tokens);
    if (err == ERR_NOT_FOUND) { /* purged meanwhile */
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    if (before != LEARN_NOTHING) {
        spam = spam > 0 ? 1 : -1;
        wanted = wanted > 0 ? 1 : -1;
    }
    TRY(count_tokens(vault, task, &tokens, spam, wanted));
    vault->junk_learned = (uint32_t)((int64_t)vault->junk_learned + spam);
    vault->wanted_learned = (uint32_t)((int64_t)vault->wanted_learned + wanted);
    TRY(run_with(vault, task,
                 "INSERT INTO spam_learned VALUES (?1, ?2) "
                 "ON CONFLICT(content_id) DO UPDATE SET kind = excluded.kind",
                 content_id, kind));
    return forget_rare(vault, task);
}

/* --- A slice --- */

static enum err next_waiting(struct vault *vault, struct task *task, int64_t *out_content_id,
                             enum learn_kind *out_kind, bool *out_has_one)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "SELECT content_id, kind FROM spam_waiting ORDER BY content_id LIMIT 1",
                   &statement));
    TRY(db_step(vault->db, task, statement, out_has_one));
    *out_content_id = *out_has_one ? db_column_int(statement, 0) : 0;
    *out_kind = *out_has_one ? (enum learn_kind)db_column_int(statement, 1) : LEARN_NOTHING;
    return ERR_OK;
}

static enum err write_total(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "UPDATE spam_total SET form = ?1, spam = ?2, ham = ?3 WHERE id = 1",
                   &statement));
    db_bind_int(statement, 1, vault->junk_form);
    db_bind_int(statement, 2, vault->junk_learned);
    db_bind_int(statement, 3, vault->wanted_learned);
    return db_run(vault->db, task, statement);
}

enum err learn_slice(struct vault *vault, struct task *task, bool *out_did)
{
    int64_t end_us = clock_monotonic_us() + SLICE_US;

    if (!vault->has_junk_waiting)
        return ERR_OK;
    *out_did = true;
    vault_touch_quietly(vault);
    if (vault->junk_form != SPAM_TOKEN_FORM)
        TRY(start_anew(vault, task));
    for (size_t i = 0; i < SLICE_MESSAGES && clock_monotonic_us() < end_us; i++) {
        CLEANUP(task_done) struct task reading;
        enum learn_kind kind;
        int64_t content_id;
        enum err err;

        task_init(&reading, task->now_ms); /* what it takes goes before the next */
        TRY(next_waiting(vault, task, &content_id, &kind, &vault->has_junk_waiting));
        if (!vault->has_junk_waiting)
            break;
        err = learn(vault, &reading, content_id, kind);
        if (err == ERR_CORRUPT) { /* reported, and no reason to do nothing else for ever */
            log_failure(vault->log, "learning what is junk", &reading);
            err = ERR_OK;
        }
        if (err != ERR_OK)
            return fail(task, err, "%s", reading.words);
        TRY(run_with(vault, task, "DELETE FROM spam_waiting WHERE content_id = ?1", content_id,
                     0));
    }
    return write_total(vault, task);
}
