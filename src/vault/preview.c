/*
 * Previews are made at arrival. A mailbox from before there were any gets them from the newest
 * content downwards: those at `previews_from` and above have theirs.
 */
#include "vault/preview.h"

#include "message/preview.h"
#include "vault/content.h"
#include "vault/facts.h"

enum { SLICE_CONTENTS = 20 };

static enum err insert(struct vault *vault, struct task *task, int64_t content_id, struct str text)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "INSERT INTO preview VALUES (?1, ?2)", &statement));
    db_bind_int(statement, 1, content_id);
    db_bind_text(statement, 2, text);
    return db_run(vault->db, task, statement);
}

enum err facts_add_preview(struct vault *vault, struct task *task, int64_t content_id,
                           struct str raw, const struct message_structure *structure)
{
    CLEANUP(buf_free) struct buf text = {0};
    const struct message_part *part;

    buf_init(&text, SIZE_MAX);
    for (unsigned choice = 0;
         text.len == 0 && (part = message_preview_part(structure, choice)) != NULL; choice++)
        message_preview(
            part, str_upto(str_from(raw, (size_t)part->body_start), (size_t)part->body_len), &text);
    return insert(vault, task, content_id, buf_str(&text));
}

enum err facts_remove_preview(struct vault *vault, struct task *task, int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "DELETE FROM preview WHERE content_id = ?1", &statement));
    db_bind_int(statement, 1, content_id);
    return db_run(vault->db, task, statement);
}

/* ---- At need ---- */

static enum err read_structure(struct vault *vault, struct task *task, int64_t content_id,
                               struct message_structure *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT structure FROM content WHERE id = ?1", &statement));
    db_bind_int(statement, 1, content_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: the content was purged");
    return message_structure_decode(task, db_column_blob(statement, 0), out);
}

enum err vault_preview_make(struct vault *vault, struct task *task, int64_t content_id,
                            struct buf *out)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    CLEANUP(buf_free) struct buf body = {0};
    struct message_structure structure;
    const struct message_part *part;
    size_t before = out->len;

    TRY(vault_check(vault, task));
    TRY(read_structure(vault, task, content_id, &structure));
    TRY(vault_content_open(vault, task, content_id, &content));
    buf_init(&body, SIZE_MAX);
    for (unsigned choice = 0;
         out->len == before && (part = message_preview_part(&structure, choice)) != NULL;
         choice++) {
        buf_reset(&body);
        TRY(vault_content_read(content, task, part->body_start,
                               part->body_len < MESSAGE_PREVIEW_RAW_MAX
                                   ? (size_t)part->body_len
                                   : (size_t)MESSAGE_PREVIEW_RAW_MAX,
                               &body));
        message_preview(part, buf_str(&body), out);
    }
    return ERR_OK;
}

/* ---- Those that came before ---- */

enum err facts_load_previews(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT coalesce(min(content_id), ?1) FROM preview",
                   &statement));
    db_bind_int(statement, 1, vault->next_content_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    vault->previews_from = db_column_int(statement, 0);
    return ERR_OK;
}

static enum err read_waiting(struct vault *vault, struct task *task,
                             int64_t out[static SLICE_CONTENTS], size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    *out_count = 0;
    TRY(db_prepare(vault->db, task,
                   "SELECT id FROM content WHERE id < ?1 ORDER BY id DESC LIMIT ?2", &statement));
    db_bind_int(statement, 1, vault->previews_from);
    db_bind_int(statement, 2, SLICE_CONTENTS);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        out[(*out_count)++] = db_column_int(statement, 0);
    }
}

enum err facts_preview_slice(struct vault *vault, struct task *task)
{
    int64_t ids[SLICE_CONTENTS];
    size_t count;

    TRY(read_waiting(vault, task, ids, &count));
    vault_touch_quietly(vault);
    for (size_t i = 0; i < count; i++) {
        CLEANUP(buf_free) struct buf text = {0};
        enum err err;

        buf_init(&text, SIZE_MAX);
        err = vault_preview_make(vault, task, ids[i], &text);
        if (err == ERR_CORRUPT) /* who reads the message is told; here it must not stop the rest */
            task_forgive(task);
        else
            TRY(err);
        TRY(insert(vault, task, ids[i], buf_str(&text)));
        vault->previews_from = ids[i];
    }
    if (count < SLICE_CONTENTS)
        vault->previews_from = 0;
    return ERR_OK;
}
