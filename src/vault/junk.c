/* Where a delivery goes (junk.h). */
#include "vault/junk.h"

#include "message/structure.h"
#include "spam/spam.h"
#include "vault/state.h"

/* --- The owner's habits --- */

static enum err read_counts(struct vault *vault, struct task *task,
                            const struct spam_tokens *tokens, struct spam_count *counts)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "SELECT spam, ham FROM spam_token WHERE hash = ?1",
                   &statement));
    for (size_t i = 0; i < tokens->count; i++) {
        bool has_row;

        db_bind_int(statement, 1, (int64_t)tokens->hashes[i]);
        TRY(db_step(vault->db, task, statement, &has_row));
        counts[i] = (struct spam_count){0, 0};
        if (has_row) {
            counts[i].spam = (uint32_t)db_column_int(statement, 0);
            counts[i].ham = (uint32_t)db_column_int(statement, 1);
        }
        sqlite3_reset(statement);
    }
    return ERR_OK;
}

static enum err look_up_tokens(struct vault *vault, struct task *task,
                               const struct spam_tokens *tokens, struct spam_count *counts)
{
    bool is_begun;
    enum err err;

    TRY(db_read_begin(vault->db, task, &is_begun));
    err = read_counts(vault, task, tokens, counts);
    db_read_end(vault->db, is_begun);
    return err;
}

static bool is_trained(const struct vault *vault)
{
    return vault->junk_learned >= VAULT_JUNK_LEARNED_MIN &&
           vault->wanted_learned >= VAULT_JUNK_LEARNED_MIN;
}

static enum err probability_of(struct vault *vault, struct task *task, struct str raw,
                               unsigned *out)
{
    struct spam_tokens *tokens = ARENA_NEW(&task->arena, struct spam_tokens);
    struct spam_count *counts;
    struct message_structure structure;
    struct structure_notes *notes;

    structure_scan(&task->arena, raw, &structure, &notes);
    spam_tokenize(task, raw, &structure, tokens);
    counts = ARENA_ARRAY(&task->arena, struct spam_count, tokens->count + 1);
    TRY(look_up_tokens(vault, task, tokens, counts));
    *out = spam_probability(tokens, counts,
                            (struct spam_count){vault->junk_learned, vault->wanted_learned});
    return ERR_OK;
}

static void add_field(const struct vault *vault, unsigned probability, bool is_junk,
                      bool is_against, struct vault_append *append, struct buf *storage)
{
    struct str trace = str_upto(append->raw, (size_t)append->trace_len);

    buf_reset(storage);
    buf_put(storage, trace);
    buf_putf(storage,
             "X-Spam-Owner: %s, probability %u.%03u by %u messages of spam and %u wanted ones,\r\n"
             "\t%s the shared verdict\r\n",
             is_junk ? "Yes" : "No", probability / 1000, probability % 1000, vault->junk_learned,
             vault->wanted_learned, is_against ? "against" : "as");
    append->trace_len = storage->len;
    buf_put(storage, str_from(append->raw, trace.len));
    append->raw = buf_str(storage);
}

/* --- Folders --- */

/* By its use, whatever its name is now; -1: the owner has none. */
static int64_t junk_folder(struct vault *vault)
{
    const struct folder *named = vault_folder_named(vault, STR("Junk"));

    for (size_t i = 0; i < vault->folder_count; i++) {
        if (vault->folders[i]->use == VAULT_USE_JUNK && vault->folders[i]->is_selectable)
            return vault->folders[i]->id;
    }
    return named != NULL && named->is_selectable ? named->id : -1;
}

/* The folder that was named, if it is there; -1: INBOX, or Junk by the verdict. */
static enum err named_folder(struct vault *vault, struct task *task, struct str folder,
                             bool is_shared_junk, int64_t *out)
{
    enum err err;

    *out = -1;
    if (folder.len == 0 || (is_shared_junk && str_equal(folder, STR("Junk"))))
        return ERR_OK;
    err = vault_folder_id(vault, task, folder, out);
    if (err != ERR_NOT_FOUND)
        return err;
    task_forgive(task); /* its owner removed it */
    *out = -1;
    return ERR_OK;
}

enum err vault_junk_file(struct vault *vault, struct task *task, struct str folder,
                         struct vault_append *append, struct buf *storage, int64_t *out_folder_id)
{
    struct spam_status status;
    unsigned probability;
    bool is_junk;
    int64_t folder_id;

    TRY(vault_check(vault, task));
    spam_read_status(str_upto(append->raw, (size_t)append->trace_len), &status);
    TRY(named_folder(vault, task, folder, status.is_junk, &folder_id));
    if (folder_id >= 0) {
        *out_folder_id = folder_id;
        return ERR_OK;
    }
    is_junk = status.is_junk;
    if (is_trained(vault) && !status.is_hard) {
        TRY(probability_of(vault, task, append->raw, &probability));
        if (probability >= VAULT_JUNK_SURE)
            is_junk = true;
        else if (probability <= VAULT_JUNK_WANTED)
            is_junk = false;
        if (is_junk != status.is_junk || (is_junk && probability >= VAULT_JUNK_SURE))
            add_field(vault, probability, is_junk, is_junk != status.is_junk, append, storage);
    }
    folder_id = is_junk ? junk_folder(vault) : -1;
    if (folder_id < 0)
        return vault_folder_id(vault, task, STR("INBOX"), out_folder_id);
    *out_folder_id = folder_id;
    return ERR_OK;
}
