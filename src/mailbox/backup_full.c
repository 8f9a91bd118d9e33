/*
 * Full backups of a mailbox that is open: when one is due, the copy on its way, its manifest, who
 * waits for it, and what the next process has to know of it.
 */
#include "mailbox/backup_internal.h"

#include "backup/name.h"
#include "backup/nameless.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "imap/session.h"
#include "secret/hasher.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- What the last one was, over processes --- */

static int64_t longest_put_off(const struct mailbox_backup *backup)
{
    int64_t interval_ms = (int64_t)backup->mailbox->start->config->backup_interval_ms;

    return interval_ms > MAILBOX_BACKUP_LOOK_MS ? interval_ms : MAILBOX_BACKUP_LOOK_MS;
}

static const char *note_path(const struct mailbox_backup *backup, struct task *task)
{
    return arena_printf(&task->arena, "%s/%s.backup", backup->mailbox->start->mail_folder,
                        backup->mailbox->start->id.text)
        .ptr;
}

/* Not for longer than it would be now, whatever a clock said. */
static void read_note(struct mailbox_backup *backup, struct task *task)
{
    struct mailbox_backup_note *note = &backup->note;
    int64_t since_ms;

    mailbox_backup_note_read(note_path(backup, task), note);
    if (note->put_off_ms > longest_put_off(backup))
        note->put_off_ms = longest_put_off(backup);
    since_ms = task->now_ms - note->failed_ms;
    if (since_ms >= 0 && since_ms < note->put_off_ms)
        backup->retry_at_ms = clock_monotonic_ms() + note->put_off_ms - since_ms;
}

static void write_note(struct mailbox_backup *backup)
{
    struct task task;

    task_init(&task, 0);
    if (mailbox_backup_note_write(&task, note_path(backup, &task), &backup->note) != ERR_OK)
        log_failure(backup->mailbox->start->log, "noting a backup", &task);
    task_done(&task);
}

void mailbox_full_note_last(struct mailbox_backup *backup, int64_t last_ms, uint64_t last_counter)
{
    backup->note = (struct mailbox_backup_note){.last_ms = last_ms, .last_counter = last_counter};
    backup->retry_at_ms = 0;
    write_note(backup);
}

/* --- Who waits for one --- */

static enum err wait_for(struct mailbox_backup *backup, struct task *task, uint64_t number,
                         mailbox_backup_done on_done, void *owner)
{
    for (size_t i = 0; i < ARRAY_LEN(backup->waiters); i++) {
        if (backup->waiters[i].number != 0)
            continue;
        backup->waiters[i] = (struct backup_waiter){number, on_done, owner};
        return ERR_OK;
    }
    return fail(task, ERR_BUSY, "a backup is under way, and too many wait for the next");
}

/* Of the backups up to `number`; one that is told may ask for another. */
static void tell_waiters(struct mailbox_backup *backup, uint64_t number, enum err err,
                         const char *words, bool is_new)
{
    uint64_t size_bytes = backup->full.manifest.size_bytes;

    for (size_t i = 0; i < ARRAY_LEN(backup->waiters); i++) {
        struct backup_waiter one = backup->waiters[i];

        if (one.number == 0 || one.number > number)
            continue;
        backup->waiters[i].number = 0;
        one.on_done(one.owner, err, words, is_new, size_bytes);
    }
}

static bool has_waiters(const struct mailbox_backup *backup)
{
    for (size_t i = 0; i < ARRAY_LEN(backup->waiters); i++) {
        if (backup->waiters[i].number != 0)
            return true;
    }
    return false;
}

/* --- Making one --- */

/* After a failure: not at once, or a destination that refuses would have one copy behind the other
 * made, and the mailbox open for as long. */
void mailbox_full_put_off(struct mailbox_backup *backup)
{
    struct mailbox_backup_note *note = &backup->note;

    note->failed_ms = clock_now_ms();
    note->put_off_ms = note->put_off_ms == 0 ? MAILBOX_BACKUP_LOOK_MS : note->put_off_ms * 2;
    if (note->put_off_ms > longest_put_off(backup))
        note->put_off_ms = longest_put_off(backup);
    backup->retry_at_ms = clock_monotonic_ms() + note->put_off_ms;
    write_note(backup);
}

void mailbox_full_was_taken(struct mailbox_backup *backup)
{
    if (backup->note.put_off_ms == 0)
        return;
    backup->note.failed_ms = backup->note.put_off_ms = backup->retry_at_ms = 0;
    write_note(backup);
}

bool mailbox_full_may_copy(struct mailbox_backup *backup)
{
    int64_t now_ms = clock_monotonic_ms();

    if (backup->peer.is_given_up || now_ms < backup->retry_at_ms)
        return false;
    if (backup_peer_is_there(&backup->peer, now_ms))
        return true;
    mailbox_archive_probe(backup);
    return false;
}

/* An answer that is still to come is for nobody. */
static void let_go(struct mailbox_backup *backup, bool is_stored)
{
    struct backup_full *full = &backup->full;

    net_watch_free(&full->watch);
    snapshot_free(&full->copy);
    mailbox_archive_forget(backup->mailbox, full);
    if (!is_stored)
        nameless_empty(full->own_fd);
    fd_close(&full->own_fd);
    fd_close(&full->fd);
    full->is_active = false;
}

static void end_full(struct mailbox_backup *backup, enum err err, const char *words, bool is_new)
{
    struct backup_full *full = &backup->full;
    uint64_t size_bytes = full->manifest.size_bytes;

    let_go(backup, err == ERR_OK);
    if (err != ERR_OK) {
        if (!backup->mailbox->is_ending)
            mailbox_full_put_off(backup);
        log_error(backup->mailbox->start->log, "backup failed mailbox=%s: %s (%s)",
                  backup->mailbox->start->id.text, words, err_name(err));
    } else if (is_new) {
        log_info(backup->mailbox->start->log, "backup made mailbox=%s bytes=%llu",
                 backup->mailbox->start->id.text, (unsigned long long)size_bytes);
    }
    tell_waiters(backup, full->number, err, words, is_new);
    mailbox_full_begin_next(backup);
    mailbox_check_idle(backup->mailbox);
}

static enum err err_of_status(enum wire_status status)
{
    if (status == WIRE_DISK_FULL)
        return ERR_LIMIT;
    return status == WIRE_DENIED ? ERR_DENIED : ERR_BUSY;
}

static void end_refused(struct mailbox_backup *backup, enum wire_status status,
                        const struct wire_message *message)
{
    char words[TASK_WORDS_MAX];

    snprintf(words, sizeof(words), "the destination did not take it: %.*s",
             message == NULL ? 0 : (int)message->body.backup_put_reply.words.len,
             message == NULL ? "" : message->body.backup_put_reply.words.ptr);
    backup->is_off |= status == WIRE_DISABLED;
    end_full(backup, err_of_status(status), words, false);
}

static void on_manifest_put(void *owner, enum wire_status status, struct wire_message *message)
{
    struct backup_full *full = owner;
    struct mailbox_backup *backup = CONTAINER_OF(full, struct mailbox_backup, full);

    if (status != WIRE_OK) {
        end_refused(backup, status, message);
        return;
    }
    mailbox_full_note_last(backup, full->manifest.time_ms, full->manifest.change_counter);
    end_full(backup, ERR_OK, "", true);
    mailbox_backup_go_on(backup); /* a log that waits with its base */
}

static void on_file_put(void *owner, enum wire_status status, struct wire_message *message)
{
    struct backup_full *full = owner;
    struct mailbox_backup *backup = CONTAINER_OF(full, struct mailbox_backup, full);
    unsigned char digest[CRYPT_HASH_BYTES];
    CLEANUP(buf_free) struct buf json = {0};
    CLEANUP(fd_close) int fd = -1;
    char name[MAILBOX_BACKUP_NAME_ROOM + 8];
    struct task task;

    if (status != WIRE_OK) {
        end_refused(backup, status, message);
        return;
    }
    buf_init(&json, MANIFEST_BYTES_MAX);
    manifest_write(&full->manifest, backup->mac_key, &json);
    hasher_sha256(buf_str(&json), digest);
    snprintf(name, sizeof(name), "%s.json", full->name);
    task_init(&task, clock_now_ms());
    if (memfd_from(&task, buf_str(&json), &fd) == ERR_OK)
        mailbox_archive_put(backup, name, fd, json.len, digest, on_manifest_put, full);
    else
        end_full(backup, task.err, task.words, false);
    task_done(&task);
}

static const char *copy_path(const struct mailbox_backup *backup, struct task *task)
{
    return arena_printf(&task->arena, "%s/%s.copy", backup->mailbox->start->mail_folder,
                        backup->mailbox->start->id.text)
        .ptr;
}

static void send_copy(struct mailbox_backup *backup, struct task *task,
                      const struct snapshot_result *result)
{
    struct backup_full *full = &backup->full;
    char stamp[BACKUP_STAMP_ROOM], name[MAILBOX_BACKUP_NAME_ROOM + 8];

    if (nameless_take(task, copy_path(backup, task), &full->fd, &full->own_fd) != ERR_OK) {
        end_full(backup, task->err, task->words, false);
        return;
    }
    full->manifest.size_bytes = result->size_bytes;
    memcpy(full->manifest.digest, result->digest, sizeof(result->digest));
    full->manifest.epoch = result->epoch;
    full->manifest.change_counter = result->change_counter;
    full->manifest.schema = result->schema;
    backup_stamp_format(full->manifest.time_ms, stamp);
    snprintf(full->name, sizeof(full->name), "full/%s-%llu", stamp,
             (unsigned long long)result->change_counter);
    snprintf(name, sizeof(name), "%s.sqlite", full->name);
    mailbox_archive_put(backup, name, full->fd, result->size_bytes, result->digest, on_file_put,
                        full);
}

static void on_copied(void *owner)
{
    struct mailbox_backup *backup = owner;
    struct backup_full *full = &backup->full;
    struct snapshot_result result;
    struct task task;

    snapshot_collect(full->copy, &result);
    net_watch_free(&full->watch);
    snapshot_free(&full->copy);
    if (result.err != ERR_OK) {
        end_full(backup, result.err, result.words, false);
        return;
    }
    task_init(&task, clock_now_ms());
    send_copy(backup, &task, &result);
    task_done(&task);
}

static enum err begin_full(struct mailbox_backup *backup, struct task *task)
{
    struct mailbox *mailbox = backup->mailbox;
    struct backup_full *full = &backup->full;
    struct snapshot_request request = {.kind = SNAPSHOT_FULL,
                                       .target = copy_path(backup, task),
                                       .key = mailbox->key,
                                       .vault = mailbox->vault,
                                       .timeout_ms = MAILBOX_BACKUP_TIMEOUT_MS};

    request.path = arena_printf(&task->arena, "%s/%s.sqlite", mailbox->start->mail_folder,
                                mailbox->start->id.text)
                       .ptr;
    imap_group_commit(mailbox->appends, clock_now_ms());
    TRY(snapshot_start(task, &request, &full->copy));
    full->manifest = (struct manifest){.mailbox = mailbox->start->id, .time_ms = task->now_ms};
    full->watch = net_watch_new(mailbox->loop, snapshot_fd(full->copy), on_copied, NULL, backup);
    net_watch_want(full->watch, true, false);
    full->is_active = true;
    full->number++;
    return ERR_OK;
}

static bool has_changed(const struct mailbox_backup *backup)
{
    struct vault_usage usage;

    vault_usage(backup->mailbox->vault, &usage);
    return backup->note.last_ms == 0 || usage.change_counter != backup->note.last_counter;
}

/* For those who asked while the last one was made, of which it cannot be told what it has. */
void mailbox_full_begin_next(struct mailbox_backup *backup)
{
    struct task task;

    if (backup->full.is_active || !has_waiters(backup))
        return;
    task_init(&task, clock_now_ms());
    if (backup->is_off)
        tell_waiters(backup, UINT64_MAX, ERR_NOT_FOUND, "no destination is configured", false);
    else if (!has_changed(backup))
        tell_waiters(backup, UINT64_MAX, ERR_OK, "", false);
    else if (begin_full(backup, &task) != ERR_OK)
        tell_waiters(backup, UINT64_MAX, task.err, task.words, false);
    task_done(&task);
}

enum err mailbox_backup_now(struct mailbox *mailbox, struct task *task, mailbox_backup_done on_done,
                            void *owner)
{
    struct mailbox_backup *backup = mailbox->backup;

    if (backup == NULL || backup->is_off)
        return fail(task, ERR_NOT_FOUND, "no destination is configured");
    backup_peer_be_patient(&backup->peer);
    if (backup->full.is_active)
        return wait_for(backup, task, backup->full.number + 1, on_done, owner);
    if (!has_changed(backup)) {
        on_done(owner, ERR_OK, "", false, 0);
        return ERR_OK;
    }
    TRY(begin_full(backup, task));
    return wait_for(backup, task, backup->full.number, on_done, owner);
}

void mailbox_backup_forget(struct mailbox *mailbox, const void *owner)
{
    struct mailbox_backup *backup = mailbox->backup;

    for (size_t i = 0; backup != NULL && i < ARRAY_LEN(backup->waiters); i++) {
        if (backup->waiters[i].owner == owner)
            backup->waiters[i].number = 0;
    }
}

bool mailbox_full_is_due(const struct mailbox_backup *backup)
{
    int64_t since_ms = clock_now_ms() - backup->note.last_ms;

    return !backup->is_off && !backup->full.is_active && !backup->peer.is_given_up &&
           backup->mailbox->vault != NULL && !backup->mailbox->is_ending &&
           clock_monotonic_ms() >= backup->retry_at_ms &&
           (since_ms >= (int64_t)backup->mailbox->start->config->backup_interval_ms ||
            since_ms < 0) &&
           has_changed(backup);
}

void mailbox_full_look(void *owner)
{
    struct mailbox_backup *backup = owner;
    struct task task;

    net_timer_start(backup->full_timer, MAILBOX_BACKUP_LOOK_MS);
    if (!mailbox_full_is_due(backup))
        return;
    backup->is_full_wanted = !mailbox_full_may_copy(backup);
    if (backup->is_full_wanted)
        return;
    task_init(&task, clock_now_ms());
    if (begin_full(backup, &task) != ERR_OK) {
        log_failure(backup->mailbox->start->log, "beginning a backup", &task);
        mailbox_full_put_off(backup);
    }
    task_done(&task);
}

/* --- The life of it --- */

void mailbox_full_prepare(struct mailbox_backup *backup, struct task *task)
{
    backup->full.fd = backup->full.own_fd = -1;
    read_note(backup, task);
}

void mailbox_full_end(struct mailbox_backup *backup)
{
    struct task task;

    tell_waiters(backup, UINT64_MAX, ERR_BUSY, "the mailbox is closed", false);
    if (backup->full.is_active)
        end_full(backup, ERR_BUSY, "the mailbox is closed", false);
    task_init(&task, 0);
    (void)unlink(copy_path(backup, &task));
    task_done(&task);
}

void mailbox_full_give_up(struct mailbox_backup *backup, const char *words)
{
    if (backup->full.is_active)
        end_full(backup, ERR_BUSY, words, false);
}

void mailbox_full_rekeyed(struct mailbox_backup *backup)
{
    struct backup_full *full = &backup->full;

    if (full->is_active) {
        log_info(backup->mailbox->start->log, "a backup under the old key is given up mailbox=%s",
                 backup->mailbox->start->id.text);
        let_go(backup, false);
        for (size_t i = 0; i < ARRAY_LEN(backup->waiters); i++) {
            if (backup->waiters[i].number == full->number)
                backup->waiters[i].number++;
        }
    }
    mailbox_full_note_last(backup, 0, 0); /* the last one opens with the old password only */
}

void mailbox_full_done(struct mailbox_backup *backup)
{
    net_watch_free(&backup->full.watch);
    snapshot_free(&backup->full.copy);
    fd_close(&backup->full.fd);
    fd_close(&backup->full.own_fd);
}
