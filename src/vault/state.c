/* The mirror of folders and counters, and the frame of every change (state.h). */
#include "vault/state.h"

#include "base/memory.h"
#include "vault/facts.h"
#include "vault/folder_contents.h"
#include "vault/folder_mirror.h"
#include "vault/index.h"
#include "vault/learn.h"
#include "vault/sort_keep.h"
#include "vault/undelete_keep.h"

#include <assert.h>
#include <string.h>

/* --- Reading the mirror --- */

static void free_keyword(struct vault *vault, unsigned bit)
{
    char *name = (char *)(uintptr_t)vault->keywords[bit].ptr;

    mem_free(&name);
    vault->keywords[bit] = str_make(NULL, 0);
}

static void free_metadata_notes(struct vault *vault)
{
    for (size_t i = 0; i < vault->metadata_note_count; i++) {
        char *entry = (char *)(uintptr_t)vault->metadata_notes[i].entry.ptr;

        mem_free(&entry);
    }
    vault->metadata_note_count = 0;
}

void vault_state_free(struct vault *vault)
{
    folder_contents_forget(vault);
    free_metadata_notes(vault);
    mem_free(&vault->metadata_notes);
    folder_mirror_clear(vault);
    for (unsigned bit = 0; bit < ARRAY_LEN(vault->keywords); bit++)
        free_keyword(vault, bit);
    mem_free(&vault->folders);
    mem_free(&vault->folders_by_name);
    mem_free(&vault->notes);
}

static struct str copy_name(struct str name)
{
    return str_make(mem_copy_text(name.ptr, name.len), name.len);
}

#define FOLDER_COLUMNS                                                                             \
    "SELECT id, name, special_use, is_selectable, uidvalidity, uidnext, first_recent_uid, "        \
    "highest_modseq, message_count, unseen_count, deleted_count, size_bytes, "

static enum err read_folders(struct vault *vault, struct task *task, const char *sql)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, sql, &statement));
    for (;;) {
        struct folder *folder;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        folder =
            folder_mirror_add(vault, db_column_int(statement, 0), db_column_text(statement, 1));
        folder->use = (enum vault_special_use)db_column_int(statement, 2);
        folder->is_selectable = db_column_int(statement, 3) != 0;
        folder->uidvalidity = (uint32_t)db_column_int(statement, 4);
        folder->uidnext = (uint32_t)db_column_int(statement, 5);
        folder->first_recent_uid = (uint32_t)db_column_int(statement, 6);
        folder->highest_modseq = (uint64_t)db_column_int(statement, 7);
        folder->message_count = (uint64_t)db_column_int(statement, 8);
        folder->unseen_count = (uint64_t)db_column_int(statement, 9);
        folder->deleted_count = (uint64_t)db_column_int(statement, 10);
        folder->size_bytes = (uint64_t)db_column_int(statement, 11);
        folder->incarnation = (uint32_t)db_column_int(statement, 12);
    }
}

/* `sql`: FOLDER_COLUMNS and the incarnation, which files of earlier versions do not have. */
static enum err load_folders(struct vault *vault, struct task *task, const char *sql)
{
    enum err err;

    folder_mirror_clear(vault);
    folder_mirror_sort_begin(vault);
    err = read_folders(vault, task, sql);
    folder_mirror_sort_end(vault);
    return err;
}

/* Names that are there already stay where they are: callers have borrowed them. */
static enum err load_keywords(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint64_t found = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT bit, name FROM keyword", &statement));
    for (;;) {
        int64_t bit;
        struct str name;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        bit = db_column_int(statement, 0);
        name = db_column_text(statement, 1);
        if (bit < VAULT_KEYWORD_FIRST || bit >= VAULT_KEYWORD_END)
            return fail(task, ERR_CORRUPT, "vault: a keyword has an impossible bit");
        found |= UINT64_C(1) << bit;
        if (vault->keywords[bit].ptr != NULL && str_equal(vault->keywords[bit], name))
            continue;
        free_keyword(vault, (unsigned)bit);
        vault->keywords[bit] = copy_name(name);
    }
    for (unsigned bit = 0; bit < ARRAY_LEN(vault->keywords); bit++) {
        if ((found >> bit & 1) == 0)
            free_keyword(vault, bit);
    }
    keyword_note_state(vault);
    return ERR_OK;
}

static enum err load_mailbox(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT mailbox_id, epoch, change_counter, next_uidvalidity, next_content_id, "
                   "size_bytes, message_count, hidden_bytes, hidden_count FROM mailbox",
                   &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_CORRUPT, "vault: the mailbox row is missing");
    if (!str_equal(db_column_text(statement, 0), id_str(&vault->id)))
        return fail(task, ERR_CORRUPT, "vault: the file is another mailbox's");
    vault->epoch = (uint64_t)db_column_int(statement, 1);
    vault->change_counter = (uint64_t)db_column_int(statement, 2);
    vault->next_uidvalidity = (uint32_t)db_column_int(statement, 3);
    vault->next_content_id = db_column_int(statement, 4);
    vault->size_bytes = (uint64_t)db_column_int(statement, 5);
    vault->message_count = (uint64_t)db_column_int(statement, 6);
    vault->hidden_bytes = (uint64_t)db_column_int(statement, 7);
    vault->hidden_count = (uint64_t)db_column_int(statement, 8);
    return ERR_OK;
}

enum err vault_state_load(struct vault *vault, struct task *task)
{
    vault->is_stale = true;
    folder_contents_forget(vault);
    message_list_forget(vault);
    vault->former_count = -1;
    TRY(load_mailbox(vault, task));
    TRY(load_folders(vault, task, FOLDER_COLUMNS "incarnation FROM folder"));
    TRY(load_keywords(vault, task));
    TRY(facts_load_identities(vault, task));
    TRY(facts_load_previews(vault, task));
    TRY(index_load(vault, task));
    TRY(sort_load(vault, task));
    TRY(learn_load(vault, task));
    TRY(undelete_load(vault, task));
    vault->is_mailbox_dirty = false;
    vault->is_stale = false;
    return ERR_OK;
}

enum err vault_state_load_mail(struct vault *vault, struct task *task)
{
    TRY(load_folders(vault, task, FOLDER_COLUMNS "uidvalidity FROM folder"));
    TRY(load_keywords(vault, task));
    vault->is_stale = false;
    return ERR_OK;
}

enum err vault_check(struct vault *vault, struct task *task)
{
    if (db_is_broken(vault->db))
        return fail(task, ERR_IO, "vault: an earlier sync failed, it must be reopened");
    if (vault->is_stale)
        return vault_state_load(vault, task);
    return ERR_OK;
}

/* --- A new folder --- */

/* Seconds since 1970 where possible: later than any that a lost future of this file gave out. */
uint32_t vault_next_uidvalidity(struct vault *vault, struct task *task)
{
    int64_t now_s = task->now_ms / 1000;
    uint32_t value = vault->next_uidvalidity;

    if (now_s > value && now_s < UINT32_MAX)
        value = (uint32_t)now_s;
    vault->next_uidvalidity = value + 1;
    vault->is_mailbox_dirty = true;
    return value;
}

enum err vault_folder_insert(struct vault *vault, struct task *task, struct str name,
                             enum vault_special_use use, bool is_selectable,
                             struct folder **out_folder)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint32_t uidvalidity = vault_next_uidvalidity(vault, task);
    struct folder *folder;

    *out_folder = NULL;
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO folder(name, special_use, is_selectable, uidvalidity, incarnation) "
                   "VALUES (?1, ?2, ?3, ?4, ?4)",
                   &statement));
    db_bind_text(statement, 1, name);
    db_bind_int(statement, 2, use);
    db_bind_int(statement, 3, is_selectable);
    db_bind_int(statement, 4, uidvalidity);
    TRY(db_run(vault->db, task, statement));
    folder = folder_mirror_add(vault, sqlite3_last_insert_rowid(db_handle(vault->db)), name);
    folder->use = use;
    folder->is_selectable = is_selectable;
    folder->uidvalidity = folder->incarnation = uidvalidity;
    folder->uidnext = 1;
    folder->first_recent_uid = 1;
    folder->highest_modseq = 1;
    *out_folder = folder;
    return ERR_OK;
}

/* --- The frame of a change --- */

static enum err flush_folder(struct vault *vault, struct task *task, struct folder *folder)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "UPDATE folder SET uidnext = ?2, first_recent_uid = ?3, highest_modseq = ?4, "
                   "message_count = ?5, unseen_count = ?6, deleted_count = ?7, size_bytes = ?8, "
                   "uidvalidity = ?9, is_selectable = ?10, special_use = ?11, incarnation = ?12 "
                   "WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, folder->id);
    db_bind_int(statement, 2, folder->uidnext);
    db_bind_int(statement, 3, folder->first_recent_uid);
    db_bind_int(statement, 4, (int64_t)folder->highest_modseq);
    db_bind_int(statement, 5, (int64_t)folder->message_count);
    db_bind_int(statement, 6, (int64_t)folder->unseen_count);
    db_bind_int(statement, 7, (int64_t)folder->deleted_count);
    db_bind_int(statement, 8, (int64_t)folder->size_bytes);
    db_bind_int(statement, 9, folder->uidvalidity);
    db_bind_int(statement, 10, folder->is_selectable);
    db_bind_int(statement, 11, folder->use);
    db_bind_int(statement, 12, folder->incarnation);
    return db_run(vault->db, task, statement);
}

static enum err flush(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    while (vault->dirty_folders != NULL) {
        struct folder *folder = vault->dirty_folders;

        TRY(flush_folder(vault, task, folder));
        folder->is_dirty = false;
        vault->dirty_folders = folder->next_dirty;
    }
    if (!vault->is_mailbox_dirty)
        return ERR_OK;
    TRY(db_prepare(vault->db, task,
                   "UPDATE mailbox SET epoch = ?1, change_counter = ?2, next_uidvalidity = ?3, "
                   "next_content_id = ?4, size_bytes = ?5, message_count = ?6, "
                   "hidden_bytes = ?7, hidden_count = ?8",
                   &statement));
    db_bind_int(statement, 1, (int64_t)vault->epoch);
    db_bind_int(statement, 2, (int64_t)vault->change_counter);
    db_bind_int(statement, 3, vault->next_uidvalidity);
    db_bind_int(statement, 4, vault->next_content_id);
    db_bind_int(statement, 5, (int64_t)vault->size_bytes);
    db_bind_int(statement, 6, (int64_t)vault->message_count);
    db_bind_int(statement, 7, (int64_t)vault->hidden_bytes);
    db_bind_int(statement, 8, (int64_t)vault->hidden_count);
    TRY(db_run(vault->db, task, statement));
    vault->is_mailbox_dirty = false;
    return ERR_OK;
}

/* Nothing of the transaction remains, in the file or in memory. */
static void undo(struct vault *vault, int64_t now_ms)
{
    struct task aside; /* the failure's own words stay in the caller's */

    db_rollback(vault->db);
    vault->is_stale = true;
    vault->note_count = 0;
    free_metadata_notes(vault);
    /* The ring may name changes that did not happen; asking for those means looking. */
    vault->change_count = 0;
    vault->changes_floor = vault->change_counter;
    task_init(&aside, now_ms);
    if (!db_is_broken(vault->db) && vault_state_load(vault, &aside) != ERR_OK)
        log_failure(vault->log, "reading the mailbox anew", &aside);
    task_done(&aside);
}

static void tell_subscribers(struct vault *vault)
{
    size_t count = vault->note_count;

    vault->note_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct vault_subscriber *next;

        for (struct vault_subscriber *s = vault->subscribers; s != NULL; s = next) {
            next = s->next;
            s->on_change(s, vault->notes[i]);
        }
    }
    for (size_t i = 0; i < vault->metadata_note_count; i++) {
        const struct metadata_note *note = &vault->metadata_notes[i];
        struct vault_subscriber *next;

        for (struct vault_subscriber *s = vault->subscribers; s != NULL; s = next) {
            next = s->next;
            if (s->on_metadata != NULL)
                s->on_metadata(s, note->folder_id, note->entry);
        }
    }
    free_metadata_notes(vault);
}

static enum err finish(struct vault *vault, struct task *task, enum err err, bool is_durable)
{
    if (err == ERR_OK)
        err = flush(vault, task);
    if (err == ERR_OK)
        err = db_commit(vault->db, task, is_durable);
    if (err != ERR_OK) {
        undo(vault, task->now_ms);
        return err;
    }
    tell_subscribers(vault);
    return ERR_OK;
}

/* SQLite takes a transaction back by itself after an I/O error, be it one of reading. */
static bool batch_has_failed(const struct vault *vault)
{
    return vault->batch == VAULT_BATCH_FAILED ||
           (vault->batch == VAULT_BATCH_OPEN && sqlite3_get_autocommit(db_handle(vault->db)) != 0);
}

enum err vault_write_begin(struct vault *vault, struct task *task)
{
    assert(!vault->is_writing);
    if (batch_has_failed(vault))
        return fail(task, ERR_IO, "vault: an earlier write of this batch failed");
    TRY(vault_check(vault, task));
    if (vault->batch == VAULT_BATCH_NONE)
        TRY(db_begin(vault->db, task));
    vault->is_writing = true;
    vault->has_touched = false;
    vault->has_modseq = false;
    return ERR_OK;
}

enum err vault_write_end(struct vault *vault, struct task *task, enum err err,
                         enum vault_durability durability)
{
    assert(vault->is_writing);
    vault->is_writing = false;
    if (vault->batch != VAULT_BATCH_NONE) {
        if (err != ERR_OK && vault->has_touched)
            vault->batch = VAULT_BATCH_FAILED;
        return err;
    }
    if (!vault->has_touched) {
        db_rollback(vault->db);
        return err;
    }
    return finish(vault, task, err, durability == VAULT_DURABLE);
}

uint64_t vault_touch(struct vault *vault)
{
    assert(vault->is_writing);
    if (!vault->has_modseq)
        vault->change_counter++;
    vault->has_modseq = true;
    vault->has_touched = true;
    vault->is_mailbox_dirty = true;
    return vault->change_counter;
}

void vault_touch_quietly(struct vault *vault)
{
    assert(vault->is_writing);
    vault->has_touched = true;
}

enum err vault_batch_begin(struct vault *vault, struct task *task)
{
    assert(vault->batch == VAULT_BATCH_NONE && !vault->is_writing);
    TRY(vault_check(vault, task));
    TRY(db_begin(vault->db, task));
    vault->batch = VAULT_BATCH_OPEN;
    return ERR_OK;
}

enum err vault_batch_end(struct vault *vault, struct task *task)
{
    enum err err = ERR_OK;

    assert(vault->batch != VAULT_BATCH_NONE && !vault->is_writing);
    if (batch_has_failed(vault))
        err = fail(task, ERR_IO, "vault: a write of this batch failed");
    vault->batch = VAULT_BATCH_NONE;
    return finish(vault, task, err, true);
}

/* --- Telling of changes --- */

void vault_note(struct vault *vault, int64_t folder_id)
{
    for (size_t i = 0; i < vault->note_count; i++) {
        if (vault->notes[i] == folder_id)
            return;
    }
    if (vault->note_count == vault->note_room) {
        vault->note_room = vault->note_room * 2 + 16;
        vault->notes = mem_resize(vault->notes, vault->note_room, sizeof(*vault->notes));
    }
    vault->notes[vault->note_count++] = folder_id;
}

void vault_note_messages(struct vault *vault, struct folder *folder, uint64_t modseq,
                         uint32_t first_uid, uint32_t last_uid)
{
    struct change *change = &vault->changes[vault->change_count % VAULT_CHANGES_KEPT];

    if (vault->change_count >= VAULT_CHANGES_KEPT)
        vault->changes_floor = change->modseq; /* the oldest gives way */
    *change = (struct change){folder->id, modseq, first_uid, last_uid};
    vault->change_count++;
    folder->highest_modseq = modseq;
    folder_mirror_soil(vault, folder);
    vault_note(vault, folder->id);
}

void vault_note_metadata(struct vault *vault, int64_t folder_id, struct str entry)
{
    if (vault->metadata_note_count == vault->metadata_note_room) {
        vault->metadata_note_room = vault->metadata_note_room * 2 + 16;
        vault->metadata_notes = mem_resize(vault->metadata_notes, vault->metadata_note_room,
                                           sizeof(*vault->metadata_notes));
    }
    vault->metadata_notes[vault->metadata_note_count++] =
        (struct metadata_note){folder_id, copy_name(entry)};
}
