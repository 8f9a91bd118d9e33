/* Writing a content and taking it away again (parts.h). */
#include "vault/parts.h"

#include "base/clock.h"
#include "base/memory.h"
#include "secret/crypt.h"
#include "vault/facts.h"
#include "vault/index.h"
#include "vault/learn.h"
#include "vault/sort_keep.h"

#include <string.h>

/* --- Writing --- */

struct writer {
    struct vault *vault;
    struct task *task;
    struct str raw;
    int64_t content_id;
    int64_t next_number;
    uint64_t written; /* bytes of the message that have their part */
    struct buf compressed;
};

static enum err insert_part(struct writer *w, uint64_t length, enum part_kind kind,
                            int64_t attachment_id, const struct base64_layout *layout,
                            struct str bytes)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    if (w->next_number >> PART_NUMBER_BITS != 0)
        return fail(w->task, ERR_LIMIT, "vault: a message of too many parts");
    TRY(db_prepare(w->vault->db, w->task,
                   "INSERT INTO part(key, start, length, kind, attachment_id, line_length, "
                   "line_end, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                   &statement));
    db_bind_int(statement, 1, part_key(w->content_id, w->next_number));
    db_bind_int(statement, 2, (int64_t)w->written);
    db_bind_int(statement, 3, (int64_t)length);
    db_bind_int(statement, 4, kind);
    if (attachment_id != 0)
        db_bind_int(statement, 5, attachment_id);
    else
        db_bind_blob(statement, 8, bytes);
    if (layout != NULL) {
        db_bind_int(statement, 6, layout->line_length);
        db_bind_int(statement, 7, layout->line_end);
    }
    TRY(db_run(w->vault->db, w->task, statement));
    w->next_number++;
    w->written += length;
    return ERR_OK;
}

/* The message's own bytes up to `end`, in chunks. */
static enum err write_bytes(struct writer *w, uint64_t end)
{
    while (w->written < end) {
        struct str chunk = str_upto(str_from(w->raw, (size_t)w->written), PART_CHUNK_BYTES);
        bool is_compressed;

        if (chunk.len > end - w->written)
            chunk = str_upto(chunk, (size_t)(end - w->written));
        is_compressed = part_compress(w->vault, chunk, &w->compressed);
        TRY(insert_part(w, chunk.len, is_compressed ? PART_ZSTD : PART_BYTES, 0, NULL,
                        is_compressed ? buf_str(&w->compressed) : chunk));
    }
    return ERR_OK;
}

static enum err insert_attachment_chunks(struct writer *w, int64_t attachment_id, struct str bytes)
{
    for (int64_t number = 0; bytes.len > 0; number++) {
        CLEANUP(db_release) sqlite3_stmt *statement = NULL;
        struct str chunk = str_upto(bytes, ATTACHMENT_CHUNK_BYTES);
        bool is_compressed = part_compress(w->vault, chunk, &w->compressed);

        TRY(db_prepare(w->vault->db, w->task, "INSERT INTO attachment_part VALUES (?1, ?2, ?3)",
                       &statement));
        db_bind_int(statement, 1, part_key(attachment_id, number));
        db_bind_int(statement, 2, is_compressed ? PART_ZSTD : PART_BYTES);
        db_bind_blob(statement, 3, is_compressed ? buf_str(&w->compressed) : chunk);
        TRY(db_run(w->vault->db, w->task, statement));
        bytes = str_from(bytes, chunk.len);
    }
    return ERR_OK;
}

/* Finds the attachment by its digest, or keeps it; one more user either way. */
static enum err keep_attachment(struct writer *w, struct str bytes, int64_t *out_attachment_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    unsigned char digest[CRYPT_HASH_BYTES];
    bool has_row;
    bool is_new;

    crypt_digest(bytes, digest);
    TRY(db_prepare(w->vault->db, w->task,
                   "INSERT INTO attachment(digest, size_bytes, use_count) VALUES (?1, ?2, 1) "
                   "ON CONFLICT(digest, size_bytes) DO UPDATE SET use_count = use_count + 1 "
                   "RETURNING id, use_count = 1",
                   &statement));
    db_bind_blob(statement, 1, str_make(digest, sizeof(digest)));
    db_bind_int(statement, 2, (int64_t)bytes.len);
    TRY(db_step(w->vault->db, w->task, statement, &has_row));
    *out_attachment_id = db_column_int(statement, 0);
    is_new = db_column_int(statement, 1) != 0;
    TRY(db_run(w->vault->db, w->task, statement));
    return is_new ? insert_attachment_chunks(w, *out_attachment_id, bytes) : ERR_OK;
}

static enum err write_base64(struct writer *w, struct str body, bool *out_was_base64)
{
    CLEANUP(buf_free) struct buf decoded = {0};
    struct base64_layout layout;
    int64_t attachment_id;
    size_t len;

    buf_init(&decoded, SIZE_MAX);
    *out_was_base64 = base64_decode_lines(body, &layout, &len, &decoded);
    if (!*out_was_base64)
        return ERR_OK;
    TRY(keep_attachment(w, buf_str(&decoded), &attachment_id));
    return insert_part(w, len, PART_BASE64, attachment_id, &layout, STR(""));
}

static bool is_attachment(const struct message_part *part)
{
    if (part->kind != MESSAGE_KIND_LEAF || part->body_len < ATTACHMENT_MIN_BYTES)
        return false;
    return part->is_attachment || part->encoding == MESSAGE_ENCODING_BASE64 ||
           !str_equal(part->type, STR("text"));
}

static enum err write_attachment(struct writer *w, const struct message_part *part)
{
    struct str body = str_upto(str_from(w->raw, (size_t)part->body_start), (size_t)part->body_len);
    int64_t attachment_id;
    bool was_base64 = false;

    TRY(write_bytes(w, part->body_start));
    if (part->encoding == MESSAGE_ENCODING_BASE64)
        TRY(write_base64(w, body, &was_base64));
    if (was_base64)
        return ERR_OK; /* a line end that may be left goes with the bytes that follow */
    TRY(keep_attachment(w, body, &attachment_id));
    return insert_part(w, body.len, PART_ATTACHMENT, attachment_id, NULL, STR(""));
}

static enum err write_parts(struct writer *w, const struct message_structure *structure)
{
    for (uint32_t i = 0; i < structure->part_count; i++) {
        const struct message_part *part = &structure->parts[i];

        if (is_attachment(part) && part->body_start >= w->written &&
            part->body_start + part->body_len <= w->raw.len)
            TRY(write_attachment(w, part));
    }
    return write_bytes(w, w->raw.len);
}

static enum err insert_content(struct vault *vault, struct task *task,
                               const struct message_summary *summary, int64_t *out_content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    CLEANUP(buf_free) struct buf structure = {0};
    char sent[CLOCK_ISO_ROOM], now[CLOCK_ISO_ROOM];

    buf_init(&structure, SIZE_MAX);
    message_structure_encode(&summary->structure, &structure);
    clock_format_iso(task->now_ms, now);
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO content(envelope, bodystructure, sent_day, subject, sender, "
                   "recipient, cc, bcc, body, structure, sent, message_id, in_reply_to, "
                   "message_references, base_subject, arrived, id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
                   "?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
                   &statement));
    db_bind_text(statement, 1, summary->envelope);
    db_bind_text(statement, 2, summary->bodystructure);
    if (summary->sent_is_known) {
        clock_format_iso(summary->sent_ms, sent);
        db_bind_int(statement, 3, summary->sent_day);
        db_bind_text(statement, 11, str_from_c(sent));
    }
    db_bind_text(statement, 4, summary->subject);
    db_bind_text(statement, 5, summary->from);
    db_bind_text(statement, 6, summary->to);
    db_bind_text(statement, 7, summary->cc);
    db_bind_text(statement, 8, summary->bcc);
    db_bind_text(statement, 9, summary->body);
    db_bind_blob(statement, 10, buf_str(&structure));
    db_bind_text(statement, 12, summary->message_id);
    db_bind_text(statement, 13, summary->in_reply_to);
    db_bind_text(statement, 14, summary->references);
    db_bind_text(statement, 15, summary->base_subject);
    db_bind_text(statement, 16, str_from_c(now));
    db_bind_int(statement, 17, vault->next_content_id);
    TRY(db_run(vault->db, task, statement));
    *out_content_id = vault->next_content_id++;
    vault->is_mailbox_dirty = true;
    return ERR_OK;
}

enum err content_store(struct vault *vault, struct task *task, struct str raw,
                       const struct message_summary *summary, int64_t *out_content_id)
{
    struct writer w = {.vault = vault, .task = task, .raw = raw};
    enum err err;

    TRY(insert_content(vault, task, summary, &w.content_id));
    buf_init(&w.compressed, SIZE_MAX);
    err = write_parts(&w, &summary->structure);
    buf_free(&w.compressed);
    *out_content_id = w.content_id;
    return err;
}

enum err content_note_utf8(struct vault *vault, struct task *task, int64_t content_id,
                           struct str raw, const struct message_summary *summary)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct str header = str_upto(raw, (size_t)summary->structure.parts[0].body_start);

    if (str_is_ascii(header) || !str_is_utf8(header))
        return ERR_OK;
    TRY(db_prepare(vault->db, task, "UPDATE content SET has_utf8_header = 1 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, content_id);
    return db_run(vault->db, task, statement);
}

/* --- Taking away --- */

static enum err run_with_key(struct vault *vault, struct task *task, const char *sql, int64_t first,
                             int64_t last)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, sql, &statement));
    db_bind_int(statement, 1, first);
    if (sqlite3_bind_parameter_count(statement) > 1)
        db_bind_int(statement, 2, last);
    return db_run(vault->db, task, statement);
}

static enum err release_attachment(struct vault *vault, struct task *task, int64_t attachment_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "UPDATE attachment SET use_count = use_count - 1 "
                   "WHERE id = ?1 AND use_count > 1",
                   &statement));
    db_bind_int(statement, 1, attachment_id);
    TRY(db_run(vault->db, task, statement));
    if (sqlite3_changes(db_handle(vault->db)) > 0)
        return ERR_OK;
    TRY(run_with_key(vault, task, "DELETE FROM attachment_part WHERE key BETWEEN ?1 AND ?2",
                     part_key(attachment_id, 0), part_key(attachment_id + 1, 0) - 1));
    return run_with_key(vault, task, "DELETE FROM attachment WHERE id = ?1", attachment_id, 0);
}

static enum err release_attachments(struct vault *vault, struct task *task, int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT attachment_id FROM part WHERE key BETWEEN ?1 AND ?2 "
                   "AND attachment_id IS NOT NULL",
                   &statement));
    db_bind_int(statement, 1, part_key(content_id, 0));
    db_bind_int(statement, 2, part_key(content_id + 1, 0) - 1);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        TRY(release_attachment(vault, task, db_column_int(statement, 0)));
    }
}

enum err content_release(struct vault *vault, struct task *task, int64_t content_id)
{
    TRY(run_with_key(vault, task,
                     "UPDATE content_share SET extra = extra - 1 WHERE content_id = ?1 "
                     "AND extra > 1",
                     content_id, 0));
    if (sqlite3_changes(db_handle(vault->db)) > 0)
        return ERR_OK;
    TRY(run_with_key(vault, task, "DELETE FROM content_share WHERE content_id = ?1", content_id,
                     0));
    if (sqlite3_changes(db_handle(vault->db)) > 0)
        return ERR_OK;
    TRY(index_forget(vault, task, content_id));
    TRY(facts_remove_identity(vault, task, content_id));
    TRY(facts_remove_preview(vault, task, content_id));
    TRY(sort_forget(vault, task, content_id));
    TRY(learn_forget(vault, task, content_id));
    TRY(release_attachments(vault, task, content_id));
    TRY(run_with_key(vault, task, "DELETE FROM part WHERE key BETWEEN ?1 AND ?2",
                     part_key(content_id, 0), part_key(content_id + 1, 0) - 1));
    return run_with_key(vault, task, "DELETE FROM content WHERE id = ?1", content_id, 0);
}
