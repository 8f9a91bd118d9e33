#include "backup/shipper.h"

#include "backup/manifest.h"
#include "backup/segment.h"
#include "backup/shipping.h"
#include "backup/snapshot.h"
#include "backup/walfile.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    COPY_LOOK_MS = 50, /* between two looks whether the copy is made */
    BEHIND_MS = 1000,  /* a follower that has this much to put has not caught up */
    BEHIND_MAX = 8,    /* so many segments at most before its manifest */
    NAME_ROOM = 96,
    PATH_ROOM = 4096,
};

enum state {
    STATE_OFF,
    STATE_NONE,
    STATE_COPYING,
    STATE_BASE,
    STATE_CATCHING_UP,
    STATE_READY,
    STATE_MANIFEST,
    STATE_RUNNING
};

/* An object on its way, or to be sent again. */
struct flight {
    int fd; /* own; -1: none */
    char name[NAME_ROOM];
    uint64_t size_bytes;
    unsigned char digest[CRYPT_HASH_BYTES];
    bool is_asked;          /* an answer will come */
    struct shipping after; /* what holds when it is stored: of a segment */
};

/* A commit in the log that is not read yet: what the log does not say of it. */
struct unread {
    uint32_t frames; /* of the log, up to it */
    int64_t time_ms;
    uint64_t change_counter;
};

struct shipper {
    struct shipper_options options;
    struct secret *key;   /* own: of segments and manifests */
    struct vault *vault;  /* borrowed; NULL: not open */
    char path[PATH_ROOM]; /* the mailbox's file */
    enum state state;
    struct shipping shipped; /* what the destination has; number and MAC of the next segment */
    struct shipping sealed;  /* the same, the segment on its way included */
    struct walfile wal;
    bool has_wal;
    struct unread unread[SHIPPER_UNREAD_MAX]; /* in their order: each has a frame at least */
    size_t unread_count, unread_next;         /* the second: while they are read */
    bool may_begin_anew;                      /* the log, with the next commit */
    int pending_fd; /* own; -1: none */
    bool is_pending_on_disk;
    struct segment_writer *pending; /* own */
    int64_t pending_since_ms;
    int64_t last_ms; /* of the last commit; times never go back within a generation */
    struct flight flight;
    struct snapshot *copy; /* own */
    struct manifest manifest;
    int64_t retry_at_ms, retry_ms; /* 0: at once */
    bool is_held_up;               /* a generation begins when a full backup has been made */
    bool has_left; /* the file is another shipper's */
    struct shipper *before; /* borrowed; NULL: it follows none, or has taken over */
    struct shipper *next;   /* borrowed; what follows, and hears of the log by this one */
};

/* --- Names --- */

static void path_of(const struct shipper *shipper, const char *suffix, char out[PATH_ROOM])
{
    snprintf(out, PATH_ROOM, "%s/%s%s", shipper->options.folder, shipper->options.mailbox.text,
             suffix);
}

/* The next process goes on with this one's generation. */
static bool is_noting(const struct shipper *shipper)
{
    return !shipper->has_left && shipper->before == NULL;
}

static void save(const struct shipper *shipper, const struct shipping *shipping)
{
    char path[PATH_ROOM];

    if (!is_noting(shipper))
        return;
    path_of(shipper, ".shipping", path);
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
    fd_close(&shipper->flight.fd);
    /* An answer that is still to come is for nobody: is_asked stays until then. */
}

static void drop_wal(struct shipper *shipper)
{
    if (shipper->has_wal)
        walfile_close(&shipper->wal);
    shipper->has_wal = false;
}

static void hold(struct shipper *shipper, bool is_held)
{
    if (shipper->vault != NULL)
        vault_hold_checkpoints(shipper->vault, is_held);
}

static void forget(struct shipper *shipper)
{
    char path[PATH_ROOM];

    if (shipper->copy != NULL)
        hold(shipper, false);
    snapshot_free(&shipper->copy);
    drop_pending(shipper);
    drop_flight(shipper);
    drop_wal(shipper);
    shipper->unread_count = 0;
    memset(&shipper->shipped, 0, sizeof(shipper->shipped));
    if (!is_noting(shipper))
        return;
    path_of(shipper, ".shipping", path);
    (void)unlink(path);
}

void shipper_end_generation(struct shipper *shipper, const char *why)
{
    if (shipper->state == STATE_OFF)
        return;
    if (shipper->state != STATE_NONE)
        log_info(shipper->options.log, "log shipping begins anew mailbox=%s: %s",
                 shipper->options.mailbox.text, why);
    forget(shipper);
    shipper->state = STATE_NONE;
}

/* As after a failure: not at once. */
static void put_off(struct shipper *shipper, int64_t now_ms)
{
    shipper->retry_ms = shipper->retry_ms == 0 ? SHIPPER_RETRY_MS : shipper->retry_ms * 2;
    if (shipper->retry_ms > SHIPPER_RETRY_MAX_MS)
        shipper->retry_ms = SHIPPER_RETRY_MAX_MS;
    shipper->retry_at_ms = now_ms + shipper->retry_ms;
}

static void give_up(struct shipper *shipper, const struct task *task, const char *what)
{
    log_failure(shipper->options.log, what, task);
    shipper_end_generation(shipper, what);
    put_off(shipper, task->now_ms);
}

/* --- Reading the log --- */

static enum err open_pending(struct shipper *shipper, struct task *task)
{
    struct segment_head head = {.mailbox = shipper->options.mailbox,
                                .generation = shipper->sealed.generation,
                                .number = shipper->sealed.next_number,
                                .page_bytes = shipper->wal.page_bytes};

    assert(shipper->pending == NULL && shipper->pending_fd < 0);
    memcpy(head.previous, shipper->sealed.previous, sizeof(head.previous));
    TRY(memfd_new(task, &shipper->pending_fd));
    shipper->is_pending_on_disk = false;
    return segment_writer_new(task, shipper->pending_fd, &head, &shipper->pending);
}

/* A file on the disk would be written by the log's own syncs; so only when it is large. */
static enum err move_to_disk(struct shipper *shipper, struct task *task)
{
    CLEANUP(fd_close) int fd =
        open(shipper->options.folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    int old = shipper->pending_fd;

    if (fd < 0)
        return fail(task, errno == ENOSPC ? ERR_LIMIT : ERR_IO, "log shipping: %s",
                    strerror(errno));
    TRY(segment_move(shipper->pending, task, fd));
    shipper->pending_fd = fd;
    shipper->is_pending_on_disk = true;
    fd = old;
    return ERR_OK;
}

/* Of a commit as it is made, or is found in the log now. */
static struct unread note_of(const struct shipper *shipper, int64_t now_ms, uint32_t frames)
{
    struct unread note = {frames, now_ms, shipper->sealed.change_counter};

    if (shipper->vault != NULL) {
        struct vault_usage usage;

        vault_usage(shipper->vault, &usage);
        note.change_counter = usage.change_counter;
    }
    return note;
}

/* Of the commit that was read. */
static struct unread what_was_noted(struct shipper *shipper, const struct task *task)
{
    uint32_t frames = shipper->wal.place.frames;

    while (shipper->unread_next < shipper->unread_count) {
        struct unread note = shipper->unread[shipper->unread_next++];

        if (note.frames == frames)
            return note;
    }
    return note_of(shipper, task->now_ms, frames);
}

static enum err on_frame(void *owner, struct task *task, const struct walfile_frame *frame)
{
    struct shipper *shipper = owner;
    struct segment_commit commit = {.db_pages = frame->db_pages};
    struct unread noted;

    if (shipper->pending == NULL)
        TRY(open_pending(shipper, task));
    if (!shipper->is_pending_on_disk && segment_size(shipper->pending) > SHIPPER_MEMORY_MAX)
        TRY(move_to_disk(shipper, task));
    TRY(segment_put_page(shipper->pending, task, frame->page, frame->bytes));
    if (frame->db_pages == 0)
        return ERR_OK;
    noted = what_was_noted(shipper, task);
    if (shipper->last_ms < noted.time_ms)
        shipper->last_ms = noted.time_ms;
    if (shipper->pending_since_ms == 0)
        shipper->pending_since_ms = noted.time_ms;
    shipper->sealed.change_counter = noted.change_counter;
    commit.time_ms = shipper->last_ms;
    commit.change_counter = shipper->sealed.change_counter;
    return segment_put_commit(shipper->pending, task, &commit);
}

/*
 * The log has begun anew, and all of the old one was read. So that a crash from now on leaves a place
 * that is known, it is noted; only while something of the old one waits to be sealed it is not.
 */
static void note_new_log(struct shipper *shipper)
{
    const struct walfile_place place = {
        {shipper->wal.place.salt[0], shipper->wal.place.salt[1]}, 0};

    if (shipper->state != STATE_RUNNING || shipper->pending != NULL)
        return;
    shipper->sealed.place = place;
    shipper->sealed.is_closed = false;
    if (shipper->flight.fd >= 0) {
        shipper->flight.after.place = place;
    } else {
        shipper->shipped = shipper->sealed;
        save(shipper, &shipper->shipped);
    }
}

/* Up to so many frames of the log as it is now. */
static enum err read_log(struct shipper *shipper, struct task *task, uint32_t frames)
{
    bool is_other = false;
    char path[PATH_ROOM];

    if (!shipper->has_wal) {
        path_of(shipper, ".sqlite-wal", path);
        TRY(walfile_open(task, path, &shipper->wal));
        shipper->has_wal = true;
        if (shipper->wal.place.salt[0] == shipper->sealed.place.salt[0] &&
            shipper->wal.place.salt[1] == shipper->sealed.place.salt[1])
            TRY(walfile_seek(&shipper->wal, task, &shipper->sealed.place));
        else
            is_other = true;
    } else {
        TRY(walfile_look(&shipper->wal, task, &is_other));
    }
    if (is_other)
        note_new_log(shipper);
    TRY(walfile_read(&shipper->wal, task, frames, on_frame, shipper));
    if (shipper->pending != NULL && segment_size(shipper->pending) > shipper->options.pending_max)
        return fail(task, ERR_LIMIT, "log shipping: too much waits for the destination");
    return ERR_OK;
}

static void read_or_give_up(struct shipper *shipper, int64_t now_ms)
{
    struct task task;

    if (shipper->unread_count == 0)
        return;
    task_init(&task, now_ms);
    shipper->unread_next = 0;
    if (read_log(shipper, &task, shipper->unread[shipper->unread_count - 1].frames) != ERR_OK)
        give_up(shipper, &task, "reading the log to ship it");
    shipper->unread_count = 0;
    task_done(&task);
}

/* While a generation begins each is read at once; and the first one of a log, whose place is noted then. */
static bool may_stay_unread(const struct shipper *shipper, uint32_t frames)
{
    return shipper->state == STATE_RUNNING && shipper->has_wal && !shipper->may_begin_anew &&
           frames > shipper->wal.place.frames &&
           frames - shipper->wal.place.frames < SHIPPER_UNREAD_MAX;
}

static void hear(struct shipper *shipper, int pages, bool may_wait, int64_t now_ms)
{
    uint32_t frames = (uint32_t)pages;

    if (shipper->state < STATE_COPYING)
        return;
    if (pages > 0) {
        assert(shipper->unread_count < ARRAY_LEN(shipper->unread));
        shipper->unread[shipper->unread_count++] = note_of(shipper, now_ms, frames);
    }
    if (!may_wait || !may_stay_unread(shipper, frames)) {
        shipper->may_begin_anew = !may_wait;
        read_or_give_up(shipper, now_ms);
    }
    if (pages > 0)
        shipper->options.on_work(shipper->options.owner);
}

static void on_log(void *owner, int pages, bool may_wait)
{
    struct shipper *shipper = owner;
    int64_t now_ms = clock_now_ms();

    hear(shipper, pages, may_wait, now_ms);
    if (shipper->next != NULL)
        hear(shipper->next, pages, may_wait, now_ms);
}

/* --- A generation begins --- */

/* What the log has already: as one with the base, which may have some of it. */
static enum err read_log_so_far(struct shipper *shipper, struct task *task)
{
    char path[PATH_ROOM];
    uint32_t frames;
    enum err err;

    path_of(shipper, ".sqlite-wal", path);
    err = walfile_open(task, path, &shipper->wal);
    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    shipper->has_wal = true;
    TRY(walfile_find_end(&shipper->wal, task, &frames));
    return walfile_read(&shipper->wal, task, frames, on_frame, shipper);
}

static enum err begin(struct shipper *shipper, struct task *task)
{
    struct snapshot_request request = {.kind = SNAPSHOT_BASE,
                                       .path = shipper->path,
                                       .vault = shipper->vault,
                                       .timeout_ms = SHIPPER_COPY_TIMEOUT_MS};
    struct vault_usage usage;
    char target[PATH_ROOM];

    if (vault_checkpoints_are_held(shipper->vault)) { /* a full backup may write the log back */
        shipper->retry_at_ms = task->now_ms + SHIPPER_RETRY_MS;
        shipper->is_held_up = true;
        return ERR_OK;
    }
    shipper->is_held_up = false;
    forget(shipper);
    memset(&shipper->sealed, 0, sizeof(shipper->sealed));
    shipper->sealed.generation = id_random();
    shipper->sealed.began_ms = task->now_ms;
    shipper->sealed.next_number = 1;
    segment_chain_start(shipper->key, &shipper->sealed.generation, shipper->sealed.previous);
    if (shipper->last_ms < task->now_ms)
        shipper->last_ms = task->now_ms;
    vault_usage(shipper->vault, &usage);
    shipper->manifest = (struct manifest){.mailbox = shipper->options.mailbox,
                                          .generation = shipper->sealed.generation,
                                          .time_ms = shipper->last_ms,
                                          .epoch = usage.epoch,
                                          .change_counter = usage.change_counter};
    path_of(shipper, ".base", target);
    request.target = target;
    TRY(read_log_so_far(shipper, task));
    if (shipper->pending != NULL)
        shipper->manifest.commits = segment_commits(shipper->pending);
    TRY(snapshot_start(task, &request, &shipper->copy));
    hold(shipper, true);
    shipper->state = STATE_COPYING;
    return ERR_OK;
}

static void send(struct shipper *shipper)
{
    struct flight *flight = &shipper->flight;

    flight->is_asked = true;
    shipper->options.put(shipper->options.owner, flight->name, flight->fd, flight->size_bytes,
                         flight->digest);
}

static enum err take_copy(struct shipper *shipper, struct task *task)
{
    struct snapshot_result result;
    struct flight *flight = &shipper->flight;
    char target[PATH_ROOM];

    snapshot_collect(shipper->copy, &result);
    snapshot_free(&shipper->copy);
    hold(shipper, false);
    if (result.err != ERR_OK)
        return fail(task, result.err, "%s", result.words);
    path_of(shipper, ".base", target);
    flight->fd = open(target, O_RDONLY | O_CLOEXEC);
    if (flight->fd < 0)
        return fail(task, ERR_IO, "log shipping: the base: %s", strerror(errno));
    (void)unlink(target);
    shipper->manifest.size_bytes = result.size_bytes;
    memcpy(shipper->manifest.digest, result.digest, sizeof(result.digest));
    snprintf(flight->name, sizeof(flight->name), "base/%s.sqlite",
             shipper->sealed.generation.text);
    flight->size_bytes = result.size_bytes;
    memcpy(flight->digest, result.digest, sizeof(result.digest));
    shipper->state = STATE_BASE;
    send(shipper);
    return ERR_OK;
}

/*
 * Once the manifest may be there, restoring takes this generation, and what any before it got from
 * then on would never be found: so no process may go on with one, not after a power cut either.
 */
static enum err forget_note(const struct shipper *shipper, struct task *task)
{
    char path[PATH_ROOM];

    assert(shipper->before == NULL);
    if (shipper->has_left) /* it is the next one's, of the file under its new key */
        return ERR_OK;
    path_of(shipper, ".shipping", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return fail(task, ERR_IO, "log shipping: %s", strerror(errno));
    return dir_sync(task, AT_FDCWD, shipper->options.folder);
}

static enum err put_manifest(struct shipper *shipper, struct task *task)
{
    CLEANUP(buf_free) struct buf json = {0};
    struct flight *flight = &shipper->flight;

    TRY(forget_note(shipper, task));
    buf_init(&json, MANIFEST_BYTES_MAX);
    manifest_write(&shipper->manifest, shipper->key, &json);
    TRY(memfd_from(task, buf_str(&json), &flight->fd));
    hasher_sha256(buf_str(&json), flight->digest);
    flight->size_bytes = json.len;
    snprintf(flight->name, sizeof(flight->name), "base/%s.json", shipper->sealed.generation.text);
    shipper->state = STATE_MANIFEST;
    send(shipper);
    return ERR_OK;
}

/* A follower is found by its manifest only when it has what the one before has, but for a second.
 */
static bool is_behind(const struct shipper *shipper, int64_t now_ms)
{
    return shipper->pending != NULL && now_ms - shipper->pending_since_ms > BEHIND_MS &&
           shipper->sealed.next_number <= BEHIND_MAX;
}

static enum err go_on_beginning(struct shipper *shipper, struct task *task)
{
    if (shipper->before == NULL)
        return put_manifest(shipper, task);
    shipper->state = is_behind(shipper, task->now_ms) ? STATE_CATCHING_UP : STATE_READY;
    return ERR_OK;
}

/* --- Segments --- */

static enum err seal(struct shipper *shipper, struct task *task)
{
    struct flight *flight = &shipper->flight;
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
    send(shipper);
    return ERR_OK;
}

void shipper_answered(struct shipper *shipper, enum shipper_answer answer, int64_t now_ms)
{
    struct flight *flight = &shipper->flight;
    struct task task;

    flight->is_asked = false;
    if (answer == SHIPPER_OFF) {
        forget(shipper);
        shipper->state = STATE_OFF;
        return;
    }
    if (answer == SHIPPER_AGAIN) {
        put_off(shipper, now_ms);
        return;
    }
    shipper->retry_ms = shipper->retry_at_ms = 0;
    if (flight->fd < 0) /* of a generation that has ended since */
        return;
    fd_close(&flight->fd);
    task_init(&task, now_ms);
    if (shipper->state == STATE_BASE || shipper->state == STATE_CATCHING_UP) {
        if (go_on_beginning(shipper, &task) != ERR_OK)
            give_up(shipper, &task, "beginning to ship the log");
    } else {
        if (shipper->state == STATE_MANIFEST) {
            shipper->state = STATE_RUNNING;
            shipper->shipped = shipper->sealed;
            if (shipper->shipped.last_ms < shipper->manifest.time_ms)
                shipper->shipped.last_ms = shipper->manifest.time_ms;
        } else {
            shipper->shipped = flight->after;
        }
        save(shipper, &shipper->shipped);
    }
    task_done(&task);
}

/* --- What is due --- */

static bool is_copy_made(const struct shipper *shipper)
{
    struct pollfd pipe_end = {.fd = snapshot_fd(shipper->copy), .events = POLLIN};

    return poll(&pipe_end, 1, 0) > 0;
}

static int64_t wait_of(int64_t at_ms, int64_t now_ms)
{
    return at_ms > now_ms ? at_ms - now_ms : 0;
}

/* Something is there to be done, and may be done now. */
static enum err work(struct shipper *shipper, struct task *task)
{
    if (shipper->flight.fd >= 0) {
        send(shipper); /* once more */
        return ERR_OK;
    }
    if (shipper->state == STATE_NONE)
        return begin(shipper, task);
    if (shipper->state == STATE_COPYING)
        return take_copy(shipper, task);
    if (segment_unhashed(shipper->pending) > SEGMENT_HASH_BYTES) /* so that sessions go on between */
        return segment_hash_some(shipper->pending, task);
    return seal(shipper, task);
}

/* When there is something to be done; -1: nothing. */
static int64_t next_at(const struct shipper *shipper, int64_t now_ms)
{
    if (shipper->state == STATE_OFF || shipper->flight.is_asked)
        return -1;
    if (shipper->flight.fd >= 0)
        return shipper->retry_at_ms;
    if (shipper->state == STATE_NONE) /* what follows is beginning already */
        return shipper->vault == NULL || shipper->next != NULL ? -1 : shipper->retry_at_ms;
    if (shipper->state == STATE_COPYING)
        return is_copy_made(shipper) ? now_ms : now_ms + COPY_LOOK_MS;
    if (shipper->state == STATE_CATCHING_UP && shipper->pending != NULL)
        return now_ms;
    if (shipper->state == STATE_RUNNING && shipper->pending != NULL)
        return shipper->vault == NULL ? now_ms : shipper->pending_since_ms + SHIPPER_BATCH_MS;
    return -1;
}

int64_t shipper_run(struct shipper *shipper, int64_t now_ms)
{
    struct task task;
    int64_t at_ms;

    read_or_give_up(shipper, now_ms);
    at_ms = next_at(shipper, now_ms);
    if (at_ms < 0 || at_ms > now_ms)
        return at_ms < 0 ? -1 : wait_of(at_ms, now_ms);
    task_init(&task, now_ms);
    if (work(shipper, &task) != ERR_OK)
        give_up(shipper, &task, "shipping the log");
    task_done(&task);
    at_ms = next_at(shipper, now_ms);
    return at_ms < 0 ? -1 : wait_of(at_ms, now_ms);
}

bool shipper_is_done(const struct shipper *shipper)
{
    return shipper->state == STATE_OFF || shipper->state == STATE_NONE ||
           (shipper->state == STATE_RUNNING && shipper->pending == NULL &&
            shipper->unread_count == 0 && shipper->flight.fd < 0);
}

/* --- The beginning and the end --- */

/* The commits since the last answer, from the log that a dead process left. */
static enum err read_left(struct shipper *shipper, struct task *task)
{
    char path[PATH_ROOM];
    uint32_t frames;

    path_of(shipper, ".sqlite-wal", path);
    TRY(walfile_open(task, path, &shipper->wal));
    shipper->has_wal = true;
    TRY(walfile_seek(&shipper->wal, task, &shipper->sealed.place));
    TRY(walfile_find_end(&shipper->wal, task, &frames));
    TRY(walfile_read(&shipper->wal, task, frames, on_frame, shipper));
    shipper->sealed.place = shipper->wal.place;
    return ERR_OK;
}

static bool has_log(const struct shipper *shipper)
{
    struct walfile wal;
    char path[PATH_ROOM];
    struct task task;
    enum err err;

    path_of(shipper, ".sqlite-wal", path);
    task_init(&task, 0);
    err = walfile_open(&task, path, &wal);
    if (err == ERR_OK)
        walfile_close(&wal);
    task_done(&task);
    return err != ERR_NOT_FOUND;
}

static void go_on(struct shipper *shipper, struct task *task)
{
    char path[PATH_ROOM];

    path_of(shipper, ".shipping", path);
    if (!shipping_load(path, &shipper->options.mailbox, shipper->key, &shipper->shipped))
        return;
    (void)unlink(path); /* until this process has something to say of it */
    shipper->sealed = shipper->shipped;
    shipper->last_ms = shipper->shipped.last_ms;
    shipper->state = STATE_RUNNING;
    if (shipper->shipped.is_closed && !has_log(shipper)) {
        if (!shipping_is_same_file(&shipper->shipped, shipper->path))
            shipper_end_generation(shipper, "the file is not the one that was closed");
    } else if (read_left(shipper, task) != ERR_OK) {
        shipper_end_generation(shipper, task->words);
        task_forgive(task);
    }
    if (shipper->state != STATE_RUNNING)
        return;
    shipper->shipped.is_closed = shipper->sealed.is_closed = false;
    drop_wal(shipper); /* the mailbox's opening empties the log; the next frame may be another's */
}

static struct shipper *shipper_make(const struct shipper_options *options)
{
    struct shipper *shipper = NEW(struct shipper);
    char path[PATH_ROOM];

    shipper->options = *options;
    shipper->key = segment_key(options->key);
    shipper->pending_fd = -1;
    shipper->flight.fd = -1;
    shipper->wal.fd = -1;
    shipper->state = STATE_NONE;
    path_of(shipper, ".sqlite", shipper->path);
    path_of(shipper, ".base", path);
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
        save(shipper, &shipping);
}

void shipper_attach(struct shipper *shipper, struct vault *vault)
{
    struct task task;
    char path[PATH_ROOM];
    uint32_t frames;

    shipper->vault = vault;
    vault_set_log_reader(vault, on_log, shipper);
    if (shipper->state != STATE_RUNNING)
        return;
    /* What opening the mailbox itself wrote. */
    task_init(&task, clock_now_ms());
    path_of(shipper, ".sqlite-wal", path);
    if (has_log(shipper) &&
        (read_log(shipper, &task, 0) != ERR_OK ||
         walfile_find_end(&shipper->wal, &task, &frames) != ERR_OK ||
         read_log(shipper, &task, frames) != ERR_OK))
        give_up(shipper, &task, "reading the log to ship it");
    task_done(&task);
    if (shipper->state == STATE_RUNNING && shipper_is_done(shipper) && !shipper->has_wal)
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
    return shipper->copy != NULL || (shipper->state == STATE_NONE && shipper->is_held_up) ||
           (shipper->state >= STATE_BASE && shipper->state <= STATE_MANIFEST &&
            (shipper->flight.is_asked || shipper->retry_at_ms == 0));
}

/* --- The next generation --- */

bool shipper_is_old(const struct shipper *shipper, int64_t now_ms)
{
    return shipper->state == STATE_RUNNING && shipper->vault != NULL && shipper->next == NULL &&
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
    return shipper->state == STATE_READY || shipper->before->state == STATE_NONE;
}

void shipper_take_over(struct shipper *shipper, int64_t now_ms)
{
    struct shipper *before = shipper->before;
    struct task task;

    read_or_give_up(before, now_ms);
    part(before, shipper);
    log_info(shipper->options.log, "log shipping goes on in a new generation mailbox=%s",
             shipper->options.mailbox.text);
    vault_set_log_reader(shipper->vault, on_log, shipper);
    shipper_leave(before);
    if (shipper->state != STATE_READY)
        return;
    task_init(&task, now_ms);
    if (put_manifest(shipper, &task) != ERR_OK)
        give_up(shipper, &task, "beginning to ship the log");
    task_done(&task);
}

void shipper_close(struct shipper **shipper_place)
{
    struct shipper *shipper = *shipper_place;

    if (shipper == NULL)
        return;
    *shipper_place = NULL;
    if (shipper->state == STATE_RUNNING && shipper_is_done(shipper) && is_noting(shipper) &&
        !has_log(shipper))
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
