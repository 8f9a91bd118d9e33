#include "backup/shipper_internal.h"

#include "backup/nameless.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COPY_LOOK_MS = 50 }; /* between two looks whether the copy is made */

/* --- Names --- */

void shipper_path(const struct shipper *shipper, const char *suffix, char out[SHIPPER_PATH_ROOM])
{
    snprintf(out, SHIPPER_PATH_ROOM, "%s/%s%s", shipper->options.folder,
             shipper->options.mailbox.text, suffix);
}

/* The next process goes on with this one's generation. */
static bool is_noting(const struct shipper *shipper)
{
    return !shipper->has_left && shipper->before == NULL;
}

void shipper_save(const struct shipper *shipper, const struct shipping *shipping)
{
    char path[SHIPPER_PATH_ROOM];

    if (!is_noting(shipper))
        return;
    shipper_path(shipper, ".shipping", path);
    shipping_save(path, &shipper->options.mailbox, shipper->key, shipping);
}

/* --- The generation ends --- */

static void drop_pending(struct shipper *shipper)
{
    segment_writer_free(&shipper->pending);
    fd_close(&shipper->pending_fd);
    shipper->pending_since_ms = 0;
}

static void drop_flight(struct shipper *shipper)
{
    nameless_empty(shipper->flight.own_fd);
    fd_close(&shipper->flight.own_fd);
    fd_close(&shipper->flight.fd);
    /* An answer that is still to come is for nobody: is_asked stays until then. */
}

static void drop_wal(struct shipper *shipper)
{
    if (shipper->has_wal)
        walfile_close(&shipper->wal);
    shipper->has_wal = false;
}

void shipper_hold(struct shipper *shipper, bool is_held)
{
    if (shipper->vault != NULL)
        vault_hold_checkpoints(shipper->vault, is_held);
}

void shipper_forget(struct shipper *shipper)
{
    char path[SHIPPER_PATH_ROOM];

    if (shipper->copy != NULL)
        shipper_hold(shipper, false);
    snapshot_free(&shipper->copy);
    drop_pending(shipper);
    drop_flight(shipper);
    drop_wal(shipper);
    shipper->unread_count = 0;
    memset(&shipper->shipped, 0, sizeof(shipper->shipped));
    if (!is_noting(shipper))
        return;
    shipper_path(shipper, ".shipping", path);
    (void)unlink(path);
}

void shipper_end_generation(struct shipper *shipper, const char *why)
{
    if (shipper->state == SHIPPER_STATE_OFF)
        return;
    if (shipper->state != SHIPPER_STATE_NONE)
        log_info(shipper->options.log, "log shipping begins anew mailbox=%s: %s",
                 shipper->options.mailbox.text, why);
    shipper_forget(shipper);
    shipper->state = SHIPPER_STATE_NONE;
}

void shipper_put_off(struct shipper *shipper, int64_t now_ms)
{
    shipper->retry_ms = shipper->retry_ms == 0 ? SHIPPER_RETRY_MS : shipper->retry_ms * 2;
    if (shipper->retry_ms > SHIPPER_RETRY_MAX_MS)
        shipper->retry_ms = SHIPPER_RETRY_MAX_MS;
    shipper->retry_at_ms = now_ms + shipper->retry_ms;
}

void shipper_give_up(struct shipper *shipper, const struct task *task, const char *what)
{
    log_failure(shipper->options.log, what, task);
    shipper_end_generation(shipper, what);
    shipper_put_off(shipper, task->now_ms);
}

/* --- What is put --- */

void shipper_send(struct shipper *shipper)
{
    struct shipper_flight *flight = &shipper->flight;

    flight->is_asked = true;
    shipper->options.put(shipper->options.owner, flight->name, flight->fd, flight->size_bytes,
                         flight->digest);
}

static enum err seal(struct shipper *shipper, struct task *task)
{
    struct shipper_flight *flight = &shipper->flight;
    struct segment_summary summary;

    TRY(segment_finish(shipper->pending, task, shipper->key, &summary, flight->digest,
                       &flight->size_bytes));
    segment_writer_free(&shipper->pending);
    shipper->pending_since_ms = 0;
    flight->fd = shipper->pending_fd;
    shipper->pending_fd = -1;
    snprintf(flight->name, sizeof(flight->name), "log/%s/%012llu.seg",
             shipper->sealed.generation.text, (unsigned long long)shipper->sealed.next_number);
    memcpy(shipper->sealed.previous, summary.mac, sizeof(summary.mac));
    shipper->sealed.next_number++;
    shipper->sealed.last_ms = summary.last_ms;
    if (shipper->has_wal)
        shipper->sealed.place = shipper->wal.place;
    flight->after = shipper->sealed;
    shipper_send(shipper);
    return ERR_OK;
}

void shipper_answered(struct shipper *shipper, enum shipper_answer answer, int64_t now_ms)
{
    struct shipper_flight *flight = &shipper->flight;
    struct task task;

    flight->is_asked = false;
    if (answer == SHIPPER_OFF) {
        shipper_forget(shipper);
        shipper->state = SHIPPER_STATE_OFF;
        return;
    }
    if (answer == SHIPPER_AGAIN) {
        if (shipper->state == SHIPPER_STATE_BASE && flight->fd >= 0)
            shipper_end_generation(shipper, "the destination did not take the copy");
        shipper_put_off(shipper, now_ms);
        return;
    }
    shipper->retry_ms = shipper->retry_at_ms = 0;
    if (flight->fd < 0) /* of a generation that has ended since */
        return;
    fd_close(&flight->fd);
    fd_close(&flight->own_fd);
    task_init(&task, now_ms);
    if (shipper->state == SHIPPER_STATE_BASE || shipper->state == SHIPPER_STATE_CATCHING_UP) {
        if (shipper_begin_on(shipper, &task) != ERR_OK)
            shipper_give_up(shipper, &task, "beginning to ship the log");
    } else {
        if (shipper->state == SHIPPER_STATE_MANIFEST) {
            shipper->state = SHIPPER_STATE_RUNNING;
            shipper->shipped = shipper->sealed;
            if (shipper->shipped.last_ms < shipper->manifest.time_ms)
                shipper->shipped.last_ms = shipper->manifest.time_ms;
        } else {
            shipper->shipped = flight->after;
        }
        shipper_save(shipper, &shipper->shipped);
    }
    task_done(&task);
}

void shipper_retry(struct shipper *shipper)
{
    if (!shipper->flight.is_asked)
        shipper->retry_ms = shipper->retry_at_ms = 0;
}

bool shipper_is_putting_base(const struct shipper *shipper)
{
    return shipper->state == SHIPPER_STATE_BASE && shipper->flight.is_asked &&
           shipper->flight.fd >= 0;
}

void shipper_abandon(struct shipper *shipper, const char *why, int64_t now_ms)
{
    shipper->flight.is_asked = false;
    shipper_end_generation(shipper, why);
    shipper_put_off(shipper, now_ms);
}

/* --- What is due --- */

static int64_t wait_of(int64_t at_ms, int64_t now_ms)
{
    return at_ms > now_ms ? at_ms - now_ms : 0;
}

/* Something is there to be done, and may be done now. */
static enum err work(struct shipper *shipper, struct task *task)
{
    if (shipper->flight.fd >= 0) {
        shipper_send(shipper); /* once more */
        return ERR_OK;
    }
    if (shipper->state == SHIPPER_STATE_NONE)
        return shipper_begin(shipper, task);
    if (shipper->state == SHIPPER_STATE_COPYING)
        return shipper_begin_base(shipper, task);
    if (segment_unhashed(shipper->pending) >
        SEGMENT_HASH_BYTES) /* so that sessions go on between */
        return segment_hash_some(shipper->pending, task);
    return seal(shipper, task);
}

/* When there is something to be done; -1: nothing. */
static int64_t next_at(const struct shipper *shipper, int64_t now_ms)
{
    if (shipper->state == SHIPPER_STATE_OFF || shipper->flight.is_asked)
        return -1;
    if (shipper->flight.fd >= 0)
        return shipper->retry_at_ms;
    if (shipper->state == SHIPPER_STATE_NONE) /* what follows is beginning already */
        return shipper->vault == NULL || shipper->next != NULL ? -1 : shipper->retry_at_ms;
    if (shipper->state == SHIPPER_STATE_COPYING)
        return shipper_begin_is_copied(shipper) ? now_ms : now_ms + COPY_LOOK_MS;
    if (shipper->state == SHIPPER_STATE_CATCHING_UP && shipper->pending != NULL)
        return now_ms;
    if (shipper->state == SHIPPER_STATE_RUNNING && shipper->pending != NULL)
        return shipper->vault == NULL ? now_ms : shipper->pending_since_ms + SHIPPER_BATCH_MS;
    return -1;
}

int64_t shipper_run(struct shipper *shipper, int64_t now_ms)
{
    struct task task;
    int64_t at_ms;

    shipper_read_heard(shipper, now_ms);
    at_ms = next_at(shipper, now_ms);
    if (at_ms < 0 || at_ms > now_ms)
        return at_ms < 0 ? -1 : wait_of(at_ms, now_ms);
    task_init(&task, now_ms);
    if (work(shipper, &task) != ERR_OK)
        shipper_give_up(shipper, &task, "shipping the log");
    task_done(&task);
    at_ms = next_at(shipper, now_ms);
    return at_ms < 0 ? -1 : wait_of(at_ms, now_ms);
}

bool shipper_is_done(const struct shipper *shipper)
{
    return shipper->state == SHIPPER_STATE_OFF || shipper->state == SHIPPER_STATE_NONE ||
           (shipper->state == SHIPPER_STATE_RUNNING && shipper->pending == NULL &&
            shipper->unread_count == 0 && shipper->flight.fd < 0);
}

bool shipper_is_put_off(const struct shipper *shipper)
{
    return shipper->flight.fd >= 0 && !shipper->flight.is_asked && shipper->retry_at_ms > 0;
}

/* --- The beginning and the end --- */

static void go_on(struct shipper *shipper, struct task *task)
{
    char path[SHIPPER_PATH_ROOM];

    shipper_path(shipper, ".shipping", path);
    if (!shipping_load(path, &shipper->options.mailbox, shipper->key, &shipper->shipped))
        return;
    (void)unlink(path); /* until this process has something to say of it */
    shipper->sealed = shipper->shipped;
    shipper->last_ms = shipper->shipped.last_ms;
    shipper->state = SHIPPER_STATE_RUNNING;
    if (shipper->shipped.is_closed && !shipper_has_log(shipper)) {
        if (!shipping_is_same_file(&shipper->shipped, shipper->path))
            shipper_end_generation(shipper, "the file is not the one that was closed");
    } else if (shipper_read_left(shipper, task) != ERR_OK) {
        shipper_end_generation(shipper, task->words);
        task_forgive(task);
    }
    if (shipper->state != SHIPPER_STATE_RUNNING)
        return;
    shipper->shipped.is_closed = shipper->sealed.is_closed = false;
    drop_wal(shipper); /* the mailbox's opening empties the log; the next frame may be another's */
}

static struct shipper *shipper_make(const struct shipper_options *options)
{
    struct shipper *shipper = NEW(struct shipper);
    char path[SHIPPER_PATH_ROOM];

    shipper->options = *options;
    shipper->key = segment_key(options->key);
    shipper->pending_fd = -1;
    shipper->flight.fd = shipper->flight.own_fd = -1;
    shipper->wal.fd = -1;
    shipper->state = SHIPPER_STATE_NONE;
    shipper_path(shipper, ".sqlite", shipper->path);
    shipper_path(shipper, ".base", path);
    (void)unlink(path); /* of a process that died */
    return shipper;
}

struct shipper *shipper_new(struct task *task, const struct shipper_options *options)
{
    struct shipper *shipper = shipper_make(options);

    go_on(shipper, task);
    return shipper;
}

/* There is no log, so the file has all, and all was shipped. */
static void save_as_closed(struct shipper *shipper)
{
    struct shipping shipping = shipper->shipped;

    shipping.is_closed = shipping_note_file(&shipping, shipper->path);
    if (shipping.is_closed)
        shipper_save(shipper, &shipping);
}

void shipper_attach(struct shipper *shipper, struct vault *vault)
{
    struct task task;

    shipper->vault = vault;
    vault_set_log_reader(vault, shipper_hear, shipper);
    if (shipper->state != SHIPPER_STATE_RUNNING)
        return;
    task_init(&task, clock_now_ms());
    if (shipper_has_log(shipper) && shipper_read_opening(shipper, &task) != ERR_OK)
        shipper_give_up(shipper, &task, "reading the log to ship it");
    task_done(&task);
    if (shipper->state == SHIPPER_STATE_RUNNING && shipper_is_done(shipper) && !shipper->has_wal)
        save_as_closed(shipper);
}

void shipper_before_close(struct shipper *shipper)
{
    if (shipper->copy != NULL)
        shipper_end_generation(shipper, "the mailbox is closed");
}

void shipper_after_close(struct shipper *shipper)
{
    shipper->vault = NULL;
}

void shipper_leave(struct shipper *shipper)
{
    if (shipper->copy != NULL)
        shipper_end_generation(shipper, "the mailbox was re-encrypted");
    shipper->vault = NULL;
    shipper->has_left = true;
}

bool shipper_is_copying(const struct shipper *shipper)
{
    return shipper->copy != NULL;
}

bool shipper_is_beginning(const struct shipper *shipper)
{
    return shipper->copy != NULL || (shipper->state == SHIPPER_STATE_NONE && shipper->is_held_up) ||
           (shipper->state >= SHIPPER_STATE_BASE && shipper->state <= SHIPPER_STATE_MANIFEST &&
            (shipper->flight.is_asked || shipper->retry_at_ms == 0));
}

/* --- The next generation --- */

bool shipper_is_old(const struct shipper *shipper, int64_t now_ms)
{
    return shipper->state == SHIPPER_STATE_RUNNING && shipper->vault != NULL &&
           shipper->next == NULL &&
           (now_ms - shipper->sealed.began_ms >= SHIPPER_GENERATION_MS ||
            now_ms < shipper->sealed.began_ms - SHIPPER_GENERATION_MS);
}

struct shipper *shipper_follow(struct shipper *before, const struct shipper_options *options)
{
    struct shipper *shipper = shipper_make(options);

    assert(before->next == NULL && before->vault != NULL);
    shipper->vault = before->vault;
    shipper->last_ms = before->last_ms;
    shipper->before = before;
    before->next = shipper;
    return shipper;
}

static void part(struct shipper *before, struct shipper *next)
{
    before->next = NULL;
    next->before = NULL;
}

bool shipper_may_take_over(const struct shipper *shipper)
{
    return shipper->state == SHIPPER_STATE_READY || shipper->before->state == SHIPPER_STATE_NONE;
}

void shipper_take_over(struct shipper *shipper, int64_t now_ms)
{
    struct shipper *before = shipper->before;
    struct task task;

    shipper_read_heard(before, now_ms);
    part(before, shipper);
    log_info(shipper->options.log, "log shipping goes on in a new generation mailbox=%s",
             shipper->options.mailbox.text);
    vault_set_log_reader(shipper->vault, shipper_hear, shipper);
    shipper_leave(before);
    if (shipper->state != SHIPPER_STATE_READY)
        return;
    task_init(&task, now_ms);
    if (shipper_begin_manifest(shipper, &task) != ERR_OK)
        shipper_give_up(shipper, &task, "beginning to ship the log");
    task_done(&task);
}

void shipper_close(struct shipper **shipper_place)
{
    struct shipper *shipper = *shipper_place;

    if (shipper == NULL)
        return;
    *shipper_place = NULL;
    if (shipper->state == SHIPPER_STATE_RUNNING && shipper_is_done(shipper) && is_noting(shipper) &&
        !shipper_has_log(shipper))
        save_as_closed(shipper);
    snapshot_free(&shipper->copy);
    if (shipper->before != NULL)
        part(shipper->before, shipper);
    drop_pending(shipper);
    drop_flight(shipper);
    drop_wal(shipper);
    secret_free(&shipper->key);
    mem_free(&shipper);
}
