/* Copying a mailbox file to another key, and exchanging the two (rekey.h). */
#include "vault/rekey.h"

#include "base/file.h"
#include "base/memory.h"
#include "vault/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PAGES_AT_A_TIME = 64 };

struct vault_rekey {
    struct vault *vault;                 /* borrowed */
    const struct vault_options *options; /* borrowed */
    struct secret *key;                  /* own; the new one */
    struct db *copy;                     /* own; NULL: it is complete, or was interrupted */
    sqlite3_backup *backup;              /* own; likewise */
    bool is_complete;                    /* all pages are in the file, which is closed */
    sqlite3_int64 changes;               /* of the live connection, as the last page was copied */
    uint64_t done, total;                /* pages */
};

static const char *path_of(struct task *task, const struct vault_options *options,
                           const char *suffix)
{
    return arena_printf(&task->arena, "%s/%s%s", options->folder, options->id.text, suffix).ptr;
}

void vault_rekey_remove_rest(struct task *task, const struct vault_options *options)
{
    static const char *const suffixes[] = {VAULT_REKEY_SUFFIX, VAULT_REKEY_SUFFIX "-wal",
                                           VAULT_REKEY_SUFFIX "-shm",
                                           VAULT_REKEY_SUFFIX "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        (void)unlink(path_of(task, options, suffixes[i]));
}

static enum err begin_copy(struct vault_rekey *rekey, struct task *task)
{
    vault_rekey_remove_rest(task, rekey->options);
    TRY(db_open(task, path_of(task, rekey->options, VAULT_REKEY_SUFFIX), DB_CREATE_ASIDE,
                rekey->key, &rekey->copy));
    rekey->backup = sqlite3_backup_init(db_handle(rekey->copy), "main",
                                        db_handle(rekey->vault->db), "main");
    if (rekey->backup == NULL)
        return db_fail(rekey->copy, task, sqlite3_extended_errcode(db_handle(rekey->copy)),
                       "vault: copying");
    return ERR_OK;
}

enum err vault_rekey_begin(struct vault *vault, struct task *task,
                           const struct vault_options *options, const struct secret *new_key,
                           struct vault_rekey **out_rekey)
{
    CLEANUP(vault_rekey_free) struct vault_rekey *rekey = NULL;

    TRY(vault_check(vault, task));
    rekey = NEW(struct vault_rekey);
    rekey->vault = vault;
    rekey->options = options;
    rekey->key = secret_copy(secret_str(new_key));
    TRY(begin_copy(rekey, task));
    vault->rekey = rekey;
    *out_rekey = rekey;
    rekey = NULL;
    return ERR_OK;
}

void vault_prepare_fork(struct vault *vault)
{
    struct vault_rekey *rekey = vault == NULL ? NULL : vault->rekey;

    if (rekey == NULL || rekey->backup == NULL)
        return;
    (void)sqlite3_backup_finish(rekey->backup);
    rekey->backup = NULL;
    db_close(&rekey->copy);
}

/* All pages are there: into the file with them. */
static enum err close_copy(struct vault_rekey *rekey, struct task *task)
{
    int code = sqlite3_backup_finish(rekey->backup);

    rekey->backup = NULL;
    if (code != SQLITE_OK)
        return db_fail(rekey->copy, task, code, "vault: copying");
    rekey->changes = sqlite3_total_changes64(db_handle(rekey->vault->db));
    db_close(&rekey->copy);
    if (access(path_of(task, rekey->options, VAULT_REKEY_SUFFIX "-wal"), F_OK) == 0)
        return fail(task, ERR_LIMIT, "vault: the copy's log was not written back");
    rekey->is_complete = true;
    return ERR_OK;
}

enum err vault_rekey_copy(struct vault_rekey *rekey, struct task *task, bool *out_is_done)
{
    int code;

    *out_is_done = false;
    if (rekey->backup == NULL)
        TRY(begin_copy(rekey, task));
    code = sqlite3_backup_step(rekey->backup, PAGES_AT_A_TIME);
    rekey->total = (uint64_t)sqlite3_backup_pagecount(rekey->backup);
    rekey->done = rekey->total - (uint64_t)sqlite3_backup_remaining(rekey->backup);
    if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return ERR_OK;
    if (code != SQLITE_DONE)
        return db_fail(rekey->copy, task, code, "vault: copying");
    *out_is_done = true;
    return close_copy(rekey, task);
}

void vault_rekey_progress(const struct vault_rekey *rekey, uint64_t *out_done, uint64_t *out_total)
{
    *out_done = rekey->done;
    *out_total = rekey->total;
}

bool vault_rekey_is_current(const struct vault_rekey *rekey)
{
    return rekey->is_complete && rekey->vault->batch == VAULT_BATCH_NONE &&
           sqlite3_total_changes64(db_handle(rekey->vault->db)) == rekey->changes;
}

static enum err reopen(struct vault_rekey *rekey, struct task *task, const struct secret *key)
{
    return vault_open_file(rekey->vault, task, path_of(task, rekey->options, ".sqlite"), key);
}

static enum err exchange_files(struct vault_rekey *rekey, struct task *task)
{
    /* What the child that read the copy left beside it: an empty log, which nobody has open. */
    (void)unlink(path_of(task, rekey->options, VAULT_REKEY_SUFFIX "-wal"));
    (void)unlink(path_of(task, rekey->options, VAULT_REKEY_SUFFIX "-shm"));
    /* That the live file's log is gone is on the disk before another file has its name. */
    TRY(dir_sync(task, AT_FDCWD, rekey->options->folder));
    if (renameat2(AT_FDCWD, path_of(task, rekey->options, VAULT_REKEY_SUFFIX), AT_FDCWD,
                  path_of(task, rekey->options, ".sqlite"), RENAME_EXCHANGE) != 0)
        return fail(task, ERR_IO, "vault: exchange: %s", strerror(errno));
    return dir_sync(task, AT_FDCWD, rekey->options->folder);
}

enum err vault_rekey_exchange(struct vault_rekey *rekey, struct task *task)
{
    struct vault *vault = rekey->vault;
    int lock_fd = -1;

    if (!vault_rekey_is_current(rekey) || db_is_used(vault->db))
        return fail(task, ERR_BUSY, "vault: it is being used");
    TRY(vault_lock_file(task, path_of(task, rekey->options, VAULT_REKEY_SUFFIX), &lock_fd));
    if (!db_settle(vault->db)) { /* its log is empty, or somebody reads it */
        fd_close(&lock_fd);
        return fail(task, ERR_BUSY, "vault: another process reads it");
    }
    db_close(&vault->db);
    if (access(path_of(task, rekey->options, ".sqlite-wal"), F_OK) == 0) {
        fd_close(&lock_fd);
        return fail(task, ERR_IO, "vault: the log stays");
    }
    if (exchange_files(rekey, task) != ERR_OK || reopen(rekey, task, rekey->key) != ERR_OK) {
        fd_close(&lock_fd);
        return task->err;
    }
    fd_close(&vault->lock_fd);
    vault->lock_fd = lock_fd;
    vault_rekey_remove_rest(task, rekey->options);
    return ERR_OK;
}

void vault_rekey_free(struct vault_rekey **rekey_place)
{
    struct vault_rekey *rekey = *rekey_place;
    struct task task;

    if (rekey == NULL)
        return;
    rekey->vault->rekey = NULL;
    if (rekey->backup != NULL)
        (void)sqlite3_backup_finish(rekey->backup);
    db_close(&rekey->copy);
    secret_free(&rekey->key);
    if (rekey->vault->db != NULL) { /* else whoever opens the file next sees which is which */
        task_init(&task, 0);
        vault_rekey_remove_rest(&task, rekey->options);
        task_done(&task);
    }
    mem_free(rekey_place);
}
