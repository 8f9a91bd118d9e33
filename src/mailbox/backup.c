#include "mailbox/backup.h"

#include "backup/manifest.h"
#include "backup/name.h"
#include "backup/restore.h"
#include "backup/segment.h"
#include "backup/shipper.h"
#include "backup/snapshot.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "imap/session.h"
#include "mailbox/backup_note.h"
#include "secret/hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_ROOM = 96, ASKS_MAX = 16, WAITERS_MAX = 8, FAREWELL_STEP_MS = 50 };

/* What was asked and is not answered yet. */
struct ask {
    uint64_t tag;                     /* 0: the place is free */
    mailbox_archive_answer on_answer; /* NULL: nobody waits for it any more */
    void *owner;
};

/* A full backup: the copy, its file on the way, its manifest on the way. */
struct full {
    struct snapshot *copy;   /* own; NULL: not now */
    struct net_watch *watch; /* own */
    int fd;                  /* own; of the copy, which has no name any more; -1 */
    struct manifest manifest;
    char name[NAME_ROOM]; /* without .sqlite or .json */
    bool is_active;
    uint64_t number; /* of this process's full backups: this one, or the last one */
};

/* Who wants to hear of a full backup. */
struct waiter {
    uint64_t number; /* of the backup: what is committed when it is asked for is in it. 0: free */
    mailbox_backup_done on_done;
    void *owner;
};

/* A log on its way. */
struct way {
    struct mailbox_backup *backup; /* borrowed */
    struct shipper *shipper;       /* own */
};

struct mailbox_backup {
    struct mailbox *mailbox; /* borrowed */
    struct way *way;         /* own */
    struct way *old_way;     /* own; of the file from before a re-encryption, or of the generation
                                before; NULL: none, or all is sent */
    struct way *next_way;    /* own; the next generation's, while it begins; NULL: it does not */
    struct secret *mac_key;                               /* own */
    struct net_timer *ship_timer, *full_timer, *farewell; /* own */
    struct ask asks[ASKS_MAX];
    uint64_t last_tag;
    struct full full;
    struct waiter waiters[WAITERS_MAX];
    struct mailbox_backup_note note;
    int64_t retry_at_ms;  /* monotonic; until then none is made of its own accord, as one failed */
    bool is_off;          /* the archivist has no destination */
    bool is_begun;        /* the file is open */
};

/* --- Asking the archivist --- */

static struct ask *take_ask(struct mailbox_backup *backup, mailbox_archive_answer on_answer,
                            void *owner)
{
    for (size_t i = 0; i < ARRAY_LEN(backup->asks); i++) {
        if (backup->asks[i].tag == 0) {
            backup->asks[i] = (struct ask){++backup->last_tag, on_answer, owner};
            return &backup->asks[i];
        }
    }
    return NULL;
}

static void ask(struct mailbox_backup *backup, enum wire_type type, const void *body, int fd,
                mailbox_archive_answer on_answer, void *owner)
{
    struct ask *one = take_ask(backup, on_answer, owner);

    if (one != NULL &&
        wire_send(backup->mailbox->store, type, one->tag, body, &fd, fd < 0 ? 0 : 1) == ERR_OK)
        return;
    if (one != NULL)
        one->tag = 0;
    on_answer(owner, WIRE_UNAVAILABLE, NULL);
}

static void put(struct mailbox_backup *backup, const char *name, int fd, uint64_t size_bytes,
                const unsigned char *digest, mailbox_archive_answer on_answer, void *owner)
{
    struct wire_backup_put body = {.mailbox = backup->mailbox->start->id,
                                   .name = str_from_c(name),
                                   .size_bytes = size_bytes,
                                   .digest = str_make(digest, CRYPT_HASH_BYTES)};

    ask(backup, WIRE_BACKUP_PUT, &body, fd, on_answer, owner);
}

void mailbox_archive_get(struct mailbox *mailbox, struct str name, mailbox_archive_answer on_answer,
                         void *owner)
{
    struct wire_backup_get body = {.mailbox = mailbox->start->id, .name = name};

    ask(mailbox->backup, WIRE_BACKUP_GET, &body, -1, on_answer, owner);
}

void mailbox_archive_list(struct mailbox *mailbox, struct str prefix, struct str after,
                          mailbox_archive_answer on_answer, void *owner)
{
    struct wire_backup_list body = {
        .mailbox = mailbox->start->id, .prefix = prefix, .after = after};

    ask(mailbox->backup, WIRE_BACKUP_LIST, &body, -1, on_answer, owner);
}

void mailbox_archive_forget(struct mailbox *mailbox, const void *owner)
{
    struct mailbox_backup *backup = mailbox->backup;

    for (size_t i = 0; backup != NULL && i < ARRAY_LEN(backup->asks); i++) {
        if (backup->asks[i].owner == owner)
            backup->asks[i].on_answer = NULL;
    }
}

static enum wire_status status_of(const struct wire_message *message)
{
    if (message->type == WIRE_BACKUP_PUT_REPLY)
        return (enum wire_status)message->body.backup_put_reply.status;
    if (message->type == WIRE_BACKUP_GET_REPLY)
        return (enum wire_status)message->body.backup_get_reply.status;
    return (enum wire_status)message->body.backup_list_reply.status;
}

void mailbox_backup_reply(struct mailbox *mailbox, struct wire_message *message)
{
    struct mailbox_backup *backup = mailbox->backup;

    for (size_t i = 0; backup != NULL && i < ARRAY_LEN(backup->asks); i++) {
        struct ask one = backup->asks[i];

        if (one.tag == 0 || one.tag != message->tag)
            continue;
        backup->asks[i].tag = 0;
        if (one.on_answer != NULL)
            one.on_answer(one.owner, status_of(message), message);
        return;
    }
}

/* --- The log --- */

static void plan_shipping(struct mailbox_backup *backup, int64_t wait_ms)
{
    net_timer_start(backup->ship_timer, wait_ms);
}

static void way_free(struct way **way)
{
    if (*way == NULL)
        return;
    mailbox_archive_forget((*way)->backup->mailbox, *way);
    shipper_close(&(*way)->shipper);
    mem_free(way);
}

static struct way *way_make(struct mailbox_backup *backup, const struct secret *key,
                            struct shipper *before);

/* What is not wanted any more: another generation than this begins. */
static void drop_next(struct mailbox_backup *backup)
{
    if (backup->next_way != NULL)
        shipper_before_close(backup->next_way->shipper);
    way_free(&backup->next_way);
}

/* The generation of a day that is over goes on until the next one has begun. */
static void change_generation(struct mailbox_backup *backup, int64_t now_ms)
{
    if (backup->next_way == NULL && backup->old_way == NULL &&
        shipper_is_old(backup->way->shipper, now_ms))
        backup->next_way = way_make(backup, backup->mailbox->key, backup->way->shipper);
    if (backup->next_way == NULL || !shipper_may_take_over(backup->next_way->shipper))
        return;
    shipper_take_over(backup->next_way->shipper, now_ms);
    backup->old_way = backup->way;
    backup->way = backup->next_way;
    backup->next_way = NULL;
}

static int64_t run_way(struct way *way, int64_t now_ms, int64_t wait_ms)
{
    int64_t own_ms = way == NULL ? -1 : shipper_run(way->shipper, now_ms);

    return wait_ms < 0 || (own_ms >= 0 && own_ms < wait_ms) ? own_ms : wait_ms;
}

static void run_shipper(void *owner)
{
    struct mailbox_backup *backup = owner;
    int64_t now_ms = clock_now_ms(), wait_ms;

    change_generation(backup, now_ms);
    wait_ms = run_way(backup->way, now_ms, -1);
    wait_ms = run_way(backup->next_way, now_ms, wait_ms);
    wait_ms = run_way(backup->old_way, now_ms, wait_ms);
    if (backup->next_way != NULL && shipper_may_take_over(backup->next_way->shipper))
        wait_ms = 0;
    if (backup->old_way != NULL && shipper_is_done(backup->old_way->shipper))
        way_free(&backup->old_way);
    if (wait_ms >= 0)
        plan_shipping(backup, wait_ms);
}

static void on_shipped(void *owner, enum wire_status status, struct wire_message *message)
{
    struct way *way = owner;
    struct mailbox_backup *backup = way->backup;
    enum shipper_answer answer = status == WIRE_OK         ? SHIPPER_STORED
                                 : status == WIRE_DISABLED ? SHIPPER_OFF
                                                           : SHIPPER_AGAIN;

    if (answer == SHIPPER_AGAIN)
        log_warning(backup->mailbox->start->log, "the log was not taken mailbox=%s: %.*s",
                    backup->mailbox->start->id.text,
                    message == NULL ? 0 : (int)message->body.backup_put_reply.words.len,
                    message == NULL ? "" : message->body.backup_put_reply.words.ptr);
    backup->is_off |= answer == SHIPPER_OFF;
    shipper_answered(way->shipper, answer, clock_now_ms());
    plan_shipping(backup, 0);
}

static void ship(void *owner, const char *name, int fd, uint64_t size_bytes,
                 const unsigned char *digest)
{
    struct way *way = owner;

    put(way->backup, name, fd, size_bytes, digest, on_shipped, way);
}

/* Behind the answers of the commands that were committed now, which are sent first. */
static void on_work(void *owner)
{
    plan_shipping(((struct way *)owner)->backup, 0);
}

/* --- What the last full backup was, over processes --- */

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

/* What the last one was, or that none is known, whatever was before; nothing is put off any more.
 */
static void note_last(struct mailbox_backup *backup, int64_t last_ms, uint64_t last_counter)
{
    backup->note = (struct mailbox_backup_note){.last_ms = last_ms, .last_counter = last_counter};
    backup->retry_at_ms = 0;
    write_note(backup);
}

/* --- Who waits for a full backup --- */

static enum err wait_for(struct mailbox_backup *backup, struct task *task, uint64_t number,
                         mailbox_backup_done on_done, void *owner)
{
    for (size_t i = 0; i < ARRAY_LEN(backup->waiters); i++) {
        if (backup->waiters[i].number != 0)
            continue;
        backup->waiters[i] = (struct waiter){number, on_done, owner};
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
        struct waiter one = backup->waiters[i];

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

/* --- Full backups --- */

static void begin_next(struct mailbox_backup *backup);

/* After a failure: not at once, or a destination that refuses would have one copy behind the other made,
 * and the mailbox open for as long. */
static void put_off(struct mailbox_backup *backup)
{
    struct mailbox_backup_note *note = &backup->note;

    note->failed_ms = clock_now_ms();
    note->put_off_ms = note->put_off_ms == 0 ? MAILBOX_BACKUP_LOOK_MS : note->put_off_ms * 2;
    if (note->put_off_ms > longest_put_off(backup))
        note->put_off_ms = longest_put_off(backup);
    backup->retry_at_ms = clock_monotonic_ms() + note->put_off_ms;
    write_note(backup);
}

static void end_full(struct mailbox_backup *backup, enum err err, const char *words, bool is_new)
{
    struct full *full = &backup->full;
    uint64_t size_bytes = full->manifest.size_bytes;

    net_watch_free(&full->watch);
    snapshot_free(&full->copy);
    fd_close(&full->fd);
    full->is_active = false;
    if (err != ERR_OK) {
        if (!backup->mailbox->is_ending)
            put_off(backup);
        log_error(backup->mailbox->start->log, "backup failed mailbox=%s: %s (%s)",
                  backup->mailbox->start->id.text, words, err_name(err));
    } else if (is_new) {
        log_info(backup->mailbox->start->log, "backup made mailbox=%s bytes=%llu",
                 backup->mailbox->start->id.text, (unsigned long long)size_bytes);
    }
    tell_waiters(backup, full->number, err, words, is_new);
    begin_next(backup);
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
    struct mailbox_backup *backup = owner;

    if (!backup->full.is_active)
        return;
    if (status != WIRE_OK) {
        end_refused(backup, status, message);
        return;
    }
    note_last(backup, backup->full.manifest.time_ms, backup->full.manifest.change_counter);
    end_full(backup, ERR_OK, "", true);
}

static void on_file_put(void *owner, enum wire_status status, struct wire_message *message)
{
    struct mailbox_backup *backup = owner;
    struct full *full = &backup->full;
    unsigned char digest[CRYPT_HASH_BYTES];
    CLEANUP(buf_free) struct buf json = {0};
    CLEANUP(fd_close) int fd = -1;
    char name[NAME_ROOM + 8];
    struct task task;

    if (!full->is_active)
        return;
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
        put(backup, name, fd, json.len, digest, on_manifest_put, backup);
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
    struct full *full = &backup->full;
    char stamp[BACKUP_STAMP_ROOM], name[NAME_ROOM + 8];

    full->fd = open(copy_path(backup, task), O_RDONLY | O_CLOEXEC);
    (void)unlink(copy_path(backup, task));
    if (full->fd < 0) {
        end_full(backup, ERR_IO, "the copy is gone", false);
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
    put(backup, name, full->fd, result->size_bytes, result->digest, on_file_put, backup);
}

static void on_copied(void *owner)
{
    struct mailbox_backup *backup = owner;
    struct full *full = &backup->full;
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
    struct full *full = &backup->full;
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
static void begin_next(struct mailbox_backup *backup)
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

static bool is_due(const struct mailbox_backup *backup, int64_t now_ms)
{
    int64_t since_ms = now_ms - backup->note.last_ms;

    return !backup->is_off && !backup->full.is_active && backup->mailbox->vault != NULL &&
           !backup->mailbox->is_ending && clock_monotonic_ms() >= backup->retry_at_ms &&
           (since_ms >= (int64_t)backup->mailbox->start->config->backup_interval_ms ||
            since_ms < 0) &&
           has_changed(backup);
}

static void look(void *owner)
{
    struct mailbox_backup *backup = owner;
    struct task task;

    net_timer_start(backup->full_timer, MAILBOX_BACKUP_LOOK_MS);
    if (!is_due(backup, clock_now_ms()))
        return;
    task_init(&task, clock_now_ms());
    if (begin_full(backup, &task) != ERR_OK)
        log_failure(backup->mailbox->start->log, "beginning a backup", &task);
    task_done(&task);
}

/* --- The life of it --- */

/* `before`: the one that it follows; NULL: none. */
static struct way *way_make(struct mailbox_backup *backup, const struct secret *key,
                            struct shipper *before)
{
    const struct mailbox_start *start = backup->mailbox->start;
    struct way *way = NEW(struct way);
    const struct shipper_options options = {.folder = start->mail_folder,
                                            .mailbox = start->id,
                                            .key = key,
                                            .log = start->log,
                                            .pending_max = SHIPPER_PENDING_MAX,
                                            .put = ship,
                                            .on_work = on_work,
                                            .owner = way};
    struct task task;

    way->backup = backup;
    task_init(&task, clock_now_ms());
    way->shipper = before == NULL ? shipper_new(&task, &options) : shipper_follow(before, &options);
    task_done(&task);
    return way;
}

/* What a process that died has left: each is as large as the mailbox. */
static void remove_left(const struct mailbox_backup *backup, struct task *task)
{
    static const char *const bodies[] = {".copy", RESTORE_SUFFIX};
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    const struct mailbox_start *start = backup->mailbox->start;

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        for (size_t k = 0; k < ARRAY_LEN(suffixes); k++)
            (void)unlink(arena_printf(&task->arena, "%s/%s%s%s", start->mail_folder, start->id.text,
                                      bodies[i], suffixes[k])
                             .ptr);
}

void mailbox_backup_prepare(struct mailbox *mailbox, const struct secret *key)
{
    const struct mailbox_start *start = mailbox->start;
    struct mailbox_backup *backup;
    struct task task;

    if (start->config->backup.len == 0 || mailbox->backup != NULL)
        return;
    backup = NEW(struct mailbox_backup);
    backup->mailbox = mailbox;
    backup->full.fd = -1;
    backup->mac_key = segment_key(key);
    backup->ship_timer = net_timer_new(mailbox->loop, run_shipper, backup);
    backup->full_timer = net_timer_new(mailbox->loop, look, backup);
    task_init(&task, clock_now_ms());
    read_note(backup, &task);
    remove_left(backup, &task);
    task_done(&task);
    backup->way = way_make(backup, key, NULL);
    mailbox->backup = backup;
}

void mailbox_backup_begin(struct mailbox *mailbox)
{
    struct mailbox_backup *backup = mailbox->backup;

    if (backup == NULL)
        return;
    backup->is_begun = true;
    shipper_attach(backup->way->shipper, mailbox->vault);
    plan_shipping(backup, SHIPPER_BATCH_MS);
    net_timer_start(backup->full_timer, MAILBOX_BACKUP_FIRST_MS);
}

bool mailbox_backup_is_under_way(const struct mailbox *mailbox)
{
    const struct mailbox_backup *backup = mailbox->backup;

    return backup != NULL &&
           (backup->full.is_active || shipper_is_copying(backup->way->shipper) ||
            (backup->next_way != NULL && shipper_is_copying(backup->next_way->shipper)));
}

bool mailbox_backup_is_busy(struct mailbox *mailbox)
{
    struct mailbox_backup *backup = mailbox->backup;

    if (backup == NULL || mailbox->vault == NULL)
        return false;
    if (is_due(backup, clock_now_ms()))
        look(backup);
    return backup->full.is_active || shipper_is_beginning(backup->way->shipper) ||
           (backup->next_way != NULL && shipper_is_beginning(backup->next_way->shipper));
}

void mailbox_backup_before_close(struct mailbox *mailbox)
{
    struct mailbox_backup *backup = mailbox->backup;
    struct task task;

    if (backup == NULL)
        return;
    tell_waiters(backup, UINT64_MAX, ERR_BUSY, "the mailbox is closed", false);
    if (backup->full.is_active)
        end_full(backup, ERR_BUSY, "the mailbox is closed", false);
    task_init(&task, 0);
    (void)unlink(copy_path(backup, &task));
    task_done(&task);
    net_timer_stop(backup->full_timer);
    drop_next(backup);
    shipper_before_close(backup->way->shipper);
}

static void on_farewell(void *owner)
{
    struct mailbox_backup *backup = owner;

    net_loop_stop(backup->mailbox->loop);
}

/* Something is to be sent yet, and the destination may take it. */
static bool is_leaving(const struct mailbox_backup *backup)
{
    const struct shipper *shipper = backup->way->shipper;

    return (backup->old_way != NULL && !shipper_is_put_off(backup->old_way->shipper)) ||
           (!shipper_is_done(shipper) && !shipper_is_put_off(shipper));
}

/* The loop goes on for nothing but this: whoever logs in meanwhile waits for the process's end. */
void mailbox_backup_after_close(struct mailbox *mailbox)
{
    struct mailbox_backup *backup = mailbox->backup;
    int64_t end_ms = clock_monotonic_ms() + MAILBOX_BACKUP_FAREWELL_MS;

    if (backup == NULL)
        return;
    shipper_after_close(backup->way->shipper);
    backup->farewell = net_timer_new(mailbox->loop, on_farewell, backup);
    run_shipper(backup);
    while (is_leaving(backup) && clock_monotonic_ms() < end_ms) {
        net_timer_start(backup->farewell, FAREWELL_STEP_MS);
        net_loop_run(mailbox->loop);
    }
    net_timer_free(&backup->farewell);
}

void mailbox_backup_restored(struct mailbox *mailbox)
{
    if (mailbox->backup == NULL)
        return;
    shipper_after_close(mailbox->backup->way->shipper);
    shipper_end_generation(mailbox->backup->way->shipper, "the mailbox was restored");
    net_timer_stop(mailbox->backup->ship_timer);
    note_last(mailbox->backup, 0, 0); /* whatever its counter says, it is another file */
}

void mailbox_backup_rekeyed(struct mailbox *mailbox)
{
    struct mailbox_backup *backup = mailbox->backup;

    if (backup == NULL)
        return;
    drop_next(backup);
    way_free(&backup->old_way);
    backup->old_way = backup->way;
    shipper_leave(backup->old_way->shipper);
    secret_free(&backup->mac_key);
    backup->mac_key = segment_key(mailbox->key);
    note_last(backup, 0, 0); /* the last full backup opens with the old password only */
    backup->way = way_make(backup, mailbox->key, NULL);
    if (!backup->is_begun)
        return;
    shipper_attach(backup->way->shipper, mailbox->vault);
    run_shipper(backup); /* at once: what is committed from now on is in the new log */
}

void mailbox_backup_free(struct mailbox_backup **backup_place)
{
    struct mailbox_backup *backup = *backup_place;

    if (backup == NULL)
        return;
    way_free(&backup->next_way);
    way_free(&backup->old_way);
    way_free(&backup->way);
    net_watch_free(&backup->full.watch);
    snapshot_free(&backup->full.copy);
    fd_close(&backup->full.fd);
    net_timer_free(&backup->ship_timer);
    net_timer_free(&backup->full_timer);
    secret_free(&backup->mac_key);
    mem_free(backup_place);
}
