#include "mailbox/backup_internal.h"

#include "backup/restore.h"
#include "backup/segment.h"
#include "base/clock.h"
#include "base/memory.h"

#include <unistd.h>

enum { FAREWELL_STEP_MS = 50 };

/* --- The log --- */

static void plan_shipping(struct mailbox_backup *backup, int64_t wait_ms)
{
    net_timer_start(backup->ship_timer, wait_ms);
}

static void way_free(struct backup_way **way)
{
    if (*way == NULL)
        return;
    mailbox_archive_forget((*way)->backup->mailbox, *way);
    shipper_close(&(*way)->shipper);
    mem_free(way);
}

static struct backup_way *way_make(struct mailbox_backup *backup, const struct secret *key,
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

static int64_t run_way(struct backup_way *way, int64_t now_ms, int64_t wait_ms)
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
    struct backup_way *way = owner;
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
    if (shipper_is_putting_base(way->shipper) && answer == SHIPPER_AGAIN &&
        !backup->mailbox->is_ending)
        mailbox_full_put_off(backup);
    if (shipper_is_putting_base(way->shipper) && answer == SHIPPER_STORED)
        mailbox_full_was_taken(backup);
    shipper_answered(way->shipper, answer, clock_now_ms());
    plan_shipping(backup, 0);
}

static void ship(void *owner, const char *name, int fd, uint64_t size_bytes,
                 const unsigned char *digest)
{
    struct backup_way *way = owner;

    mailbox_archive_put(way->backup, name, fd, size_bytes, digest, on_shipped, way);
}

static int64_t wait_to_begin(void *owner)
{
    struct mailbox_backup *backup = ((struct backup_way *)owner)->backup;
    int64_t wait_ms = backup->retry_at_ms - clock_monotonic_ms();

    if (wait_ms > 0)
        return wait_ms < SHIPPER_RETRY_MAX_MS ? wait_ms : SHIPPER_RETRY_MAX_MS;
    return mailbox_full_may_copy(backup) ? 0 : -1;
}

/* Behind the answers of the commands that were committed now, which are sent first. */
static void on_work(void *owner)
{
    plan_shipping(((struct backup_way *)owner)->backup, 0);
}

void mailbox_backup_go_on(struct mailbox_backup *backup)
{
    struct backup_way *const ways[] = {backup->way, backup->next_way, backup->old_way};

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        if (ways[i] != NULL)
            shipper_retry(ways[i]->shipper);
    }
    run_shipper(backup);
    if (backup->is_full_wanted && backup->mailbox->vault != NULL)
        mailbox_full_look(backup);
}

/* --- The life of it --- */

/* `before`: the one that it follows; NULL: none. */
static struct backup_way *way_make(struct mailbox_backup *backup, const struct secret *key,
                                   struct shipper *before)
{
    const struct mailbox_start *start = backup->mailbox->start;
    struct backup_way *way = NEW(struct backup_way);
    const struct shipper_options options = {.folder = start->mail_folder,
                                            .mailbox = start->id,
                                            .key = key,
                                            .log = start->log,
                                            .pending_max = SHIPPER_PENDING_MAX,
                                            .put = ship,
                                            .wait_to_begin = wait_to_begin,
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
    backup->mac_key = segment_key(key);
    backup->ship_timer = net_timer_new(mailbox->loop, run_shipper, backup);
    backup->full_timer = net_timer_new(mailbox->loop, mailbox_full_look, backup);
    task_init(&task, clock_now_ms());
    mailbox_full_prepare(backup, &task);
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

bool mailbox_backup_is_reading(const struct mailbox *mailbox)
{
    const struct mailbox_backup *backup = mailbox->backup;

    return backup != NULL &&
           (backup->full.copy != NULL || shipper_is_copying(backup->way->shipper) ||
            (backup->next_way != NULL && shipper_is_copying(backup->next_way->shipper)));
}

/* What waits for the destination does so no longer. */
static bool is_too_slow(struct mailbox_backup *backup)
{
    if (backup_peer_should_be_asked(&backup->peer))
        mailbox_archive_probe(backup);
    return backup_peer_is_too_slow(&backup->peer, mailbox_backup_is_reading(backup->mailbox),
                                   mailbox_archive_bytes(backup), clock_monotonic_ms());
}

static bool is_putting_base(const struct mailbox_backup *backup)
{
    return shipper_is_putting_base(backup->way->shipper) ||
           (backup->next_way != NULL && shipper_is_putting_base(backup->next_way->shipper));
}

static void give_up(struct mailbox_backup *backup)
{
    static const char words[] = "the destination is too slow, and nobody is there";

    log_warning(backup->mailbox->start->log, "backups are not waited for mailbox=%s: %s",
                backup->mailbox->start->id.text, words);
    if (!backup->full.is_active && is_putting_base(backup))
        mailbox_full_put_off(backup);
    mailbox_full_give_up(backup, words);
    drop_next(backup);
    if (!shipper_is_beginning(backup->way->shipper))
        return;
    mailbox_archive_forget(backup->mailbox, backup->way);
    shipper_abandon(backup->way->shipper, words, clock_now_ms());
}

void mailbox_backup_be_patient(struct mailbox *mailbox)
{
    if (mailbox->backup != NULL)
        backup_peer_be_patient(&mailbox->backup->peer);
}

bool mailbox_backup_forget_if_slow(struct mailbox *mailbox, const void *owner)
{
    struct mailbox_backup *backup = mailbox->backup;

    if (backup == NULL || !is_too_slow(backup))
        return false;
    mailbox_backup_forget(mailbox, owner); /* or the next would begin for him */
    mailbox_full_give_up(backup, "the destination is too slow, and the mailbox is re-encrypted");
    backup_peer_be_patient(&backup->peer);
    return true;
}

static bool is_working(const struct mailbox_backup *backup)
{
    return backup->full.is_active || (backup->is_probing && !backup->peer.is_refusing) ||
           shipper_is_beginning(backup->way->shipper) ||
           (backup->next_way != NULL && shipper_is_beginning(backup->next_way->shipper));
}

bool mailbox_backup_is_busy(struct mailbox *mailbox)
{
    struct mailbox_backup *backup = mailbox->backup;

    if (backup == NULL || mailbox->vault == NULL)
        return false;
    if (!backup->peer.is_refusing && mailbox_full_is_due(backup))
        mailbox_full_look(backup);
    if (backup->peer.is_given_up || !is_working(backup))
        return false;
    if (!is_too_slow(backup))
        return true;
    give_up(backup);
    return false;
}

void mailbox_backup_before_close(struct mailbox *mailbox)
{
    struct mailbox_backup *backup = mailbox->backup;

    if (backup == NULL)
        return;
    mailbox_full_end(backup);
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
    mailbox_full_note_last(mailbox->backup, 0,
                           0); /* whatever its counter says, it is another file */
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
    mailbox_full_rekeyed(backup);
    backup->way = way_make(backup, mailbox->key, NULL);
    if (!backup->is_begun)
        return;
    shipper_attach(backup->way->shipper, mailbox->vault);
    run_shipper(backup); /* at once: what is committed from now on is in the new log */
    mailbox_full_begin_next(backup);
}

void mailbox_backup_free(struct mailbox_backup **backup_place)
{
    struct mailbox_backup *backup = *backup_place;

    if (backup == NULL)
        return;
    way_free(&backup->next_way);
    way_free(&backup->old_way);
    way_free(&backup->way);
    mailbox_full_done(backup);
    net_timer_free(&backup->ship_timer);
    net_timer_free(&backup->full_timer);
    secret_free(&backup->mac_key);
    mem_free(backup_place);
}
