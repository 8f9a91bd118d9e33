/* Arrival. */
#include "vault/message.h"

#include "base/clock.h"
#include "secret/crypt.h"
#include "vault/facts.h"
#include "vault/maildrop.h"
#include "vault/parts.h"
#include "vault/rows.h"
#include "vault/uidl.h"
#include "vault/undelete_keep.h"

#include <string.h>

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
    struct vault_line_ends line_ends = {0};

    vault_line_ends_add(&line_ends, append->raw);
    clock_format_iso(append->internal_date_ms, internal);
    clock_format_iso(task->now_ms, now);
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO message(key, flags, modseq, content_id, size_bytes, "
                   "internal_date, internal_zone, save_date, line_end_octets, sent_day) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                   &statement));
    db_bind_int(statement, 1, key);
    db_bind_int(statement, 2, (int64_t)append->flags);
    db_bind_int(statement, 3, (int64_t)modseq);
    db_bind_int(statement, 4, content_id);
    db_bind_int(statement, 5, (int64_t)append->raw.len);
    db_bind_text(statement, 6, str_from_c(internal));
    db_bind_int(statement, 7, append->internal_zone_minutes);
    db_bind_text(statement, 8, str_from_c(now));
    db_bind_int(statement, 9, (int64_t)vault_line_ends_octets(&line_ends));
    if (summary->sent_is_known)
        db_bind_int(statement, 10, summary->sent_day);
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
    if (append->is_utf8)
        TRY(content_note_utf8(vault, task, content_id, append->raw, summary));
    TRY(facts_add_identity(vault, task, content_id, summary));
    TRY(facts_add_preview(vault, task, content_id, append->raw, &summary->structure));
    TRY(insert_message(vault, task, message_key(folder->id, uid), append, summary, modseq,
                       content_id));
    count_message(vault, folder, append->flags, append->raw.len);
    vault_note_messages(vault, folder, modseq, uid, uid);
    return ERR_OK;
}

/* A message that goes as another comes. */
struct replaced {
    uint64_t flags;
    uint64_t size_bytes;
};

/* `count` messages of `bytes` together, for one that goes; NULL: none does. */
static enum err check_room(struct vault *vault, struct task *task, const struct folder *folder,
                           size_t count, uint64_t bytes, const struct replaced *replaced)
{
    uint64_t freed = replaced == NULL ? 0 : replaced->size_bytes;

    if (folder == NULL || !folder->is_selectable)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    if (bytes > freed && (bytes - freed > vault->limit_bytes ||
                          vault->size_bytes > vault->limit_bytes - (bytes - freed)))
        return fail(task, ERR_LIMIT, "vault: over quota");
    if (replaced == NULL &&
        (count > vault->limit_messages || vault->message_count > vault->limit_messages - count))
        return fail(task, ERR_LIMIT, "vault: over the quota of messages");
    if (count > UINT32_MAX - folder->uidnext)
        return fail(task, ERR_LIMIT, "vault: the folder's UIDs are used up");
    return ERR_OK;
}

static enum err check_append(struct vault *vault, struct task *task, const struct folder *folder,
                             const struct vault_append *append)
{
    return check_room(vault, task, folder, 1, append->raw.len, NULL);
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
    if (append->uidl.len > 0)
        TRY(uidl_give(vault, task, folder_id, uid, append->uidl));
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
    if (append->uidl.len > 0 && !vault_uidl_is_valid(append->uidl))
        return fail(task, ERR_INVALID, "vault: not a unique-id (RFC 1939 section 7)");
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

/* --- Several at once, and one for another --- */

/* Parses and writes one; what it takes goes before the next. */
static enum err write_one(struct vault *vault, struct task *task, struct folder *folder,
                          const struct vault_append *append, uint32_t *out_uid)
{
    CLEANUP(task_done) struct task parsing;
    struct message_summary summary;
    uint32_t uid = folder->uidnext;

    task_init(&parsing, task->now_ms);
    message_parse(&parsing, append->raw, &summary);
    TRY(write_message(vault, task, folder, append, &summary));
    *out_uid = uid;
    return ERR_OK;
}

static enum err append_all(struct vault *vault, struct task *task, int64_t folder_id,
                           const struct vault_append *appends, size_t count, uint32_t *out_uids)
{
    struct folder *folder = vault_folder_get(vault, folder_id);
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += appends[i].raw.len;
    TRY(check_room(vault, task, folder, count, bytes, NULL));
    for (size_t i = 0; i < count; i++)
        TRY(write_one(vault, task, folder, &appends[i], &out_uids[i]));
    return ERR_OK;
}

enum err vault_message_append_all(struct vault *vault, struct task *task, int64_t folder_id,
                                  const struct vault_append *appends, size_t count,
                                  uint32_t *out_uids)
{
    for (size_t i = 0; i < count; i++)
        if (appends[i].is_delivery || (appends[i].flags >> VAULT_KEYWORD_END & 1) != 0)
            return fail(task, ERR_INVALID, "vault: impossible arguments of an append");
    TRY(vault_write_begin(vault, task));
    return vault_write_end(
        vault, task, append_all(vault, task, folder_id, appends, count, out_uids), VAULT_DURABLE);
}

static enum err look_up_replaced(struct vault *vault, struct task *task, int64_t key,
                                 struct replaced *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT flags, size_bytes FROM message WHERE key = ?1 AND is_expunged = 0",
                   &statement));
    db_bind_int(statement, 1, key);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: the message is gone");
    out->flags = (uint64_t)db_column_int(statement, 0);
    out->size_bytes = (uint64_t)db_column_int(statement, 1);
    return ERR_OK;
}

static void count_replaced(struct vault *vault, struct folder *folder,
                           const struct replaced *replaced)
{
    folder->message_count--;
    folder->unseen_count -= (replaced->flags & VAULT_FLAG_SEEN) == 0;
    folder->deleted_count -= (replaced->flags & VAULT_FLAG_DELETED) != 0;
    folder->size_bytes -= replaced->size_bytes;
    vault->message_count--;
    vault->size_bytes -= replaced->size_bytes;
}

static enum err replace(struct vault *vault, struct task *task, int64_t from_folder_id,
                        uint32_t uid, int64_t to_folder_id, const struct vault_append *append,
                        uint32_t *out_uid)
{
    struct folder *from = vault_folder_get(vault, from_folder_id);
    struct folder *to = vault_folder_get(vault, to_folder_id);
    struct replaced replaced = {0};
    uint64_t modseq;

    if (from == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    TRY(look_up_replaced(vault, task, message_key(from_folder_id, uid), &replaced));
    TRY(check_room(vault, task, to, 1, append->raw.len, &replaced));
    modseq = vault_touch(vault);
    TRY(write_one(vault, task, to, append, out_uid));
    TRY(rows_hide(vault, task, from_folder_id, modseq, &uid, 1, undelete_state(vault)));
    count_replaced(vault, from, &replaced);
    vault_note_messages(vault, from, modseq, 0, 0);
    return ERR_OK;
}

enum err vault_message_replace(struct vault *vault, struct task *task, int64_t from_folder_id,
                               uint32_t uid, int64_t to_folder_id,
                               const struct vault_append *append, uint32_t *out_uid)
{
    if (append->is_delivery || (append->flags >> VAULT_KEYWORD_END & 1) != 0)
        return fail(task, ERR_INVALID, "vault: impossible arguments of an append");
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task,
                           replace(vault, task, from_folder_id, uid, to_folder_id, append, out_uid),
                           VAULT_DURABLE);
}
