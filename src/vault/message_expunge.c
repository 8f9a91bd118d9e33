/* Expunging: rows are hidden and logged; housekeeping takes them away later (undelete.h: or keeps
 * them for their owner, which costs nothing here). */
#include "vault/message.h"

#include "vault/rows.h"
#include "vault/undelete_keep.h"

struct expunge {
    bool is_of_any; /* also messages without \Deleted */
    uint32_t *uids; /* ascending */
    size_t count;
    uint64_t deleted_count;
    uint64_t size_bytes;
    uint64_t unseen_count;
};

/* Adds those in the range that have \Deleted, or all. */
static enum err look_at_range(struct vault *vault, struct task *task, int64_t folder_id,
                              struct vault_uid_range range, struct expunge *expunge, size_t room)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(rows_read(vault, task, ROWS_LIVE(", flags, size_bytes") " AND (flags & ?3 OR ?4)",
                  folder_id, range, &statement));
    db_bind_int(statement, 3, (int64_t)VAULT_FLAG_DELETED);
    db_bind_int(statement, 4, expunge->is_of_any);
    for (;;) {
        uint64_t flags;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        if (expunge->count == room)
            return fail(task, ERR_CORRUPT, "vault: more deleted messages than were counted");
        expunge->uids[expunge->count++] = key_uid(db_column_int(statement, 0));
        flags = (uint64_t)db_column_int(statement, 1);
        expunge->unseen_count += (flags & VAULT_FLAG_SEEN) == 0;
        expunge->deleted_count += (flags & VAULT_FLAG_DELETED) != 0;
        expunge->size_bytes += (uint64_t)db_column_int(statement, 2);
    }
}

static enum err expunge_in_change(struct vault *vault, struct task *task, int64_t folder_id,
                                  const uint32_t *uids, size_t uid_count, struct expunge *expunge)
{
    struct folder *folder = vault_folder_get(vault, folder_id);
    struct vault_uid_range range = {1, UINT32_MAX};
    size_t position = 0, room;
    uint64_t modseq;

    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    room = expunge->is_of_any ? uid_count : (size_t)folder->deleted_count;
    if (room == 0)
        return ERR_OK;
    expunge->uids = ARENA_ARRAY(&task->arena, uint32_t, room + 1);
    if (uids == NULL)
        TRY(look_at_range(vault, task, folder_id, range, expunge, room));
    while (uids != NULL && rows_next_range(uids, uid_count, &position, &range))
        TRY(look_at_range(vault, task, folder_id, range, expunge, room));
    if (expunge->count == 0)
        return ERR_OK;
    modseq = vault_touch(vault);
    TRY(rows_hide(vault, task, folder_id, modseq, expunge->uids, expunge->count,
                  undelete_state(vault)));
    folder->message_count -= expunge->count;
    folder->deleted_count -= expunge->deleted_count;
    folder->unseen_count -= expunge->unseen_count;
    folder->size_bytes -= expunge->size_bytes;
    vault->message_count -= expunge->count;
    vault->size_bytes -= expunge->size_bytes;
    vault_note_messages(vault, folder, modseq, 0, 0);
    return ERR_OK;
}

enum err vault_message_expunge(struct vault *vault, struct task *task, int64_t folder_id,
                               const uint32_t *uids, size_t uid_count, uint32_t **out_uids,
                               size_t *out_count)
{
    struct expunge expunge = {0};
    uint32_t *sorted = NULL;
    size_t count = 0;

    if (uids != NULL)
        rows_sort(task, uids, uid_count, &sorted, &count);
    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(vault, task,
                        expunge_in_change(vault, task, folder_id, sorted, count, &expunge),
                        VAULT_DURABLE));
    *out_uids = expunge.uids;
    *out_count = expunge.count;
    return ERR_OK;
}

enum err vault_message_remove(struct vault *vault, struct task *task, int64_t folder_id,
                              const uint32_t *uids, size_t uid_count)
{
    struct expunge expunge = {.is_of_any = true};
    uint32_t *sorted;
    size_t count;

    rows_sort(task, uids, uid_count, &sorted, &count);
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task,
                           expunge_in_change(vault, task, folder_id, sorted, count, &expunge),
                           VAULT_DURABLE);
}
