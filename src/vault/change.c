/*
 * Who hears of changes, and what changed since a MODSEQ. The newest changes are in a ring that says
 * which UIDs each touched, so that the usual question (what came since a moment ago?) reads a few
 * rows; an older one reads the folder.
 */
#include "vault/change.h"

#include "vault/state.h"

void vault_subscribe(struct vault *vault, struct vault_subscriber *subscriber)
{
    subscriber->next = vault->subscribers;
    vault->subscribers = subscriber;
}

void vault_unsubscribe(struct vault *vault, struct vault_subscriber *subscriber)
{
    for (struct vault_subscriber **at = &vault->subscribers; *at != NULL; at = &(*at)->next) {
        if (*at == subscriber) {
            *at = subscriber->next;
            return;
        }
    }
}

uint64_t vault_folder_modseq(const struct vault *vault, int64_t folder_id)
{
    const struct folder *folder = vault_folder_get(vault, folder_id);

    return folder != NULL && folder->is_selectable ? folder->highest_modseq : 0;
}

bool vault_folder_exists(const struct vault *vault, int64_t folder_id)
{
    return vault_folder_get(vault, folder_id) != NULL;
}

bool vault_folder_is_valid(const struct vault *vault, int64_t folder_id, uint32_t incarnation)
{
    const struct folder *folder = vault_folder_get(vault, folder_id);

    return folder != NULL && folder->is_selectable && folder->incarnation == incarnation;
}

void vault_changed_range(const struct vault *vault, int64_t folder_id, uint64_t since,
                         uint32_t *out_first, uint32_t *out_last)
{
    size_t kept =
        vault->change_count < VAULT_CHANGES_KEPT ? vault->change_count : VAULT_CHANGES_KEPT;

    if (since < vault->changes_floor) {
        *out_first = 1;
        *out_last = UINT32_MAX;
        return;
    }
    *out_first = UINT32_MAX;
    *out_last = 0;
    for (size_t i = 0; i < kept; i++) {
        const struct change *change = &vault->changes[i];

        if (change->folder_id != folder_id || change->modseq <= since || change->last_uid == 0)
            continue;
        if (change->first_uid < *out_first)
            *out_first = change->first_uid;
        if (change->last_uid > *out_last)
            *out_last = change->last_uid;
    }
}

static enum err read_changed(struct vault *vault, struct task *task, int64_t folder_id,
                             uint64_t since, struct vault_changes *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint32_t first_uid, last_uid;
    size_t room = 0;
    bool has_row;

    vault_changed_range(vault, folder_id, since, &first_uid, &last_uid);
    if (last_uid == 0)
        return ERR_OK;
    TRY(db_prepare(vault->db, task,
                   "SELECT key, flags, modseq FROM message WHERE key BETWEEN ?1 AND ?2 "
                   "AND modseq > ?3 AND is_expunged = 0",
                   &statement));
    db_bind_int(statement, 1, message_key(folder_id, first_uid));
    db_bind_int(statement, 2, message_key(folder_id, last_uid));
    db_bind_int(statement, 3, (int64_t)since);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        if (out->changed_count == room)
            out->changed = arena_grow(&task->arena, out->changed, &room, 16, sizeof(*out->changed));
        out->changed[out->changed_count++] = (struct vault_uid_flags){
            .uid = key_uid(db_column_int(statement, 0)),
            .flags = (uint64_t)db_column_int(statement, 1),
            .modseq = (uint64_t)db_column_int(statement, 2),
        };
    }
}

static enum err read_expunged(struct vault *vault, struct task *task, int64_t folder_id,
                              uint64_t since, struct vault_changes *out)
{
    struct vault_uid_range *ranges;
    size_t range_count, count = 0;
    bool is_known;

    TRY(vault_vanished_since(vault, task, folder_id, since, &is_known, &ranges, &range_count));
    out->is_expunged_unknown = !is_known;
    for (size_t i = 0; i < range_count; i++)
        count += (size_t)ranges[i].last - ranges[i].first + 1;
    out->expunged = ARENA_ARRAY(&task->arena, uint32_t, count);
    for (size_t i = 0; i < range_count; i++)
        for (size_t k = 0; k <= ranges[i].last - ranges[i].first; k++)
            out->expunged[out->expunged_count++] = ranges[i].first + (uint32_t)k;
    return ERR_OK;
}

enum err vault_changes_since(struct vault *vault, struct task *task, int64_t folder_id,
                             uint64_t since, struct vault_changes *out)
{
    const struct folder *folder;
    struct vault_changes changes = {0};

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    changes.modseq = folder->highest_modseq;
    if (since < folder->highest_modseq) {
        TRY(read_changed(vault, task, folder_id, since, &changes));
        TRY(read_expunged(vault, task, folder_id, since, &changes));
    }
    *out = changes;
    return ERR_OK;
}
