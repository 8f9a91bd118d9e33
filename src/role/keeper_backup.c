/*
 * The account database's own backup: a copy, a slice at a time so that logins have their turn, which is
 * opened and checked, and given to the archivist. Encrypted as the database is, with a key of the host
 * key's. Hourly, if anything was written since the last.
 */
#include "role/keeper.h"

#include "backup/name.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/crypt.h"
#include "secret/hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    struct hasher *hasher; /* own; while the copy is hashed */
    int fd;                     /* own; the copy */
    uint64_t size_bytes, hashed;
    int64_t changes, changes_saved; /* when this copy, and the last good one, began */
    uint64_t tag;               /* of the put that is under way; 0: none */
    uint64_t last_tag;
};

static void end(struct keeper_backup *backup, int64_t next_ms)
{
    account_copy_free(&backup->copy);
    hasher_free(&backup->hasher);
    fd_close(&backup->fd);
    backup->tag = 0;
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

static enum err begin_hashing(struct keeper_backup *backup, struct task *task)
{
    struct str path =
        arena_printf(&task->arena, "%s/backup.sqlite", backup->keeper->folder);
    struct stat status;

    TRY(account_copy_end(backup->copy, task));
    backup->fd = open(path.ptr, O_RDONLY | O_CLOEXEC);
    if (backup->fd < 0 || fstat(backup->fd, &status) != 0)
        return fail(task, ERR_IO, "its copy: %s", strerror(errno));
    account_copy_free(&backup->copy); /* its name goes, too */
    backup->size_bytes = (uint64_t)status.st_size;
    backup->hashed = 0;
    backup->hasher = hasher_new(STR(""));
    return ERR_OK;
}

/* Which host key opens a copy, without saying anything of it; and whose it is, should two hosts share a
 * destination. Eight hexadecimal digits. */
static struct str host_mark(const struct keeper *keeper, struct task *task)
{
    unsigned char hash[CRYPT_HASH_BYTES];

    crypt_hash(secret_str(keeper->drop_root), STR("sealpost host mark"), STR(""), hash);
    return arena_printf(&task->arena, "%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
}

static enum err send_it(struct keeper_backup *backup, struct task *task)
{
    struct wire_channel *archivist =
        role_peer(backup->keeper->process, WIRE_ROLE_ARCHIVIST, 0);
    unsigned char digest[CRYPT_HASH_BYTES];
    char stamp[BACKUP_STAMP_ROOM], name[BACKUP_STAMP_ROOM + 32];
    struct wire_backup_put body = {.size_bytes = backup->size_bytes};

    hasher_digest(backup->hasher, digest);
    hasher_free(&backup->hasher);
    backup_stamp_format(clock_now_ms(), stamp);
    (void)snprintf(name, sizeof(name), "account/%s-%.*s.sqlite", stamp,
                   STR_ARG(host_mark(backup->keeper, task)));
    body.name = str_from_c(name);
    body.digest = str_make(digest, sizeof(digest));
    if (archivist == NULL ||
        wire_send(archivist, WIRE_BACKUP_PUT, backup->last_tag + 1, &body, &backup->fd, 1) !=
            ERR_OK)
        return fail(task, ERR_BUSY, "the archivist is away");
    backup->tag = ++backup->last_tag;
    fd_close(&backup->fd);
    return ERR_OK;
}

static enum err hash_slice(struct keeper_backup *backup, struct task *task)
{
    CLEANUP(buf_free) struct buf slice;
    char *room;
    ssize_t got;

    buf_init(&slice, SIZE_MAX);
    TRY(buf_reserve(&slice, SLICE_BYTES, &room));
    got = pread(backup->fd, room, SLICE_BYTES, (off_t)backup->hashed);
    if (got <= 0)
        return fail(task, ERR_IO, "its copy cannot be read");
    hasher_add(backup->hasher, str_make(room, (size_t)got));
    backup->hashed += (uint64_t)got;
    return backup->hashed < backup->size_bytes ? ERR_OK : send_it(backup, task);
}

static enum err step(struct keeper_backup *backup, struct task *task)
{
    bool is_done = false;

    if (backup->hasher != NULL)
        return hash_slice(backup, task);
    if (backup->copy == NULL)
        return begin(backup, task);
    TRY(account_copy_step(backup->copy, task, SLICE_PAGES, &is_done));
    return is_done ? begin_hashing(backup, task) : ERR_OK;
}

static void on_time(void *owner)
{
    struct keeper_backup *backup = owner;
    struct task task;

    if (backup->copy == NULL && backup->hasher == NULL &&
        account_changes(backup->keeper->database) == backup->changes_saved) {
        end(backup, EVERY_MS);
        return;
    }
    task_init(&task, clock_now_ms());
    if (step(backup, &task) != ERR_OK)
        give_up(backup, task.words);
    else if (backup->tag == 0)
        net_timer_start(backup->timer, SLICE_PAUSE_MS);
    task_done(&task);
}

void keeper_backup_answered(struct keeper *keeper, const struct wire_message *message)
{
    struct keeper_backup *backup = keeper->backup;
    const struct wire_backup_put_reply *reply = &message->body.backup_put_reply;
    char words[200];

    if (backup == NULL || backup->tag == 0 || message->tag != backup->tag)
        return;
    if (reply->status == WIRE_OK) {
        backup->changes_saved = backup->changes;
        end(backup, EVERY_MS);
        return;
    }
    (void)snprintf(words, sizeof(words), "%.*s", STR_ARG(str_upto(reply->words, 180)));
    give_up(backup, words);
}

void keeper_backup_archivist_gone(struct keeper *keeper)
{
    if (keeper->backup != NULL && keeper->backup->tag != 0)
        give_up(keeper->backup, "the archivist ended");
}

void keeper_backup_start(struct keeper *keeper)
{
    struct keeper_backup *backup;

    if (role_config(keeper->process)->backup.len == 0)
        return;
    backup = NEW(struct keeper_backup);
    backup->keeper = keeper;
    backup->fd = -1;
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
    hasher_free(&backup->hasher);
    fd_close(&backup->fd);
    net_timer_free(&backup->timer);
    mem_free(&keeper->backup);
}
