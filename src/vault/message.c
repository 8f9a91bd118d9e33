/* Arrival, and the list of a folder. */
#include "vault/message.h"

#include "base/clock.h"
#include "secret/crypt.h"
#include "vault/parts.h"
#include "vault/rows.h"

#include <string.h>

/* --- The list --- */

enum err vault_message_list(struct vault *vault, struct task *task, int64_t folder_id,
                            struct vault_uid_flags **out_messages, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault_uid_flags *messages;
    const struct folder *folder;
    size_t count = 0;
    bool has_row;

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    messages = ARENA_ARRAY(&task->arena, struct vault_uid_flags, folder->message_count + 1);
    TRY(db_prepare(vault->db, task,
                   "SELECT key, flags, modseq FROM message WHERE key BETWEEN ?1 AND ?2 "
                   "AND is_expunged = 0",
                   &statement));
    db_bind_int(statement, 1, message_key(folder_id, 1));
    db_bind_int(statement, 2, message_key(folder_id, UINT32_MAX));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == folder->message_count)
            return fail(task, ERR_CORRUPT, "vault: a folder has more messages than it counted");
        messages[count].uid = key_uid(db_column_int(statement, 0));
        messages[count].flags = (uint64_t)db_column_int(statement, 1);
        messages[count].modseq = (uint64_t)db_column_int(statement, 2);
        count++;
    }
    *out_messages = messages;
    *out_count = count;
    return ERR_OK;
}

/* --- Arrival --- */

static struct str delivery_digest(const struct vault_append *append,
                                  unsigned char digest[static CRYPT_HASH_BYTES])
{
    crypt_digest(str_from(append->raw, (size_t)append->trace_len), digest);
    return str_make(digest, CRYPT_HASH_BYTES);
}

static enum err was_delivered(struct vault *vault, struct task *task, struct str digest, bool *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char since[CLOCK_ISO_ROOM], until[CLOCK_ISO_ROOM];

    /* Within a day; a clock that was set back meanwhile does not make it longer. */
    clock_format_iso(task->now_ms - VAULT_DELIVERY_MEMORY_MS, since);
    clock_format_iso(task->now_ms + VAULT_DELIVERY_MEMORY_MS, until);
    TRY(db_prepare(vault->db, task,
                   "SELECT 1 FROM delivery WHERE digest = ?1 AND arrived BETWEEN ?2 AND ?3",
                   &statement));
    db_bind_blob(statement, 1, digest);
    db_bind_text(statement, 2, str_from_c(since));
    db_bind_text(statement, 3, str_from_c(until));
    return db_step(vault->db, task, statement, out);
}

static enum err was_imported(struct vault *vault, struct task *task, const struct id *record,
                             bool *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "SELECT 1 FROM imported WHERE record = ?1", &statement));
    db_bind_text(statement, 1, id_str(record));
    return db_step(vault->db, task, statement, out);
}

/* Runs `sql` with a first value and the present time. */
static enum err note_with_time(struct vault *vault, struct task *task, const char *sql,
                               struct str value, bool is_blob)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char now[CLOCK_ISO_ROOM];

    clock_format_iso(task->now_ms, now);
    TRY(db_prepare(vault->db, task, sql, &statement));
    if (is_blob)
        db_bind_blob(statement, 1, value);
    else
        db_bind_text(statement, 1, value);
    db_bind_text(statement, 2, str_from_c(now));
    return db_run(vault->db, task, statement);
}

static enum err insert_message(struct vault *vault, struct task *task, int64_t key,
                               const struct vault_append *append,
                               const struct message_summary *summary, uint64_t modseq,
                               int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char internal[CLOCK_ISO_ROOM], now[CLOCK_ISO_ROOM];

    clock_format_iso(append->internal_date_ms, internal);
    clock_format_iso(task->now_ms, now);
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO message(key, flags, modseq, content_id, size_bytes, "
                   "internal_date, internal_zone, save_date, sent_day) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                   &statement));
    db_bind_int(statement, 1, key);
    db_bind_int(statement, 2, (int64_t)append->flags);
    db_bind_int(statement, 3, (int64_t)modseq);
    db_bind_int(statement, 4, content_id);
    db_bind_int(statement, 5, (int64_t)append->raw.len);
    db_bind_text(statement, 6, str_from_c(internal));
    db_bind_int(statement, 7, append->internal_zone_minutes);
    db_bind_text(statement, 8, str_from_c(now));
    if (summary->sent_is_known)
        db_bind_int(statement, 9, summary->sent_day);
    return db_run(vault->db, task, statement);
}

static void count_message(struct vault *vault, struct folder *folder, uint64_t flags, uint64_t size)
{
    folder->uidnext++;
    folder->message_count++;
    folder->size_bytes += size;
    folder->unseen_count += (flags & VAULT_FLAG_SEEN) == 0;
    folder->deleted_count += (flags & VAULT_FLAG_DELETED) != 0;
    vault->message_count++;
    vault->size_bytes += size;
}

static enum err write_message(struct vault *vault, struct task *task, struct folder *folder,
                              const struct vault_append *append,
                              const struct message_summary *summary)
{
    uint64_t modseq = vault_touch(vault);
    uint32_t uid = folder->uidnext;
    int64_t content_id;

    TRY(content_store(vault, task, append->raw, summary, &content_id));
    TRY(insert_message(vault, task, message_key(folder->id, uid), append, summary, modseq,
                       content_id));
    count_message(vault, folder, append->flags, append->raw.len);
    vault_note_messages(vault, folder, modseq, uid, uid);
    return ERR_OK;
}

static enum err check_append(struct vault *vault, struct task *task, const struct folder *folder,
                             const struct vault_append *append)
{
    if (folder == NULL || !folder->is_selectable)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    if (append->raw.len > vault->limit_bytes ||
        vault->size_bytes > vault->limit_bytes - append->raw.len)
        return fail(task, ERR_LIMIT, "vault: over quota");
    if (folder->uidnext == UINT32_MAX)
        return fail(task, ERR_LIMIT, "vault: the folder's UIDs are used up");
    return ERR_OK;
}

static enum err note_import(struct vault *vault, struct task *task,
                            const struct vault_append *append)
{
    if (!id_is_set(&append->drop_record))
        return ERR_OK;
    (void)vault_touch(vault);
    return note_with_time(vault, task, "INSERT INTO imported VALUES (?1, ?2)",
                          id_str(&append->drop_record), false);
}

/* What is refused, and what is known already, before anything is written. */
static enum err append_in_change(struct vault *vault, struct task *task, int64_t folder_id,
                                 const struct vault_append *append,
                                 const struct message_summary *summary, uint32_t *out_uid)
{
    struct folder *folder = vault_folder_get(vault, folder_id);
    unsigned char digest_bytes[CRYPT_HASH_BYTES];
    struct str digest = {0};
    bool is_known = false;
    uint32_t uid;

    if (id_is_set(&append->drop_record)) {
        TRY(was_imported(vault, task, &append->drop_record, &is_known));
        if (is_known)
            return fail(task, ERR_EXISTS, "vault: this drop record was imported before");
    }
    if (append->is_delivery) {
        digest = delivery_digest(append, digest_bytes);
        TRY(was_delivered(vault, task, digest, &is_known));
    }
    if (is_known) {
        *out_uid = 0;
        return note_import(vault, task, append);
    }
    TRY(check_append(vault, task, folder, append));
    uid = folder->uidnext;
    TRY(write_message(vault, task, folder, append, summary));
    TRY(note_import(vault, task, append));
    if (append->is_delivery)
        TRY(note_with_time(vault, task,
                           "INSERT INTO delivery VALUES (?1, ?2) "
                           "ON CONFLICT(digest) DO UPDATE SET arrived = excluded.arrived",
                           digest, true));
    *out_uid = uid;
    return ERR_OK;
}

enum err vault_message_append(struct vault *vault, struct task *task, int64_t folder_id,
                              const struct vault_append *append, uint32_t *out_uid)
{
    struct message_summary summary;
    uint32_t uid = 0;

    if (append->trace_len > append->raw.len || (append->flags >> VAULT_KEYWORD_END & 1) != 0)
        return fail(task, ERR_INVALID, "vault: impossible arguments of an append");
    TRY(vault_check(vault, task));
    /* The commonest refusals before the work; looked at again in the change. */
    if (!append->is_delivery && !id_is_set(&append->drop_record))
        TRY(check_append(vault, task, vault_folder_get(vault, folder_id), append));
    message_parse(task, append->raw, &summary);
    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(vault, task,
                        append_in_change(vault, task, folder_id, append, &summary, &uid),
                        VAULT_DURABLE));
    *out_uid = uid;
    return ERR_OK;
}
