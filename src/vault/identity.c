#include "vault/identity.h"

#include "secret/crypt.h"
#include "vault/facts.h"
#include "vault/parts.h"

#include <stdio.h>
#include <string.h>

enum {
    CONTENT_BITS = 40,
    /* Message ids that one message is known by: its own, In-Reply-To, and of References the last
     * ones and the first. However many a hostile message names, it costs this much. */
    REFERENCES_MAX = 16,
    IDS_MAX = REFERENCES_MAX + 3,
    SLICE_CONTENTS = 200,
};

/* ---- As text ---- */

static const char KINDS[] = {[VAULT_IDENTITY_EMAIL] = 'M', [VAULT_IDENTITY_THREAD] = 'T'};

void vault_identity_write(enum vault_identity_kind kind, int64_t id,
                          char out[static VAULT_IDENTITY_ROOM])
{
    snprintf(out, VAULT_IDENTITY_ROOM, "%c%lld-%lld", KINDS[kind], (long long)(id >> CONTENT_BITS),
             (long long)(id & ((INT64_C(1) << CONTENT_BITS) - 1)));
}

void vault_identity_write_folder(const struct vault_folder *folder,
                                 char out[static VAULT_IDENTITY_ROOM])
{
    snprintf(out, VAULT_IDENTITY_ROOM, "F%lld-%lu", (long long)folder->id,
             (unsigned long)folder->incarnation);
}

bool vault_identity_read(enum vault_identity_kind kind, struct str text, int64_t *out_id)
{
    char again[VAULT_IDENTITY_ROOM];
    struct str epoch_text;
    uint64_t epoch, content;
    int64_t id;

    if (text.len == 0 || text.ptr[0] != KINDS[kind])
        return false;
    text = str_from(text, 1);
    if (!str_split(&text, '-', &epoch_text) || !parse_u64(epoch_text, &epoch) ||
        !parse_u64(text, &content) || content >> CONTENT_BITS != 0 ||
        epoch > (uint64_t)INT64_MAX >> CONTENT_BITS)
        return false;
    id = (int64_t)(epoch << CONTENT_BITS | content);
    vault_identity_write(kind, id, again);
    *out_id = id;
    /* "M01-2" is none of ours either. */
    return str_from_c(again).len == 1 + epoch_text.len + 1 + text.len;
}

/* ---- Joining a thread ---- */

/* The message ids by which a message finds its thread, the nearest first. */
struct ids {
    int64_t digests[IDS_MAX];
    size_t count;
};

static void add_id(struct ids *ids, struct str message_id)
{
    unsigned char digest[CRYPT_HASH_BYTES];
    int64_t value;

    if (message_id.len == 0 || ids->count == IDS_MAX)
        return;
    crypt_digest(message_id, digest);
    memcpy(&value, digest, sizeof(value));
    ids->digests[ids->count++] = value;
}

/* References, separated by one space: the last ones from the end, then the first. */
static void add_references(struct ids *ids, struct str references)
{
    for (size_t i = 0; i < REFERENCES_MAX && references.len > 0; i++) {
        ptrdiff_t space = str_last_index(references, ' ');

        add_id(ids, str_from(references, (size_t)(space + 1)));
        references = str_upto(references, space < 0 ? 0 : (size_t)space);
    }
    if (references.len > 0) {
        ptrdiff_t space = str_index(references, ' ');

        add_id(ids, space < 0 ? references : str_upto(references, (size_t)space));
    }
}

static enum err find_thread(struct vault *vault, struct task *task, const struct ids *ids,
                            int64_t *out_thread_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(vault->db, task, "SELECT thread_id FROM thread_reference WHERE digest = ?1",
                   &statement));
    for (size_t i = 0; i < ids->count && !has_row; i++) {
        db_bind_int(statement, 1, ids->digests[i]);
        TRY(db_step(vault->db, task, statement, &has_row));
        if (has_row)
            *out_thread_id = db_column_int(statement, 0);
        sqlite3_reset(statement);
    }
    return ERR_OK;
}

/* Those that are another thread's already stay there. */
static enum err keep_references(struct vault *vault, struct task *task, const struct ids *ids,
                                int64_t thread_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "INSERT INTO thread_reference VALUES (?1, ?2) ON CONFLICT(digest) DO NOTHING",
                   &statement));
    for (size_t i = 0; i < ids->count; i++) {
        db_bind_int(statement, 1, ids->digests[i]);
        db_bind_int(statement, 2, thread_id);
        TRY(db_run(vault->db, task, statement));
    }
    return ERR_OK;
}

static enum err give(struct vault *vault, struct task *task, int64_t content_id,
                     const struct ids *ids)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    int64_t email_id = (int64_t)vault->epoch << CONTENT_BITS | content_id, thread_id = email_id;

    TRY(find_thread(vault, task, ids, &thread_id));
    TRY(keep_references(vault, task, ids, thread_id));
    TRY(db_prepare(vault->db, task, "INSERT INTO identity VALUES (?1, ?2, ?3)", &statement));
    db_bind_int(statement, 1, content_id);
    db_bind_int(statement, 2, email_id);
    db_bind_int(statement, 3, thread_id);
    return db_run(vault->db, task, statement);
}

static void collect(struct ids *ids, struct str message_id, struct str in_reply_to,
                    struct str references)
{
    add_id(ids, in_reply_to);
    add_references(ids, references);
    add_id(ids, message_id);
}

enum err facts_add_identity(struct vault *vault, struct task *task, int64_t content_id,
                            const struct message_summary *summary)
{
    struct ids ids = {0};

    if (!vault->has_identities) /* in its turn, behind those that came before it */
        return ERR_OK;
    collect(&ids, summary->message_id, summary->in_reply_to, summary->references);
    return give(vault, task, content_id, &ids);
}

enum err facts_remove_identity(struct vault *vault, struct task *task, int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *identity = NULL;
    CLEANUP(db_release) sqlite3_stmt *other = NULL;
    CLEANUP(db_release) sqlite3_stmt *references = NULL;
    int64_t thread_id;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT thread_id FROM identity WHERE content_id = ?1",
                   &identity));
    db_bind_int(identity, 1, content_id);
    TRY(db_step(vault->db, task, identity, &has_row));
    if (!has_row)
        return ERR_OK;
    thread_id = db_column_int(identity, 0);
    db_release(&identity);
    TRY(db_prepare(vault->db, task, "DELETE FROM identity WHERE content_id = ?1", &identity));
    db_bind_int(identity, 1, content_id);
    TRY(db_run(vault->db, task, identity));
    TRY(db_prepare(vault->db, task, "SELECT 1 FROM identity WHERE thread_id = ?1 LIMIT 1", &other));
    db_bind_int(other, 1, thread_id);
    TRY(db_step(vault->db, task, other, &has_row));
    if (has_row)
        return ERR_OK;
    TRY(db_prepare(vault->db, task, "DELETE FROM thread_reference WHERE thread_id = ?1",
                   &references));
    db_bind_int(references, 1, thread_id);
    return db_run(vault->db, task, references);
}

/* ---- Those that came before ---- */

/* Without reading the content table: the newest content has its identity, or not. */
enum err facts_load_identities(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT coalesce((SELECT max(id) FROM content), 0), "
                   "coalesce((SELECT max(content_id) FROM identity), 0)",
                   &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    vault->has_identities = db_column_int(statement, 0) <= db_column_int(statement, 1);
    return ERR_OK;
}

struct waiting {
    int64_t content_id;
    struct ids ids;
};

static enum err read_waiting(struct vault *vault, struct task *task, struct waiting *out,
                             size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    *out_count = 0;
    TRY(db_prepare(vault->db, task,
                   "SELECT id, message_id, in_reply_to, message_references FROM content "
                   "WHERE id > coalesce((SELECT max(content_id) FROM identity), 0) "
                   "ORDER BY id LIMIT ?1",
                   &statement));
    db_bind_int(statement, 1, SLICE_CONTENTS);
    for (;;) {
        struct waiting *waiting = &out[*out_count];

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        waiting->content_id = db_column_int(statement, 0);
        collect(&waiting->ids, db_column_text(statement, 1), db_column_text(statement, 2),
                db_column_text(statement, 3));
        (*out_count)++;
    }
}

enum err facts_identity_slice(struct vault *vault, struct task *task)
{
    struct waiting *waiting = ARENA_ARRAY(&task->arena, struct waiting, SLICE_CONTENTS);
    size_t count;

    TRY(read_waiting(vault, task, waiting, &count));
    vault_touch_quietly(vault);
    for (size_t i = 0; i < count; i++)
        TRY(give(vault, task, waiting[i].content_id, &waiting[i].ids));
    vault->has_identities = count < SLICE_CONTENTS;
    return ERR_OK;
}

enum err vault_identity_prepare(struct vault *vault, struct task *task, bool *out_done)
{
    TRY(vault_check(vault, task));
    if (!vault->has_identities) {
        TRY(vault_write_begin(vault, task));
        TRY(vault_write_end(vault, task, facts_identity_slice(vault, task), VAULT_RELAXED));
    }
    *out_done = vault->has_identities;
    return ERR_OK;
}

/* ---- Looking for one ---- */

enum err vault_identity_contents(struct vault *vault, struct task *task,
                                 enum vault_identity_kind kind, int64_t id,
                                 int64_t **out_content_ids, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    int64_t *found = NULL;
    size_t count = 0, room = 0;
    bool has_row;

    TRY(vault_check(vault, task));
    /* An email's content is in its identifier. */
    TRY(db_prepare(vault->db, task,
                   kind == VAULT_IDENTITY_EMAIL
                       ? "SELECT content_id FROM identity WHERE content_id = ?2 AND email_id = ?1"
                       : "SELECT content_id FROM identity WHERE thread_id = ?1 AND ?2 >= 0 "
                         "ORDER BY content_id",
                   &statement));
    db_bind_int(statement, 1, id);
    db_bind_int(statement, 2, id & ((INT64_C(1) << CONTENT_BITS) - 1));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == room)
            found = arena_grow(&task->arena, found, &room, 16, sizeof(*found));
        found[count++] = db_column_int(statement, 0);
    }
    *out_content_ids = found;
    *out_count = count;
    return ERR_OK;
}
