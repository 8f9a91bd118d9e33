/*
 * The account database's own backup: a copy, a slice at a time so that logins have their turn, which is
 * opened and checked, and given to the archivist. Encrypted as the database is, with a key of the host
 * key's. Hourly, if anything was written since the last.
 */
#include "role/keeper.h"

#include "backup/copy_put.h"
#include "backup/name.h"
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
    FIRST_MS = 15 * 1000,
    EVERY_MS = 60 * 60 * 1000,
    AGAIN_MS = 5 * 60 * 1000, /* it failed */
    SLICE_PAGES = 64,
    SLICE_PAUSE_MS = 2,
    SLICE_BYTES = 256 * 1024,
};

struct keeper_backup {
    struct keeper *keeper;      /* borrowed */
    struct net_timer *timer;    /* own; the next slice, or backup */
    struct account_copy *copy;  /* own; NULL: none under way */
    struct copy_put *put;       /* own; NULL: none under way */
    int64_t changes, changes_saved; /* when this copy, and the last good one, began */
    uint64_t last_tag;
};

static void end(struct keeper_backup *backup, int64_t next_ms)
{
    account_copy_free(&backup->copy);
    copy_put_free(&backup->put);
    net_timer_start(backup->timer, next_ms);
}

static void give_up(struct keeper_backup *backup, const char *words)
{
    log_warning(backup->keeper->log, "the account database was not backed up: %s", words);
    end(backup, AGAIN_MS);
}

static enum err begin(struct keeper_backup *backup, struct task *task)
{
    struct str path =
        arena_printf(&task->arena, "%s/backup.sqlite", backup->keeper->folder);

    backup->changes = account_changes(backup->keeper->database);
    return account_copy_begin(backup->keeper->database, task, path.ptr, &backup->copy);
}

static struct wire_channel *archivist_of(void *owner)
{
    const struct keeper_backup *backup = owner;

    return role_peer(backup->keeper->process, WIRE_ROLE_ARCHIVIST, 0);
}

static void on_put(void *owner, enum err err, const char *words)
{
    struct keeper_backup *backup = owner;

    backup->put = NULL;
    if (err != ERR_OK) {
        give_up(backup, words);
        return;
    }
    backup->changes_saved = backup->changes;
    end(backup, EVERY_MS);
}

static enum err begin_putting(struct keeper_backup *backup, struct task *task)
{
    struct str path =
        arena_printf(&task->arena, "%s/backup.sqlite", backup->keeper->folder);
    char stamp[BACKUP_STAMP_ROOM], mark[BACKUP_HOST_MARK_LEN + 1], name[BACKUP_STAMP_ROOM + 32];
    struct copy_put_options options = {.loop = role_loop(backup->keeper->process),
                                       .name = name,
                                       .slice_bytes = SLICE_BYTES,
                                       .pause_ms = SLICE_PAUSE_MS,
                                       .tag = ++backup->last_tag,
                                       .archivist = archivist_of,
                                       .on_done = on_put,
                                       .owner = backup};

    TRY(account_copy_end(backup->copy, task));
    options.fd = open(path.ptr, O_RDONLY | O_CLOEXEC);
    if (options.fd < 0)
        return fail(task, ERR_IO, "its copy: %s", strerror(errno));
    account_copy_free(&backup->copy); /* its name goes, too */
    backup_stamp_format(clock_now_ms(), stamp);
    backup_host_mark(backup->keeper->drop_root, mark);
    (void)snprintf(name, sizeof(name), "account/%s-%s.sqlite", stamp, mark);
    backup->put = copy_put_start(&options);
    return ERR_OK;
}

static enum err step(struct keeper_backup *backup, struct task *task)
{
    bool is_done = false;

    if (backup->copy == NULL)
        return begin(backup, task);
    TRY(account_copy_step(backup->copy, task, SLICE_PAGES, &is_done));
    return is_done ? begin_putting(backup, task) : ERR_OK;
}

static void on_time(void *owner)
{
    struct keeper_backup *backup = owner;
    struct task task;

    if (backup->copy == NULL &&
        account_changes(backup->keeper->database) == backup->changes_saved) {
        end(backup, EVERY_MS);
        return;
    }
    task_init(&task, clock_now_ms());
    if (step(backup, &task) != ERR_OK)
        give_up(backup, task.words);
    else if (backup->put == NULL)
        net_timer_start(backup->timer, SLICE_PAUSE_MS);
    task_done(&task);
}

void keeper_backup_answered(struct keeper *keeper, const struct wire_message *message)
{
    if (keeper->backup != NULL)
        copy_put_answered(keeper->backup->put, message);
}

void keeper_backup_archivist_gone(struct keeper *keeper)
{
    if (keeper->backup != NULL)
        copy_put_archivist_gone(keeper->backup->put);
}

void keeper_backup_start(struct keeper *keeper)
{
    struct keeper_backup *backup;

    if (role_config(keeper->process)->backup.len == 0)
        return;
    backup = NEW(struct keeper_backup);
    backup->keeper = keeper;
    backup->changes_saved = -1;
    backup->timer = net_timer_new(role_loop(keeper->process), on_time, backup);
    net_timer_start(backup->timer, FIRST_MS);
    keeper->backup = backup;
}

void keeper_backup_stop(struct keeper *keeper)
{
    struct keeper_backup *backup = keeper->backup;

    if (backup == NULL)
        return;
    account_copy_free(&backup->copy);
    copy_put_free(&backup->put);
    net_timer_free(&backup->timer);
    mem_free(&keeper->backup);
}
