/*
 * Opening, creating and closing the mailbox file.
 *
 * A new mailbox is made under a temporary name and renamed when it is complete and synced, so that
 * <id>.sqlite is never a half-made file. What a crash leaves is <id>.new…, and the next attempt
 * removes it.
 *
 * Roll-back (design §4): the registry remembers the epoch and the change counter it saw last. A
 * file that is behind gets a new epoch, new UIDVALIDITYs, and a counter ahead of all that was seen,
 * so that no UID, MODSEQ or UIDVALIDITY that a client may know means something else now.
 */
#include "vault/vault.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "vault/folder_mirror.h"
#include "vault/rekey.h"
#include "vault/schema.h"
#include "vault/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    /* A byte that SQLite's own locks, from 0x40000000 on, never touch. */
    LOCK_BYTE = 0x3fffffff,
    /* Of pages: what 20,000 messages are listed, sorted and fetched by, without their text. With 8 MiB
     * half of a FETCH of their envelopes was reading and decrypting pages again. */
    CACHE_KIB = 24 * 1024,
};

static struct str path_of(struct task *task, const struct vault_options *options,
                          const char *suffix)
{
    return arena_printf(&task->arena, "%s/%s%s", options->folder, options->id.text, suffix);
}

/* --- Making one --- */

static enum err insert_mailbox(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char now[CLOCK_ISO_ROOM];

    clock_format_iso(task->now_ms, now);
    TRY(db_prepare(vault->db, task, "INSERT INTO mailbox VALUES (1, ?1, ?2, 1, 1, 1, 1, 0, 0, 0, 0)",
                   &statement));
    db_bind_text(statement, 1, id_str(&vault->id));
    db_bind_text(statement, 2, str_from_c(now));
    return db_run(vault->db, task, statement);
}

static enum err insert_standard_folders(struct vault *vault, struct task *task)
{
    static const struct {
        struct str name;
        enum vault_special_use use;
    } rows[] = {
        {STR_INIT("INBOX"), VAULT_USE_NONE},  {STR_INIT("Drafts"), VAULT_USE_DRAFTS},
        {STR_INIT("Sent"), VAULT_USE_SENT},   {STR_INIT("Junk"), VAULT_USE_JUNK},
        {STR_INIT("Trash"), VAULT_USE_TRASH}, {STR_INIT("Archive"), VAULT_USE_ARCHIVE},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(db_release) sqlite3_stmt *statement = NULL;
        struct folder *folder;

        TRY(vault_folder_insert(vault, task, rows[i].name, rows[i].use, true, &folder));
        TRY(db_prepare(vault->db, task, "INSERT INTO subscription VALUES (?1)", &statement));
        db_bind_text(statement, 1, rows[i].name);
        TRY(db_run(vault->db, task, statement));
    }
    return ERR_OK;
}

static enum err fill_new(struct vault *vault, struct task *task)
{
    enum err err;

    TRY(db_migrate(vault->db, task, vault_schema, vault_schema_count));
    TRY(db_begin(vault->db, task));
    err = insert_mailbox(vault, task);
    if (err != ERR_OK) {
        db_rollback(vault->db);
        return err;
    }
    TRY(db_commit(vault->db, task, false));
    TRY(vault_write_begin(vault, task)); /* reads the mirror, which is stale still */
    (void)vault_touch(vault);
    return vault_write_end(vault, task, insert_standard_folders(vault, task), VAULT_DURABLE);
}

static void remove_unfinished(struct task *task, const struct vault_options *options)
{
    static const char *const suffixes[] = {".new", ".new-wal", ".new-shm", ".new-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        (void)unlink(path_of(task, options, suffixes[i]).ptr);
}

struct vault *vault_new(const struct vault_options *options)
{
    struct vault *vault = NEW(struct vault);

    vault->lock_fd = -1;
    vault->is_stale = true;
    vault->id = options->id;
    vault->log = options->log;
    vault->limit_bytes = options->limit_bytes;
    vault->limit_messages = UINT64_MAX;
    vault->undelete_keep_ms = -1;
    vault->hidden_oldest_ms = INT64_MAX;
    return vault;
}

static enum err make_file(struct task *task, const struct vault_options *options,
                          const struct secret *key)
{
    CLEANUP(vault_close) struct vault *vault = vault_new(options);
    const char *path = path_of(task, options, ".new").ptr;

    TRY(db_open(task, path, DB_CREATE, key, &vault->db));
    return fill_new(vault, task);
}

enum err vault_create(struct task *task, const struct vault_options *options,
                      const struct secret *key, struct vault **out_vault)
{
    const char *path = path_of(task, options, ".sqlite").ptr;
    enum err err;

    if (access(path, F_OK) == 0)
        return fail(task, ERR_EXISTS, "vault: the mailbox file exists");
    remove_unfinished(task, options);
    err = make_file(task, options, key);
    /* Closed, the file is complete: its log was written back, synced and removed. */
    if (err == ERR_OK && access(path_of(task, options, ".new-wal").ptr, F_OK) == 0)
        err = fail(task, ERR_IO, "vault: the new file's log was not written back");
    if (err == ERR_OK && rename(path_of(task, options, ".new").ptr, path) != 0)
        err = fail(task, ERR_IO, "vault: rename: %s", strerror(errno));
    if (err != ERR_OK) {
        remove_unfinished(task, options);
        return err;
    }
    TRY(dir_sync(task, AT_FDCWD, options->folder));
    return vault_open(task, options, key, out_vault);
}

/* --- Opening --- */

/* An open-file-description lock: SQLite's own locks, and forks, leave it alone. */
enum err vault_lock_file(struct task *task, const char *path, int *out_fd)
{
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE, .l_len = 1};

    if (fd < 0 && errno == ENOENT)
        return fail(task, ERR_NOT_FOUND, "vault: no mailbox file");
    if (fd < 0)
        return fail(task, ERR_IO, "vault: open: %s", strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            return fail(task, ERR_BUSY, "vault: another process has the mailbox open");
        return fail(task, ERR_IO, "vault: lock: %s", strerror(errno));
    }
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}

static bool is_behind(const struct vault *vault, const struct vault_options *options)
{
    if (vault->epoch != options->epoch_seen)
        return vault->epoch < options->epoch_seen;
    return vault->change_counter < options->change_counter_seen;
}

static void renumber(struct vault *vault, struct task *task, const struct vault_options *options)
{
    vault->epoch = (vault->epoch > options->epoch_seen ? vault->epoch : options->epoch_seen) + 1;
    if (vault->change_counter < options->change_counter_seen)
        vault->change_counter = options->change_counter_seen;
    for (size_t i = 0; i < vault->folder_count; i++) {
        vault->folders[i]->uidvalidity = vault->folders[i]->incarnation =
            vault_next_uidvalidity(vault, task);
        folder_mirror_soil(vault, vault->folders[i]);
    }
}

static enum err mend_roll_back(struct vault *vault, struct task *task,
                               const struct vault_options *options)
{
    uint64_t modseq;

    if (options->suffix != NULL)
        log_info(vault->log, "a file is numbered anew that is to take a mailbox's place mailbox=%s",
                 vault->id.text);
    else
        log_error(vault->log,
                  "mailbox file was rolled back mailbox=%s epoch=%llu change=%llu seen_epoch=%llu "
                  "seen_change=%llu",
                  vault->id.text, (unsigned long long)vault->epoch,
                  (unsigned long long)vault->change_counter,
                  (unsigned long long)options->epoch_seen,
                  (unsigned long long)options->change_counter_seen);
    TRY(vault_write_begin(vault, task));
    renumber(vault, task, options);
    modseq = vault_touch(vault);
    for (size_t i = 0; i < vault->folder_count; i++)
        vault->folders[i]->highest_modseq = modseq;
    TRY(vault_write_end(vault, task, ERR_OK, VAULT_DURABLE));
    vault->was_rolled_back = true;
    return ERR_OK;
}

static enum err find_purges(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT max(id) FROM purge", &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    vault->purge_open_id = db_column_int(statement, 0);
    vault->has_purges = !db_column_is_null(statement, 0);
    return ERR_OK;
}

enum err vault_open_file(struct vault *vault, struct task *task, const char *path,
                         const struct secret *key)
{
    TRY(db_open(task, path, DB_OPEN, key, &vault->db));
    db_set_cache(vault->db, CACHE_KIB);
    return ERR_OK;
}

enum err vault_open(struct task *task, const struct vault_options *options,
                    const struct secret *key, struct vault **out_vault)
{
    CLEANUP(vault_close) struct vault *vault = vault_new(options);
    const char *path =
        path_of(task, options, options->suffix != NULL ? options->suffix : ".sqlite").ptr;

    TRY(vault_lock_file(task, path, &vault->lock_fd));
    if (options->suffix == NULL)
        vault_rekey_remove_rest(task, options);
    TRY(vault_open_file(vault, task, path, key));
    TRY(db_migrate(vault->db, task, vault_schema, vault_schema_count));
    TRY(vault_state_load(vault, task));
    TRY(find_purges(vault, task));
    vault->changes_floor = vault->change_counter;
    vault->has_words_gone = true; /* perhaps, from an earlier session */
    if (is_behind(vault, options))
        TRY(mend_roll_back(vault, task, options));
    *out_vault = vault;
    vault = NULL;
    return ERR_OK;
}

enum err vault_open_beside(struct task *task, const struct vault_options *options,
                           const struct secret *key, struct vault **out_vault)
{
    CLEANUP(vault_close) struct vault *vault = vault_new(options);

    const char *suffix = options->suffix == NULL ? ".sqlite" : options->suffix;

    TRY(db_open(task, path_of(task, options, suffix).ptr, DB_READ_BESIDE, key, &vault->db));
    TRY(vault_state_load(vault, task));
    *out_vault = vault;
    vault = NULL;
    return ERR_OK;
}

/* What was only noted in memory (vault_folder_take_recent). Not worth a failure. */
static void save_notes(struct vault *vault)
{
    struct task task;

    if (vault->dirty_folders == NULL || vault->is_stale || vault->batch != VAULT_BATCH_NONE ||
        vault_is_broken(vault))
        return;
    task_init(&task, clock_now_ms());
    if (vault_write_begin(vault, &task) == ERR_OK) {
        vault_touch_quietly(vault);
        if (vault_write_end(vault, &task, ERR_OK, VAULT_RELAXED) != ERR_OK)
            log_failure(vault->log, "noting what was seen", &task);
    }
    task_done(&task);
}

static void vault_free(struct vault *vault)
{
    message_list_forget(vault);
    db_close(&vault->db);
    fd_close(&vault->lock_fd);
    ZSTD_freeCCtx(vault->compressor);
    ZSTD_freeDCtx(vault->decompressor);
    vault_state_free(vault);
    mem_free(&vault);
}

void vault_close(struct vault **vault_place)
{
    struct vault *vault = *vault_place;

    if (vault == NULL)
        return;
    *vault_place = NULL;
    if (vault->db != NULL)
        save_notes(vault);
    vault_free(vault);
}

void vault_forget(struct vault **vault_place)
{
    struct vault *vault = *vault_place;

    if (vault == NULL)
        return;
    *vault_place = NULL;
    db_forget(&vault->db);
    vault_free(vault);
}

bool vault_is_open(const struct vault *vault)
{
    return vault->db != NULL;
}

bool vault_was_rolled_back(const struct vault *vault)
{
    return vault->was_rolled_back;
}

bool vault_is_broken(const struct vault *vault)
{
    return db_is_broken(vault->db);
}

void vault_usage(const struct vault *vault, struct vault_usage *out)
{
    out->bytes = vault->size_bytes;
    out->messages = vault->message_count;
    out->limit_bytes = vault->limit_bytes;
    out->limit_messages = vault->limit_messages;
    out->epoch = vault->epoch;
    out->change_counter = vault->change_counter;
}

void vault_set_limit(struct vault *vault, uint64_t limit_bytes)
{
    vault->limit_bytes = limit_bytes;
}

void vault_set_message_limit(struct vault *vault, uint64_t limit_messages)
{
    vault->limit_messages = limit_messages;
}

void vault_set_log_reader(struct vault *vault,
                          void (*on_log)(void *owner, int pages, bool may_wait), void *owner)
{
    db_set_log_reader(vault->db, on_log, owner);
}

void vault_hold_checkpoints(struct vault *vault, bool is_held)
{
    db_hold_checkpoints(vault->db, is_held);
}

bool vault_checkpoints_are_held(const struct vault *vault)
{
    return db_checkpoints_are_held(vault->db);
}
