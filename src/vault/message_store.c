/*
 * Changing flags. First a look at the rows named tells which of them change, which are refused by
 * UNCHANGEDSINCE and which are gone; then each run of neighbouring UIDs is changed
 * (sqlite/patch.h). Where SELECT's list is the folder's still (message_list.c), the look is at
 * that: reading the rows was a third of the work.
 */
#include "vault/message.h"

#include "sqlite/patch.h"
#include "vault/learn.h"
#include "vault/rows.h"

#include <string.h>

struct flag_change {
    enum vault_store_mode mode;
    uint64_t flags;
};

static uint64_t apply(const struct flag_change *change, uint64_t flags)
{
    switch (change->mode) {
    case VAULT_STORE_REPLACE:
        return change->flags;
    case VAULT_STORE_ADD:
        return flags | change->flags;
    case VAULT_STORE_REMOVE:
        return flags & ~change->flags;
    }
    return flags;
}

struct store {
    uint32_t *changing; /* ascending, as all of these */
    size_t changing_count;
    uint32_t *modified;
    size_t modified_count;
    uint32_t *gone;
    size_t gone_count;
    struct vault_uid_flags *now; /* of those that change the modseq is still to come: 0 */
    size_t now_count;
    int64_t unseen_delta, deleted_delta;
    uint64_t since; /* the folder's highest modseq before */
    struct taught {
        uint32_t uid;
        enum learn_kind kind;
    } * taught; /* by $Junk and $NotJunk */
    size_t taught_count;
};

static void look_at(const struct vault *vault, struct store *store,
                    const struct flag_change *change, uint32_t uid, uint64_t flags, uint64_t modseq)
{
    uint64_t after = apply(change, flags);
    enum learn_kind kind;

    store->now[store->now_count++] =
        (struct vault_uid_flags){.uid = uid, .flags = after, .modseq = after == flags ? modseq : 0};
    if (after == flags)
        return;
    store->changing[store->changing_count++] = uid;
    kind = learn_of_flags(vault, after & ~flags, after);
    if (kind != LEARN_NOTHING)
        store->taught[store->taught_count++] = (struct taught){uid, kind};
    store->unseen_delta +=
        (int64_t)((after & VAULT_FLAG_SEEN) == 0) - (int64_t)((flags & VAULT_FLAG_SEEN) == 0);
    store->deleted_delta +=
        (int64_t)((after & VAULT_FLAG_DELETED) != 0) - (int64_t)((flags & VAULT_FLAG_DELETED) != 0);
}

/* One message of a range, or, behind the last, its end: the UIDs before it, from *expected on, are
 * gone. */
static void pass_gone(struct store *store, uint64_t *expected, uint64_t uid)
{
    for (; *expected < uid; ++*expected)
        store->gone[store->gone_count++] = (uint32_t)*expected;
    *expected = uid + 1;
}

static void sort_in(const struct vault *vault, struct store *store,
                    const struct flag_change *change, uint64_t unchanged_since, uint32_t uid,
                    uint64_t flags, uint64_t modseq)
{
    if (modseq > unchanged_since)
        store->modified[store->modified_count++] = uid;
    else
        look_at(vault, store, change, uid, flags, modseq);
}

/* Sorts the UIDs of one range into those that change, are refused, or are gone. */
static enum err look_at_range(struct vault *vault, struct task *task, int64_t folder_id,
                              struct vault_uid_range range, const struct flag_change *change,
                              uint64_t unchanged_since, struct store *store)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint64_t expected = range.first;
    bool has_row;

    TRY(rows_read(vault, task, ROWS_LIVE(", flags, modseq"), folder_id, range, &statement));
    for (;;) {
        uint32_t uid;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        uid = key_uid(db_column_int(statement, 0));
        pass_gone(store, &expected, uid);
        sort_in(vault, store, change, unchanged_since, uid, (uint64_t)db_column_int(statement, 1),
                (uint64_t)db_column_int(statement, 2));
    }
    pass_gone(store, &expected, (uint64_t)range.last + 1);
    return ERR_OK;
}

/* The same from the folder's list. */
static void look_at_listed(const struct vault *vault, const struct vault_uid_flags *messages,
                           size_t count, struct vault_uid_range range,
                           const struct flag_change *change, uint64_t unchanged_since,
                           struct store *store)
{
    uint64_t expected = range.first;

    for (size_t i = message_list_at(messages, count, range.first);
         i < count && messages[i].uid <= range.last; i++) {
        pass_gone(store, &expected, messages[i].uid);
        sort_in(vault, store, change, unchanged_since, messages[i].uid, messages[i].flags,
                messages[i].modseq);
    }
    pass_gone(store, &expected, (uint64_t)range.last + 1);
}

static enum err look_at_all(struct vault *vault, struct task *task, const struct folder *folder,
                            const uint32_t *uids, size_t uid_count,
                            const struct flag_change *change, uint64_t unchanged_since,
                            struct store *store)
{
    size_t listed_count = 0, position = 0;
    const struct vault_uid_flags *listed = message_list_current(vault, folder, &listed_count);
    struct vault_uid_range range;

    while (rows_next_range(uids, uid_count, &position, &range)) {
        if (listed != NULL)
            look_at_listed(vault, listed, listed_count, range, change, unchanged_since, store);
        else
            TRY(look_at_range(vault, task, folder->id, range, change, unchanged_since, store));
    }
    return ERR_OK;
}

static const char *update_sql(enum vault_store_mode mode)
{
    switch (mode) {
    case VAULT_STORE_REPLACE:
        return "UPDATE OR FAIL message SET flags = ?3, modseq = ?4 WHERE key BETWEEN ?1 AND ?2 "
               "AND is_expunged = 0";
    case VAULT_STORE_ADD:
        return "UPDATE OR FAIL message SET flags = flags | ?3, modseq = ?4 "
               "WHERE key BETWEEN ?1 AND ?2 AND is_expunged = 0";
    case VAULT_STORE_REMOVE:
        return "UPDATE OR FAIL message SET flags = flags & ~?3, modseq = ?4 "
               "WHERE key BETWEEN ?1 AND ?2 AND is_expunged = 0";
    }
    return NULL;
}

static struct db_patch_plan plan_of(const struct flag_change *change, uint64_t modseq)
{
    struct db_patch_column flags = {.name = "flags"};

    switch (change->mode) {
    case VAULT_STORE_REPLACE:
        flags.set = change->flags;
        break;
    case VAULT_STORE_ADD:
        flags.keep = UINT64_MAX;
        flags.set = change->flags;
        break;
    case VAULT_STORE_REMOVE:
        flags.keep = ~change->flags;
        break;
    }
    return (struct db_patch_plan){.table = "message",
                                  .columns = {flags, {.name = "modseq", .set = modseq}},
                                  .if_zero = "is_expunged"};
}

/* By a statement, which can do all of them. */
static enum err update_range(struct vault *vault, struct task *task, const struct folder *folder,
                             struct vault_uid_range range, const struct flag_change *change,
                             uint64_t modseq, uint64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, update_sql(change->mode), &statement));
    db_bind_int(statement, 1, message_key(folder->id, range.first));
    db_bind_int(statement, 2, message_key(folder->id, range.last));
    db_bind_int(statement, 3, (int64_t)change->flags);
    db_bind_int(statement, 4, (int64_t)modseq);
    TRY(db_run(vault->db, task, statement));
    *out_count = (uint64_t)sqlite3_changes64(db_handle(vault->db));
    return ERR_OK;
}

static enum err update_ranges(struct vault *vault, struct task *task, struct folder *folder,
                              const struct store *store, const struct flag_change *change,
                              uint64_t modseq)
{
    CLEANUP(db_patch_close) struct db_patch *patch = NULL;
    struct db_patch_plan plan = plan_of(change, modseq);
    struct vault_uid_range range;
    size_t position = 0;

    TRY(db_patch_open(vault->db, task, &plan, &patch));
    while (rows_next_range(store->changing, store->changing_count, &position, &range)) {
        uint64_t count = 0;
        bool is_done = false;

        if (patch != NULL)
            TRY(db_patch_rows(patch, task, message_key(folder->id, range.first),
                              message_key(folder->id, range.last), &count, &is_done));
        if (!is_done) {
            db_patch_close(&patch);
            TRY(update_range(vault, task, folder, range, change, modseq, &count));
        }
        if (count != (uint64_t)range.last - range.first + 1) {
            message_list_forget(vault);
            return fail(task, ERR_CORRUPT, "vault: messages changed that are not the folder's");
        }
    }
    return ERR_OK;
}

static enum err learn(struct vault *vault, struct task *task, int64_t folder_id,
                      const struct store *store)
{
    for (size_t i = 0; i < store->taught_count; i++) {
        CLEANUP(db_release) sqlite3_stmt *statement = NULL;
        bool has_row;

        TRY(db_prepare(vault->db, task, "SELECT content_id FROM message WHERE key = ?1",
                       &statement));
        db_bind_int(statement, 1, message_key(folder_id, store->taught[i].uid));
        TRY(db_step(vault->db, task, statement, &has_row));
        if (has_row)
            TRY(learn_later(vault, task, db_column_int(statement, 0), store->taught[i].kind));
    }
    return ERR_OK;
}

static enum err store_in_change(struct vault *vault, struct task *task, int64_t folder_id,
                                const uint32_t *uids, size_t uid_count,
                                const struct flag_change *change, uint64_t unchanged_since,
                                struct store *store)
{
    struct folder *folder = vault_folder_get(vault, folder_id);
    uint64_t modseq;

    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    store->since = folder->highest_modseq;
    TRY(look_at_all(vault, task, folder, uids, uid_count, change, unchanged_since, store));
    if (store->changing_count == 0)
        return ERR_OK;
    modseq = vault_touch(vault);
    for (size_t i = 0; i < store->now_count; i++)
        if (store->now[i].modseq == 0)
            store->now[i].modseq = modseq;
    TRY(update_ranges(vault, task, folder, store, change, modseq));
    TRY(learn(vault, task, folder_id, store));
    folder->unseen_count = (uint64_t)((int64_t)folder->unseen_count + store->unseen_delta);
    folder->deleted_count = (uint64_t)((int64_t)folder->deleted_count + store->deleted_delta);
    vault_note_messages(vault, folder, modseq, store->changing[0],
                        store->changing[store->changing_count - 1]);
    return ERR_OK;
}

enum err vault_message_store_telling(struct vault *vault, struct task *task, int64_t folder_id,
                                     const uint32_t *uids, size_t uid_count,
                                     enum vault_store_mode mode, uint64_t flags,
                                     uint64_t unchanged_since, struct vault_stored *out)
{
    struct flag_change change = {mode, flags};
    struct store store = {0};
    uint32_t *sorted;
    size_t count;

    if ((flags >> VAULT_KEYWORD_END & 1) != 0)
        return fail(task, ERR_INVALID, "vault: no such flag");
    rows_sort(task, uids, uid_count, &sorted, &count);
    store.changing = ARENA_ARRAY(&task->arena, uint32_t, count + 1);
    store.modified = ARENA_ARRAY(&task->arena, uint32_t, count + 1);
    if (flags >> VAULT_KEYWORD_FIRST != 0 && mode != VAULT_STORE_REMOVE)
        store.taught = ARENA_ARRAY(&task->arena, struct taught, count + 1);
    store.gone = ARENA_ARRAY(&task->arena, uint32_t, count + 1);
    store.now = ARENA_ARRAY(&task->arena, struct vault_uid_flags, count + 1);
    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(
        vault, task,
        store_in_change(vault, task, folder_id, sorted, count, &change, unchanged_since, &store),
        VAULT_DURABLE));
    if (store.changing_count > 0)
        message_list_enter(vault, vault_folder_get(vault, folder_id), store.since, store.now,
                           store.now_count);
    *out = (struct vault_stored){
        .modified = store.modified,
        .modified_count = store.modified_count,
        .gone = store.gone,
        .gone_count = store.gone_count,
        .now = store.now,
        .now_count = store.now_count,
    };
    return ERR_OK;
}

enum err vault_message_store(struct vault *vault, struct task *task, int64_t folder_id,
                             const uint32_t *uids, size_t uid_count, enum vault_store_mode mode,
                             uint64_t flags, uint64_t unchanged_since, uint32_t **out_modified,
                             size_t *out_modified_count, uint32_t **out_gone,
                             size_t *out_gone_count)
{
    struct vault_stored stored;

    TRY(vault_message_store_telling(vault, task, folder_id, uids, uid_count, mode, flags,
                                    unchanged_since, &stored));
    *out_modified = stored.modified;
    *out_modified_count = stored.modified_count;
    *out_gone = stored.gone;
    *out_gone_count = stored.gone_count;
    return ERR_OK;
}
