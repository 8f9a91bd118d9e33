#include "backup/restore.h"

#include "backup/kept.h"
#include "backup/segment.h"
#include "backup/snapshot.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"
#include "sqlite/db.h"
#include "vault/dropkeys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 256 * 1024,
    CHECK_TIMEOUT_MS = 60 * 60 * 1000,
    PAGES_AT_A_TIME = 64,
};

/* The second file of restore_rekey. */
#define REKEY_SUFFIX RESTORE_SUFFIX ".rekey"

struct restore {
    struct restore_options options;
    struct secret *mac_key; /* own */
    char *path;             /* own */
    int fd;                 /* own; -1: nothing yet */
    struct manifest manifest;
    uint64_t next_number;
    unsigned char previous[CRYPT_HASH_BYTES];
    uint64_t commits;
    uint32_t page_bytes, db_pages; /* 0: as the base */
    int64_t reached_ms;
    uint64_t epoch, change_counter; /* as restore_finish found them */
    bool is_kept;                   /* it is in its place, or somebody else's now */
};

static struct str path_of(struct task *task, const struct restore_options *options,
                          const char *suffix)
{
    return arena_printf(&task->arena, "%s/%s%s", options->folder, options->mailbox.text, suffix);
}

static enum err rename_to(struct task *task, const char *from, const char *to, unsigned flags)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) != 0)
        return fail(task, ERR_IO, "restore: rename: %s", strerror(errno));
    return ERR_OK;
}

static void remove_built(struct task *task, const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        (void)unlink(arena_printf(&task->arena, "%s%s", path, suffixes[i]).ptr);
}

void restore_remove_rest(struct task *task, const char *folder, const struct id *mailbox)
{
    const struct restore_options options = {.folder = folder, .mailbox = *mailbox};

    remove_built(task, path_of(task, &options, RESTORE_SUFFIX).ptr);
    remove_built(task, path_of(task, &options, REKEY_SUFFIX).ptr);
}

static struct restore *restore_new(struct task *task, const struct restore_options *options)
{
    struct restore *restore = NEW(struct restore);
    struct str path = path_of(task, options, RESTORE_SUFFIX);

    restore->options = *options;
    restore->mac_key = segment_key(options->key);
    restore->path = mem_copy_text(path.ptr, path.len);
    restore->fd = -1;
    return restore;
}

struct restore *restore_begin(struct task *task, const struct restore_options *options)
{
    restore_remove_rest(task, options->folder, &options->mailbox);
    return restore_new(task, options);
}

struct restore *restore_resume(struct task *task, const struct restore_options *options,
                               int64_t reached_ms)
{
    struct restore *restore = restore_new(task, options);

    restore->reached_ms = reached_ms;
    return restore;
}

void restore_leave(struct restore **restore)
{
    (*restore)->is_kept = true;
    restore_free(restore);
}

static enum err check_wanted(const struct restore *restore, struct task *task)
{
    if (restore->options.is_wanted == NULL || restore->options.is_wanted(restore->options.owner))
        return ERR_OK;
    return fail(task, ERR_BUSY, "restore: it was given up");
}

void restore_free(struct restore **restore_place)
{
    struct restore *restore = *restore_place;
    struct task task;

    if (restore == NULL)
        return;
    task_init(&task, 0);
    if (!restore->is_kept)
        restore_remove_rest(&task, restore->options.folder, &restore->options.mailbox);
    task_done(&task);
    fd_close(&restore->fd);
    secret_free(&restore->mac_key);
    mem_free(&restore->path);
    mem_free(restore_place);
}

/* --- The base --- */

static enum err copy(const struct restore *restore, struct task *task, int from,
                     uint64_t *out_size, unsigned char out_digest[CRYPT_HASH_BYTES])
{
    CLEANUP(hasher_free) struct hasher *hash = hasher_new(restore->manifest.digest_kind);
    CLEANUP(mem_free) char *room = mem_room(PIECE_BYTES);
    uint64_t size = 0;

    for (;;) {
        ssize_t got = pread(from, room, PIECE_BYTES, (off_t)size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(task, ERR_IO, "restore: read: %s", strerror(errno));
        if (got == 0)
            break;
        TRY(check_wanted(restore, task));
        hasher_add(hash, str_make(room, (size_t)got));
        TRY(fd_write_all(task, restore->fd, str_make(room, (size_t)got)));
        size += (uint64_t)got;
    }
    hasher_digest(hash, out_digest);
    *out_size = size;
    return ERR_OK;
}

enum err restore_base(struct restore *restore, struct task *task, struct str manifest, int fd)
{
    struct manifest *m = &restore->manifest;
    unsigned char digest[CRYPT_HASH_BYTES];
    uint64_t size = 0;

    TRY(manifest_read(task, manifest, restore->mac_key, m));
    if (!id_equal(&m->mailbox, &restore->options.mailbox))
        return fail(task, ERR_CORRUPT, "restore: the backup is another mailbox's");
    if (m->time_ms > restore->options.until_ms)
        return fail(task, ERR_INVALID, "restore: the backup is of a later time");
    fd_close(&restore->fd);
    restore->fd = open(restore->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (restore->fd < 0)
        return fail(task, errno == ENOSPC ? ERR_LIMIT : ERR_IO, "restore: create: %s",
                    strerror(errno));
    TRY(copy(restore, task, fd, &size, digest));
    if (size != m->size_bytes)
        return fail(task, ERR_CORRUPT, "restore: the backup has %llu bytes, not the %llu of its "
                    "manifest: it was cut or altered", (unsigned long long)size,
                    (unsigned long long)m->size_bytes);
    if (memcmp(digest, m->digest, sizeof(digest)) != 0)
        return fail(task, ERR_CORRUPT,
                    "restore: the backup does not match its digest: it was altered");
    restore->next_number = 1;
    restore->reached_ms = m->time_ms;
    if (id_is_set(&m->generation))
        segment_chain_start(restore->mac_key, &m->generation, restore->previous);
    return ERR_OK;
}

uint64_t restore_next_number(const struct restore *restore)
{
    return restore->next_number;
}

int64_t restore_reached_ms(const struct restore *restore)
{
    return restore->reached_ms;
}

/* --- The log --- */

static bool is_wanted(void *owner, const struct segment_commit *commit)
{
    const struct restore *restore = owner;

    /* Those that came with the base belong to it, whatever the clock said. */
    return restore->commits < restore->manifest.commits ||
           commit->time_ms <= restore->options.until_ms;
}

static enum err on_page(void *owner, struct task *task, uint32_t page, struct str bytes)
{
    struct restore *restore = owner;
    off_t at = (off_t)(page - 1) * restore->page_bytes;
    size_t done = 0;

    while (done < bytes.len) {
        ssize_t put = pwrite(restore->fd, bytes.ptr + done, bytes.len - done, at + (off_t)done);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fail(task, errno == ENOSPC ? ERR_LIMIT : ERR_IO, "restore: write: %s",
                        strerror(errno));
        done += (size_t)put;
    }
    return ERR_OK;
}

static enum err on_commit(void *owner, struct task *task, const struct segment_commit *commit)
{
    struct restore *restore = owner;

    (void)task;
    restore->commits++;
    restore->db_pages = commit->db_pages;
    restore->reached_ms = commit->time_ms;
    return ERR_OK;
}

/* The words for a segment that does not fit, with what can be had all the same. */
static enum err bad_segment(struct restore *restore, struct task *task, const char *what)
{
    char until[CLOCK_ISO_ROOM];

    task_forgive(task);
    clock_format_iso(restore->reached_ms, until);
    return fail(task, ERR_CORRUPT, "log %s, segment %llu: %s; the log before it is good up to %s",
                restore->manifest.generation.text, (unsigned long long)restore->next_number, what,
                until);
}

enum err restore_segment(struct restore *restore, struct task *task, int fd, bool *out_is_enough)
{
    static const struct segment_sink sink = {on_page, on_commit, is_wanted};
    struct segment_summary summary;
    struct segment_head head;
    enum err err = segment_check(task, fd, restore->mac_key, &head, &summary);

    if (err == ERR_CORRUPT)
        return bad_segment(restore, task, "it was cut short or altered");
    TRY(err);
    if (!id_equal(&head.mailbox, &restore->options.mailbox))
        return bad_segment(restore, task, "it is another mailbox's");
    if (!id_equal(&head.generation, &restore->manifest.generation) ||
        head.number != restore->next_number)
        return bad_segment(restore, task, "another one lies in its place");
    if (memcmp(head.previous, restore->previous, sizeof(head.previous)) != 0)
        return bad_segment(restore, task, "it does not follow the one before it");
    restore->page_bytes = head.page_bytes;
    TRY(segment_read(task, fd, &head, &sink, restore, out_is_enough));
    memcpy(restore->previous, summary.mac, sizeof(restore->previous));
    restore->next_number++;
    return ERR_OK;
}

/* --- Is it whole? --- */

/* Opened with `key`, checked to its last page. */
static enum err check(const struct restore *restore, struct task *task, const char *path,
                      const struct secret *key, struct snapshot_result *out)
{
    struct snapshot_request request = {.kind = SNAPSHOT_CHECK,
                                       .target = path,
                                       .key = key,
                                       .timeout_ms = CHECK_TIMEOUT_MS,
                                       .is_wanted = restore->options.is_wanted,
                                       .owner = restore->options.owner};

    snapshot_run(&request, out);
    if (out->err != ERR_OK)
        return fail(task, out->err, "restore: the result: %s", out->words);
    if (!id_equal(&out->mailbox, &restore->options.mailbox))
        return fail(task, ERR_CORRUPT, "restore: the result is another mailbox");
    return ERR_OK;
}

bool restore_is_whole(const struct restore *restore)
{
    return restore->commits >= restore->manifest.commits;
}

enum err restore_finish(struct restore *restore, struct task *task)
{
    struct snapshot_result result;

    if (restore->fd < 0)
        return fail(task, ERR_INVALID, "restore: nothing was restored");
    if (!restore_is_whole(restore))
        return bad_segment(restore, task, "it is missing, and the base is not whole without it");
    if (restore->db_pages != 0 &&
        ftruncate(restore->fd, (off_t)restore->db_pages * restore->page_bytes) != 0)
        return fail(task, ERR_IO, "restore: truncate: %s", strerror(errno));
    if (fsync(restore->fd) != 0)
        return fail(task, ERR_IO, "restore: sync: %s", strerror(errno));
    fd_close(&restore->fd);
    TRY(check(restore, task, restore->path, restore->options.key, &result));
    restore->epoch = result.epoch;
    restore->change_counter = result.change_counter;
    return ERR_OK;
}

void restore_state(const struct restore *restore, uint64_t *out_epoch, uint64_t *out_change_counter)
{
    *out_epoch = restore->epoch;
    *out_change_counter = restore->change_counter;
}

/* --- Under the present key --- */

static enum err copy_pages(const struct restore *restore, struct task *task, struct db *from,
                           struct db *to)
{
    sqlite3_backup *backup =
        sqlite3_backup_init(db_handle(to), "main", db_handle(from), "main");
    int code = SQLITE_OK;
    enum err err = ERR_OK;

    if (backup == NULL)
        return db_fail(to, task, sqlite3_extended_errcode(db_handle(to)), "restore: re-encrypting");
    while (code == SQLITE_OK && err == ERR_OK) {
        err = check_wanted(restore, task);
        if (err == ERR_OK)
            code = sqlite3_backup_step(backup, PAGES_AT_A_TIME);
    }
    (void)sqlite3_backup_finish(backup);
    if (err == ERR_OK && code != SQLITE_DONE)
        return db_fail(to, task, code, "restore: re-encrypting");
    return err;
}

/* Both are closed after it, without a log beside them. */
static enum err copy_under(const struct restore *restore, struct task *task, const char *copy,
                           const struct secret *key)
{
    CLEANUP(db_close) struct db *from = NULL;
    CLEANUP(db_close) struct db *to = NULL;

    TRY(db_open(task, restore->path, DB_OPEN, restore->options.key, &from));
    TRY(db_open(task, copy, DB_CREATE_ASIDE, key, &to));
    return copy_pages(restore, task, from, to);
}

static enum err sync_file(struct task *task, const char *path)
{
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return fail(task, ERR_IO, "restore: sync: %s", strerror(errno));
    return ERR_OK;
}

enum err restore_rekey(struct restore *restore, struct task *task, const struct secret *key)
{
    const char *copy = path_of(task, &restore->options, REKEY_SUFFIX).ptr;
    struct snapshot_result result;

    TRY(copy_under(restore, task, copy, key));
    if (access(arena_printf(&task->arena, "%s-wal", copy).ptr, F_OK) == 0)
        return fail(task, ERR_LIMIT, "restore: the copy's log was not written back");
    TRY(sync_file(task, copy));
    TRY(check(restore, task, copy, key, &result));
    if (result.epoch != restore->epoch || result.change_counter != restore->change_counter)
        return fail(task, ERR_CORRUPT, "restore: re-encrypted, it is not what it was");
    TRY(rename_to(task, copy, restore->path, 0));
    restore->options.key = key;
    return ERR_OK;
}

enum err restore_open(struct restore *restore, struct task *task, struct vault **out_vault)
{
    struct vault_options options = {.folder = restore->options.folder,
                                    .id = restore->options.mailbox,
                                    .limit_bytes = UINT64_MAX,
                                    .log = restore->options.log,
                                    .suffix = RESTORE_SUFFIX};

    return vault_open(task, &options, restore->options.key, out_vault);
}

/* --- In its place --- */

/* What the live mailbox knows of its drop box and its own age; where it does not open, nothing. */
static enum err take_from_live(struct restore *restore, struct task *task,
                               const struct vault_options *live_options,
                               const struct secret *live_key, struct vault_options *options)
{
    CLEANUP(vault_close) struct vault *live = NULL;
    CLEANUP(vault_close) struct vault *restored = NULL;
    struct vault_usage usage, restored_usage;
    struct task aside;
    enum err err = ERR_OK;

    task_init(&aside, task->now_ms);
    if (live_key != NULL)
        err = vault_open(&aside, live_options, live_key, &live);
    if (err != ERR_OK)
        log_failure(restore->options.log, "opening the mailbox that is to be replaced", &aside);
    task_done(&aside);
    if (err == ERR_BUSY)
        return fail(task, ERR_BUSY, "restore: another process has the mailbox open");
    TRY(restore_open(restore, task, &restored));
    vault_usage(restored, &restored_usage);
    options->epoch_seen = live_options->epoch_seen;
    options->change_counter_seen = live_options->change_counter_seen;
    if (live != NULL) {
        vault_usage(live, &usage);
        if (usage.epoch > options->epoch_seen)
            options->epoch_seen = usage.epoch;
        if (usage.change_counter > options->change_counter_seen)
            options->change_counter_seen = usage.change_counter;
        TRY(vault_lane_root_merge(restored, task, live));
    }
    /* Ahead of both, so that opening finds it rolled back, and numbers it anew. */
    if (options->epoch_seen < restored_usage.epoch)
        options->epoch_seen = restored_usage.epoch;
    options->epoch_seen++;
    return ERR_OK;
}

static enum err number_anew(struct task *task, const struct vault_options *options,
                            const struct secret *key, const char *path)
{
    CLEANUP(vault_close) struct vault *vault = NULL;

    TRY(vault_open(task, options, key, &vault));
    vault_close(&vault);
    if (access(arena_printf(&task->arena, "%s-wal", path).ptr, F_OK) == 0)
        return fail(task, ERR_IO, "restore: the restored file's log was not written back");
    return ERR_OK;
}

/* A log that the live file could not be closed with stays beside it: it is no log of the new one. */
static enum err move_old_log(struct task *task, const char *live, const char *before)
{
    const char *log = arena_printf(&task->arena, "%s-wal", live).ptr;

    if (access(log, F_OK) == 0)
        TRY(rename_to(task, log, arena_printf(&task->arena, "%s-wal", before).ptr, 0));
    if (unlink(arena_printf(&task->arena, "%s-shm", live).ptr) != 0 && errno != ENOENT)
        return fail(task, ERR_IO, "restore: %s", strerror(errno));
    return ERR_OK;
}

enum err restore_exchange(struct restore *restore, struct task *task,
                          const struct vault_options *live_options, const struct secret *live_key,
                          struct str *out_kept)
{
    const char *live = path_of(task, &restore->options, ".sqlite").ptr;
    const char *name = kept_name(task, &restore->options.mailbox, task->now_ms);
    const char *before =
        arena_printf(&task->arena, "%s/%s", restore->options.folder, name).ptr;
    struct vault_options options = {.folder = restore->options.folder,
                                    .id = restore->options.mailbox,
                                    .limit_bytes = UINT64_MAX,
                                    .log = restore->options.log,
                                    .suffix = RESTORE_SUFFIX};

    TRY(take_from_live(restore, task, live_options, live_key, &options));
    TRY(number_anew(task, &options, restore->options.key, restore->path));
    if (access(live, F_OK) != 0) {
        TRY(move_old_log(task, live, before));
        TRY(rename_to(task, restore->path, live, 0));
        *out_kept = STR("");
    } else {
        TRY(rename_to(task, restore->path, before, 0));
        TRY(move_old_log(task, live, before));
        TRY(rename_to(task, before, live, RENAME_EXCHANGE));
        *out_kept = str_from_c(name);
    }
    restore->is_kept = true;
    return dir_sync(task, AT_FDCWD, restore->options.folder);
}

enum err restore_key(struct task *task, struct str password, int base_fd, struct secret **out_key)
{
    unsigned char salt[MAILBOX_SALT_BYTES];

    if (pread(base_fd, salt, sizeof(salt), 0) != (ssize_t)sizeof(salt))
        return fail(task, ERR_CORRUPT, "restore: the backup is cut short");
    *out_key = crypt_mailbox_key(password, salt);
    return ERR_OK;
}
