#include "vault/metadata.h"

#include "base/memory.h"
#include "vault/state.h"

static enum err check_folder(struct vault *vault, struct task *task, int64_t folder_id)
{
    const struct folder *folder = folder_id == 0 ? NULL : vault_folder_get(vault, folder_id);

    if (folder_id != 0 && folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    return ERR_OK;
}

/* ---- Reading ---- */

bool vault_metadata_is_below(struct str entry, struct str top, enum vault_metadata_depth depth)
{
    struct str below;

    if (!str_starts_with(entry, top))
        return false;
    below = str_from(entry, top.len);
    if (below.len > 0 && below.ptr[0] != '/')
        return false;
    switch (depth) {
    case VAULT_METADATA_EXACT:
        return below.len == 0;
    case VAULT_METADATA_CHILDREN:
        return below.len == 0 || str_last_index(below, '/') == 0;
    case VAULT_METADATA_ALL_BELOW:
        return true;
    }
    return false;
}

static void add(struct task *task, struct vault_metadata **entries, size_t *count, size_t *room,
                struct vault_metadata entry)
{
    if (*count == *room)
        *entries = arena_grow(&task->arena, *entries, room, 8, sizeof(**entries));
    (*entries)[(*count)++] = entry;
}

enum err vault_metadata_get(struct vault *vault, struct task *task, int64_t folder_id,
                            struct str entry, enum vault_metadata_depth depth,
                            struct vault_metadata **out, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    size_t room = 0;

    TRY(vault_check(vault, task));
    TRY(check_folder(vault, task, folder_id));
    *out = NULL;
    *out_count = 0;
    /* What is below lies between "entry/" and "entry0", the character after the slash. */
    TRY(db_prepare(vault->db, task,
                   "SELECT entry, value FROM metadata WHERE folder_id = ?1 "
                   "AND (entry = ?2 OR (entry > ?2 || '/' AND entry < ?2 || '0')) ORDER BY entry",
                   &statement));
    db_bind_int(statement, 1, folder_id);
    db_bind_text(statement, 2, entry);
    for (;;) {
        struct str name;
        bool has_row;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        name = db_column_text(statement, 0);
        if (!vault_metadata_is_below(name, entry, depth))
            continue;
        add(task, out, out_count, &room,
            (struct vault_metadata){arena_copy(&task->arena, name),
                                    arena_copy(&task->arena, db_column_blob(statement, 1))});
    }
}

/* ---- Writing ---- */

static enum err write(struct vault *vault, struct task *task, int64_t folder_id,
                      const struct vault_metadata *entry)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   entry->value.ptr == NULL
                       ? "DELETE FROM metadata WHERE folder_id = ?1 AND entry = ?2"
                       : "INSERT INTO metadata VALUES (?1, ?2, ?3) ON CONFLICT(folder_id, entry) "
                         "DO UPDATE SET value = excluded.value",
                   &statement));
    db_bind_int(statement, 1, folder_id);
    db_bind_text(statement, 2, entry->entry);
    if (entry->value.ptr != NULL)
        db_bind_blob(statement, 3, entry->value);
    TRY(db_run(vault->db, task, statement));
    vault_note_metadata(vault, folder_id, entry->entry);
    return ERR_OK;
}

static enum err check_totals(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT count(*), coalesce(sum(length(entry) + length(value)), 0) FROM metadata",
                   &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    if (db_column_int(statement, 0) > VAULT_METADATA_ENTRIES_MAX ||
        db_column_int(statement, 1) > VAULT_METADATA_BYTES_MAX)
        return fail(task, ERR_LIMIT, "vault: too many annotations");
    return ERR_OK;
}

/* The totals are looked at when all is written: removing makes room for what is set beside it. */
static enum err set(struct vault *vault, struct task *task, int64_t folder_id,
                    const struct vault_metadata *entries, size_t count)
{
    struct folder *folder = folder_id == 0 ? NULL : vault_folder_get(vault, folder_id);
    uint64_t modseq;

    TRY(check_folder(vault, task, folder_id));
    modseq = vault_touch(vault);
    if (folder != NULL) /* RFC 7162 §3.2: it counts among a mailbox's changes */
        vault_note_messages(vault, folder, modseq, 0, 0);
    for (size_t i = 0; i < count; i++)
        TRY(write(vault, task, folder_id, &entries[i]));
    return check_totals(vault, task);
}

enum err vault_metadata_set(struct vault *vault, struct task *task, int64_t folder_id,
                            const struct vault_metadata *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].value.len > VAULT_METADATA_VALUE_MAX ||
            entries[i].entry.len > VAULT_METADATA_NAME_MAX)
            return fail(task, ERR_LIMIT, "vault: an annotation is too large");
    if (count == 0)
        return ERR_OK;
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, set(vault, task, folder_id, entries, count), VAULT_DURABLE);
}

enum err metadata_copy(struct vault *vault, struct task *task, int64_t from_id, int64_t to_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(
        vault->db, task,
        "INSERT INTO metadata SELECT ?2, entry, value FROM metadata WHERE folder_id = ?1",
        &statement));
    db_bind_int(statement, 1, from_id);
    db_bind_int(statement, 2, to_id);
    TRY(db_run(vault->db, task, statement));
    return check_totals(vault, task);
}

enum err metadata_forget(struct vault *vault, struct task *task, int64_t folder_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "DELETE FROM metadata WHERE folder_id = ?1", &statement));
    db_bind_int(statement, 1, folder_id);
    return db_run(vault->db, task, statement);
}
