/*
 * Folders. All reading is from the mirror (state.h); only \Recent is counted in the file.
 * INBOX is the name of that folder alone and of no level below another: "inbox" is INBOX to the
 * IMAP engine before it comes here.
 */
#include "vault/folder.h"

#include "base/memory.h"
#include "vault/folder_mirror.h"
#include "vault/former.h"
#include "vault/rows.h"
#include "vault/state.h"
#include "vault/undelete_keep.h"

#include <assert.h>
#include <stdlib.h>

/* --- Names --- */

/* INBOX is the first name. */
static int compare_names(struct str a, struct str b)
{
    bool a_is_inbox = str_equal(a, STR("INBOX")), b_is_inbox = str_equal(b, STR("INBOX"));

    if (a_is_inbox || b_is_inbox)
        return (int)b_is_inbox - (int)a_is_inbox;
    return vault_folder_compare_names(a, b);
}

/* U+0080 to U+009F, U+2028, U+2029 (RFC 9051 §5.1, RFC 6855 §3); the name is UTF-8. */
static bool has_forbidden_character(struct str name)
{
    for (size_t i = 1; i < name.len; i++) {
        unsigned char before = (unsigned char)name.ptr[i - 1], now = (unsigned char)name.ptr[i];

        if (before == 0xc2 && now < 0xa0)
            return true;
        if (i >= 2 && (unsigned char)name.ptr[i - 2] == 0xe2 && before == 0x80 &&
            (now == 0xa8 || now == 0xa9))
            return true;
    }
    return false;
}

enum err vault_folder_check_name(struct task *task, struct str name)
{
    struct str rest = name, level;
    size_t depth = 0;

    if (name.len == 0 || name.len > VAULT_FOLDER_NAME_MAX || !str_is_utf8(name))
        return fail(task, ERR_INVALID, "vault: a folder's name is empty, too long or not UTF-8");
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return fail(task, ERR_INVALID, "vault: a folder's name has a control character");
    }
    if (has_forbidden_character(name))
        return fail(task, ERR_INVALID, "vault: a folder's name has a control character");
    while (str_split(&rest, '/', &level)) {
        if (level.len == 0 || ++depth > VAULT_FOLDER_DEPTH_MAX)
            return fail(task, ERR_INVALID, "vault: a folder's name has empty or too many levels");
    }
    if (name.ptr[name.len - 1] == '/')
        return fail(task, ERR_INVALID, "vault: a folder's name ends with its separator");
    if (str_equal_nocase(name, STR("INBOX")) && !str_equal(name, STR("INBOX")))
        return fail(task, ERR_INVALID, "vault: INBOX is upper case");
    return ERR_OK;
}

/* --- Reading --- */

static enum err is_subscribed(struct vault *vault, struct task *task, struct str name, bool *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "SELECT 1 FROM subscription WHERE name = ?1", &statement));
    db_bind_text(statement, 1, name);
    return db_step(vault->db, task, statement, out);
}

static enum err has_live_below(struct vault *vault, struct task *task, const struct folder *folder,
                               uint32_t uid, bool *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "SELECT 1 FROM message WHERE key BETWEEN ?1 AND ?2 AND is_expunged = 0 LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, message_key(folder->id, 0));
    db_bind_int(statement, 2, message_key(folder->id, uid) - 1);
    return db_step(vault->db, task, statement, out);
}

static enum err count_live_from(struct vault *vault, struct task *task, const struct folder *folder,
                                uint32_t uid, uint32_t *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT count(*) FROM message WHERE key BETWEEN ?1 AND ?2 AND is_expunged = 0",
                   &statement));
    db_bind_int(statement, 1, message_key(folder->id, uid));
    db_bind_int(statement, 2, message_key(folder->id, UINT32_MAX));
    TRY(db_step(vault->db, task, statement, &has_row));
    *out = (uint32_t)db_column_int(statement, 0);
    return ERR_OK;
}

static bool is_known(const struct folder *folder)
{
    const struct recent *known = &folder->recent;

    return known->first_uid == folder->first_recent_uid && known->uidnext == folder->uidnext &&
           known->modseq == folder->highest_modseq && known->message_count == folder->message_count;
}

/* Programs ask over and over, of folders too that nobody ever selects: the messages are counted
 * once a change at most, and never where all are recent. */
static enum err count_recent(struct vault *vault, struct task *task, struct folder *folder,
                             uint32_t *out)
{
    uint32_t count = (uint32_t)folder->message_count;
    bool are_some_old;

    *out = 0;
    if (folder->first_recent_uid >= folder->uidnext)
        return ERR_OK;
    if (!is_known(folder)) {
        TRY(has_live_below(vault, task, folder, folder->first_recent_uid, &are_some_old));
        if (are_some_old)
            TRY(count_live_from(vault, task, folder, folder->first_recent_uid, &count));
        folder->recent = (struct recent){.first_uid = folder->first_recent_uid,
                                         .uidnext = folder->uidnext,
                                         .modseq = folder->highest_modseq,
                                         .message_count = folder->message_count,
                                         .count = count};
    }
    *out = folder->recent.count;
    return ERR_OK;
}

static enum err describe(struct vault *vault, struct task *task, struct folder *folder,
                         struct vault_folder *out)
{
    struct vault_folder description = {
        .id = folder->id,
        .name = arena_copy(&task->arena, folder->name),
        .use = folder->use,
        .is_selectable = folder->is_selectable,
        .has_children = folder_mirror_has_children(vault, folder->name),
        .uidvalidity = folder->uidvalidity,
        .incarnation = folder->incarnation,
        .uidnext = folder->uidnext,
        .highest_modseq = folder->highest_modseq,
        .message_count = (uint32_t)folder->message_count,
        .unseen_count = (uint32_t)folder->unseen_count,
        .deleted_count = (uint32_t)folder->deleted_count,
        .size_bytes = folder->size_bytes,
    };

    TRY(is_subscribed(vault, task, folder->name, &description.is_subscribed));
    TRY(count_recent(vault, task, folder, &description.recent_count));
    *out = description;
    return ERR_OK;
}

enum err vault_folder_list(struct vault *vault, struct task *task,
                           struct vault_folder **out_folders, size_t *out_count)
{
    struct folder *inbox;
    struct vault_folder *folders;
    size_t count = 0;

    TRY(vault_check(vault, task));
    folders = ARENA_ARRAY(&task->arena, struct vault_folder, vault->folder_count + 1);
    inbox = vault_folder_named(vault, STR("INBOX"));
    if (inbox != NULL)
        TRY(describe(vault, task, inbox, &folders[count++]));
    for (size_t i = 0; i < vault->folder_count; i++)
        if (vault->folders_by_name[i] != inbox)
            TRY(describe(vault, task, vault->folders_by_name[i], &folders[count++]));
    *out_folders = folders;
    *out_count = count;
    return ERR_OK;
}

enum err vault_folder_find(struct vault *vault, struct task *task, struct str name,
                           struct vault_folder *out)
{
    struct folder *folder;

    TRY(vault_check(vault, task));
    folder = vault_folder_named(vault, name);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    return describe(vault, task, folder, out);
}

enum err vault_folder_id(struct vault *vault, struct task *task, struct str name,
                         int64_t *out_folder_id)
{
    const struct folder *folder;

    TRY(vault_check(vault, task));
    folder = vault_folder_named(vault, name);
    if (folder == NULL || !folder->is_selectable)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    *out_folder_id = folder->id;
    return ERR_OK;
}

enum err vault_folder_by_id(struct vault *vault, struct task *task, int64_t folder_id,
                            struct vault_folder *out)
{
    struct folder *folder;

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    return describe(vault, task, folder, out);
}

enum err vault_folder_deleted_bytes(struct vault *vault, struct task *task, int64_t folder_id,
                                    uint64_t *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    const struct folder *folder;
    bool has_row;

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    *out = 0;
    if (folder->deleted_count == 0)
        return ERR_OK;
    TRY(db_prepare(vault->db, task,
                   "SELECT coalesce(sum(size_bytes), 0) FROM message WHERE key BETWEEN ?1 AND ?2 "
                   "AND is_expunged = 0 AND flags & ?3",
                   &statement));
    db_bind_int(statement, 1, message_key(folder_id, 1));
    db_bind_int(statement, 2, message_key(folder_id, UINT32_MAX));
    db_bind_int(statement, 3, (int64_t)VAULT_FLAG_DELETED);
    TRY(db_step(vault->db, task, statement, &has_row));
    *out = (uint64_t)db_column_int(statement, 0);
    return ERR_OK;
}

/* --- Creating --- */

bool vault_folder_has_use(const struct vault *vault, enum vault_special_use use)
{
    for (size_t i = 0; use != VAULT_USE_NONE && i < vault->folder_count; i++) {
        if (vault->folders[i]->use == use)
            return true;
    }
    return false;
}

/* The levels above `name` that do not exist; they become ordinary folders. */
static enum err create_parents(struct vault *vault, struct task *task, struct str name)
{
    for (size_t i = 1; i < name.len; i++) {
        struct folder *folder;

        if (name.ptr[i] != '/' || vault_folder_named(vault, str_upto(name, i)) != NULL)
            continue;
        if (vault->folder_count >= VAULT_FOLDERS_MAX)
            return fail(task, ERR_LIMIT, "vault: too many folders");
        TRY(vault_folder_insert(vault, task, str_upto(name, i), VAULT_USE_NONE, true, &folder));
    }
    return ERR_OK;
}

/* A \Noselect name becomes a folder again: a new one, so its UIDVALIDITY is new too. */
static void revive(struct vault *vault, struct task *task, struct folder *folder,
                   enum vault_special_use use)
{
    folder->use = use;
    folder->is_selectable = true;
    folder->uidvalidity = folder->incarnation = vault_next_uidvalidity(vault, task);
    folder_mirror_soil(vault, folder);
}

static size_t missing_levels(struct vault *vault, struct str name)
{
    size_t count = 1;

    for (size_t i = 1; i < name.len; i++) {
        if (name.ptr[i] == '/' && vault_folder_named(vault, str_upto(name, i)) == NULL)
            count++;
    }
    return count;
}

static enum err create(struct vault *vault, struct task *task, struct str name,
                       enum vault_special_use use)
{
    struct folder *folder = vault_folder_named(vault, name);

    if (folder != NULL && folder->is_selectable)
        return fail(task, ERR_EXISTS, "vault: the folder exists");
    if (vault_folder_has_use(vault, use))
        return fail(task, ERR_EXISTS, "vault: a folder with this use exists");
    if (vault->folder_count + missing_levels(vault, name) > VAULT_FOLDERS_MAX)
        return fail(task, ERR_LIMIT, "vault: too many folders");
    (void)vault_touch(vault);
    vault_note(vault, -1);
    if (folder != NULL) {
        revive(vault, task, folder, use);
        return ERR_OK;
    }
    TRY(create_parents(vault, task, name));
    return vault_folder_insert(vault, task, name, use, true, &folder);
}

enum err vault_folder_obtain(struct vault *vault, struct task *task, struct str name,
                             enum vault_special_use use, struct folder **out_folder)
{
    struct folder *folder = vault_folder_named(vault, name);

    if (folder == NULL || !folder->is_selectable) {
        TRY(create(vault, task, name, vault_folder_has_use(vault, use) ? VAULT_USE_NONE : use));
        folder = vault_folder_named(vault, name);
    }
    *out_folder = folder;
    return ERR_OK;
}

enum err vault_folder_create(struct vault *vault, struct task *task, struct str name,
                             enum vault_special_use use)
{
    TRY(vault_folder_check_name(task, name));
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, create(vault, task, name, use), VAULT_DURABLE);
}

/* --- Deleting --- */

static enum err delete_row(struct vault *vault, struct task *task, struct folder *folder)
{
    CLEANUP(db_release) sqlite3_stmt *folder_row = NULL;
    CLEANUP(db_release) sqlite3_stmt *expunges = NULL;

    TRY(former_note(vault, task, folder->name, folder->uidvalidity));
    TRY(db_prepare(vault->db, task, "DELETE FROM folder WHERE id = ?1", &folder_row));
    db_bind_int(folder_row, 1, folder->id);
    TRY(db_run(vault->db, task, folder_row));
    TRY(db_prepare(vault->db, task, "DELETE FROM expunge WHERE folder_id = ?1", &expunges));
    db_bind_int(expunges, 1, folder->id);
    TRY(db_run(vault->db, task, expunges));
    folder_mirror_remove(vault, &folder);
    return ERR_OK;
}

/* Hides all messages of the folder, to be purged; takes them off the counters. */
static enum err empty(struct vault *vault, struct task *task, struct folder *folder)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    if (folder->uidnext == 1)
        return ERR_OK;
    TRY(db_prepare(
        vault->db, task,
        "UPDATE message SET is_expunged = ?3 WHERE key BETWEEN ?1 AND ?2 AND is_expunged = 0",
        &statement));
    db_bind_int(statement, 1, message_key(folder->id, 1));
    db_bind_int(statement, 2, message_key(folder->id, UINT32_MAX));
    db_bind_int(statement, 3, undelete_state(vault));
    TRY(db_run(vault->db, task, statement));
    TRY(rows_purge_later(vault, task, folder->id, 1, UINT32_MAX));
    vault->size_bytes -= folder->size_bytes;
    vault->message_count -= folder->message_count;
    folder->size_bytes = 0;
    folder->message_count = 0;
    folder->unseen_count = 0;
    folder->deleted_count = 0;
    return ERR_OK;
}

/* A \Noselect name is there for its children: it goes with the last of them, and so may the next
 * one above it. */
static enum err drop_empty_parents(struct vault *vault, struct task *task, struct str name)
{
    for (size_t i = name.len; i-- > 0;) {
        struct folder *parent;

        if (name.ptr[i] != '/')
            continue;
        parent = vault_folder_named(vault, str_upto(name, i));
        if (parent == NULL || parent->is_selectable ||
            folder_mirror_has_children(vault, parent->name))
            return ERR_OK;
        TRY(metadata_forget(vault, task, parent->id));
        TRY(delete_row(vault, task, parent));
    }
    return ERR_OK;
}

static enum err delete_folder(struct vault *vault, struct task *task, struct str name)
{
    struct folder *folder = vault_folder_named(vault, name);
    int64_t folder_id;
    uint64_t modseq;

    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    if (str_equal(name, STR("INBOX")))
        return fail(task, ERR_DENIED, "vault: INBOX stays");
    if (!folder->is_selectable && folder_mirror_has_children(vault, name))
        return fail(task, ERR_EXISTS, "vault: the name has folders below it");
    folder_id = folder->id;
    modseq = vault_touch(vault);
    TRY(empty(vault, task, folder));
    TRY(metadata_forget(vault, task, folder_id));
    vault_note_messages(vault, folder, modseq, 0, 0);
    vault_note(vault, -1);
    TRY(undelete_note_folder(vault, task, vault_folder_get(vault, folder_id)));
    if (!folder_mirror_has_children(vault, name)) {
        TRY(delete_row(vault, task, vault_folder_get(vault, folder_id)));
        return drop_empty_parents(vault, task, name);
    }
    /* UIDs go on counting: the hidden rows still have the old ones. */
    folder->is_selectable = false;
    folder->use = VAULT_USE_NONE;
    folder->first_recent_uid = folder->uidnext;
    return ERR_OK;
}

enum err vault_folder_delete(struct vault *vault, struct task *task, struct str name)
{
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, delete_folder(vault, task, name), VAULT_DURABLE);
}

/* --- Renaming --- */

/* It stays the folder that it is, unless a younger one had the name. */
static enum err set_name(struct vault *vault, struct task *task, struct folder *folder,
                         struct str name)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint32_t former;

    TRY(former_note(vault, task, folder->name, folder->uidvalidity));
    TRY(former_uidvalidity(vault, task, name, &former));
    if (folder->uidvalidity < former)
        folder->uidvalidity = vault_next_uidvalidity(vault, task);
    TRY(db_prepare(vault->db, task, "UPDATE folder SET name = ?2, uidvalidity = ?3 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, folder->id);
    db_bind_text(statement, 2, name);
    db_bind_int(statement, 3, folder->uidvalidity);
    TRY(db_run(vault->db, task, statement));
    folder_mirror_set_name(folder, name);
    return ERR_OK;
}

/* INBOX stays, empty, with its annotations (RFC 5464 §4.1); its messages and their UIDs go with a
 * folder of the new name. */
static enum err rename_inbox(struct vault *vault, struct task *task, struct folder *inbox,
                             struct str to)
{
    int64_t inbox_id = inbox->id;
    struct folder *folder;
    uint32_t *uids, *source_uids, *new_uids;
    size_t count;

    TRY(vault_folder_insert(vault, task, to, VAULT_USE_NONE, true, &folder));
    TRY(metadata_copy(vault, task, inbox_id, folder->id));
    TRY(rows_live_uids(vault, task, inbox_id, &uids, &count));
    return rows_copy(vault, task, inbox_id, folder->id, uids, count, true, &source_uids, &new_uids,
                     &count);
}

static struct str moved_name(struct task *task, struct str name, struct str from, struct str to)
{
    return arena_printf(&task->arena, "%.*s%.*s", STR_ARG(to), STR_ARG(str_from(name, from.len)));
}

static enum err check_below(struct vault *vault, struct task *task, struct str from, struct str to)
{
    size_t first, count;

    folder_mirror_at_or_below(vault, from, &first, &count);
    for (size_t i = first; i < first + count; i++) {
        struct str moved = moved_name(task, vault->folders_by_name[i]->name, from, to);

        TRY(vault_folder_check_name(task, moved));
        if (vault_folder_named(vault, moved) != NULL)
            return fail(task, ERR_EXISTS, "vault: a folder of the new name exists");
    }
    return ERR_OK;
}

/* The folder and all below it. */
static enum err set_names(struct vault *vault, struct task *task, struct str from, struct str to)
{
    enum err err = ERR_OK;
    size_t first, count;

    folder_mirror_at_or_below(vault, from, &first, &count);
    folder_mirror_sort_begin(vault);
    for (size_t i = first; i < first + count && err == ERR_OK; i++)
        err = set_name(vault, task, vault->folders_by_name[i],
                       moved_name(task, vault->folders_by_name[i]->name, from, to));
    folder_mirror_sort_end_of(vault, first, count);
    return err;
}

static enum err rename_folder(struct vault *vault, struct task *task, struct str from,
                              struct str to)
{
    struct folder *folder = vault_folder_named(vault, from);

    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    if (vault_folder_named(vault, to) != NULL)
        return fail(task, ERR_EXISTS, "vault: a folder of the new name exists");
    if (vault_folder_is_below(to, from) && !str_equal(from, STR("INBOX")))
        return fail(task, ERR_INVALID, "vault: a folder cannot move below itself");
    if (vault->folder_count + missing_levels(vault, to) > VAULT_FOLDERS_MAX)
        return fail(task, ERR_LIMIT, "vault: too many folders");
    if (!str_equal(from, STR("INBOX")))
        TRY(check_below(vault, task, from, to));
    (void)vault_touch(vault);
    TRY(create_parents(vault, task, to));
    vault_note(vault, -1);
    if (str_equal(from, STR("INBOX")))
        return rename_inbox(vault, task, folder, to);
    TRY(set_names(vault, task, from, to));
    return drop_empty_parents(vault, task, from);
}

enum err vault_folder_rename(struct vault *vault, struct task *task, struct str from, struct str to)
{
    TRY(vault_folder_check_name(task, to));
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, rename_folder(vault, task, from, to), VAULT_DURABLE);
}

/* --- Subscriptions --- */

static enum err subscribe(struct vault *vault, struct task *task, struct str name,
                          bool is_subscribing)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool was_subscribed;

    TRY(is_subscribed(vault, task, name, &was_subscribed));
    if (was_subscribed == is_subscribing)
        return ERR_OK;
    (void)vault_touch(vault);
    vault_note(vault, -1);
    TRY(db_prepare(vault->db, task,
                   is_subscribing ? "INSERT INTO subscription VALUES (?1)"
                                  : "DELETE FROM subscription WHERE name = ?1",
                   &statement));
    db_bind_text(statement, 1, name);
    return db_run(vault->db, task, statement);
}

enum err vault_folder_subscribe(struct vault *vault, struct task *task, struct str name,
                                bool is_subscribing)
{
    if (is_subscribing)
        TRY(vault_folder_check_name(task, name));
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, subscribe(vault, task, name, is_subscribing),
                           VAULT_DURABLE);
}

static int compare_strs(const void *a, const void *b)
{
    return compare_names(*(const struct str *)a, *(const struct str *)b);
}

enum err vault_subscription_list(struct vault *vault, struct task *task, struct str **out_names,
                                 size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct str *names = NULL;
    size_t count = 0, room = 0;
    bool has_row;

    TRY(vault_check(vault, task));
    TRY(db_prepare(vault->db, task, "SELECT name FROM subscription", &statement));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == room)
            names = arena_grow(&task->arena, names, &room, 16, sizeof(*names));
        names[count++] = arena_copy(&task->arena, db_column_text(statement, 0));
    }
    if (count > 1)
        qsort(names, count, sizeof(*names), compare_strs);
    *out_names = names;
    *out_count = count;
    return ERR_OK;
}

/* --- \Recent --- */

enum err vault_folder_take_recent(struct vault *vault, struct task *task, int64_t folder_id,
                                  bool is_read_only, uint32_t *out_first_recent_uid)
{
    struct folder *folder;
    uint32_t first_recent_uid;

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    first_recent_uid = folder->first_recent_uid;
    if (!is_read_only && first_recent_uid < folder->uidnext) {
        /* Written with the next change or at the end: a session that has the
         * folder selected takes every new message, and must not make each arrival two commits.
         * Losing this only shows a message as recent twice. */
        folder->first_recent_uid = folder->uidnext;
        folder_mirror_soil(vault, folder);
    }
    *out_first_recent_uid = first_recent_uid;
    return ERR_OK;
}
