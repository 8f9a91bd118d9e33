/* Reading the mailbox's log into the next segment of what is shipped (shipper.h says when). */
#include "backup/shipper_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

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
    CLEANUP(fd_close)
    int fd = open(shipper->options.folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
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
static struct shipper_unread note_of(const struct shipper *shipper, int64_t now_ms, uint32_t frames)
{
    struct shipper_unread note = {frames, now_ms, shipper->sealed.change_counter};

    if (shipper->vault != NULL) {
        struct vault_usage usage;

        vault_usage(shipper->vault, &usage);
        note.change_counter = usage.change_counter;
    }
    return note;
}

/* Of the commit that was read. */
static struct shipper_unread what_was_noted(struct shipper *shipper, const struct task *task)
{
    uint32_t frames = shipper->wal.place.frames;

    while (shipper->unread_next < shipper->unread_count) {
        struct shipper_unread note = shipper->unread[shipper->unread_next++];

        if (note.frames == frames)
            return note;
    }
    return note_of(shipper, task->now_ms, frames);
}

static enum err on_frame(void *owner, struct task *task, const struct walfile_frame *frame)
{
    struct shipper *shipper = owner;
    struct segment_commit commit = {.db_pages = frame->db_pages};
    struct shipper_unread noted;

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
 * The log has begun anew, and all of the old one was read. So that a crash from now on leaves a
 * place that is known, it is noted; only while something of the old one waits to be sealed it is
 * not.
 */
static void note_new_log(struct shipper *shipper)
{
    const struct walfile_place place = {{shipper->wal.place.salt[0], shipper->wal.place.salt[1]},
                                        0};

    if (shipper->state != SHIPPER_STATE_RUNNING || shipper->pending != NULL)
        return;
    shipper->sealed.place = place;
    shipper->sealed.is_closed = false;
    if (shipper->flight.fd >= 0) {
        shipper->flight.after.place = place;
    } else {
        shipper->shipped = shipper->sealed;
        shipper_save(shipper, &shipper->shipped);
    }
}

/* Up to so many frames of the log as it is now. */
static enum err read_log(struct shipper *shipper, struct task *task, uint32_t frames)
{
    bool is_other = false;
    char path[SHIPPER_PATH_ROOM];

    if (!shipper->has_wal) {
        shipper_path(shipper, ".sqlite-wal", path);
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

void shipper_read_heard(struct shipper *shipper, int64_t now_ms)
{
    struct task task;

    if (shipper->unread_count == 0)
        return;
    task_init(&task, now_ms);
    shipper->unread_next = 0;
    if (read_log(shipper, &task, shipper->unread[shipper->unread_count - 1].frames) != ERR_OK)
        shipper_give_up(shipper, &task, "reading the log to ship it");
    shipper->unread_count = 0;
    task_done(&task);
}

/* While a generation begins each is read at once; and the first one of a log, whose place is noted
 * then. */
static bool may_stay_unread(const struct shipper *shipper, uint32_t frames)
{
    return shipper->state == SHIPPER_STATE_RUNNING && shipper->has_wal &&
           !shipper->may_begin_anew && frames > shipper->wal.place.frames &&
           frames - shipper->wal.place.frames < SHIPPER_UNREAD_MAX;
}

static void hear(struct shipper *shipper, int pages, bool may_wait, int64_t now_ms)
{
    uint32_t frames = (uint32_t)pages;

    if (shipper->state < SHIPPER_STATE_COPYING)
        return;
    if (pages > 0) {
        assert(shipper->unread_count < ARRAY_LEN(shipper->unread));
        shipper->unread[shipper->unread_count++] = note_of(shipper, now_ms, frames);
    }
    if (!may_wait || !may_stay_unread(shipper, frames)) {
        shipper->may_begin_anew = !may_wait;
        shipper_read_heard(shipper, now_ms);
    }
    if (pages > 0)
        shipper->options.on_work(shipper->options.owner);
}

void shipper_hear(void *owner, int pages, bool may_wait)
{
    struct shipper *shipper = owner;
    int64_t now_ms = clock_now_ms();

    hear(shipper, pages, may_wait, now_ms);
    if (shipper->next != NULL)
        hear(shipper->next, pages, may_wait, now_ms);
}

/* --- A log that is there --- */

bool shipper_has_log(const struct shipper *shipper)
{
    struct walfile wal;
    char path[SHIPPER_PATH_ROOM];
    struct task task;
    enum err err;

    shipper_path(shipper, ".sqlite-wal", path);
    task_init(&task, 0);
    err = walfile_open(&task, path, &wal);
    if (err == ERR_OK)
        walfile_close(&wal);
    task_done(&task);
    return err != ERR_NOT_FOUND;
}

enum err shipper_read_so_far(struct shipper *shipper, struct task *task)
{
    char path[SHIPPER_PATH_ROOM];
    uint32_t frames;
    enum err err;

    shipper_path(shipper, ".sqlite-wal", path);
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

enum err shipper_read_left(struct shipper *shipper, struct task *task)
{
    char path[SHIPPER_PATH_ROOM];
    uint32_t frames;

    shipper_path(shipper, ".sqlite-wal", path);
    TRY(walfile_open(task, path, &shipper->wal));
    shipper->has_wal = true;
    TRY(walfile_seek(&shipper->wal, task, &shipper->sealed.place));
    TRY(walfile_find_end(&shipper->wal, task, &frames));
    TRY(walfile_read(&shipper->wal, task, frames, on_frame, shipper));
    shipper->sealed.place = shipper->wal.place;
    return ERR_OK;
}

enum err shipper_read_opening(struct shipper *shipper, struct task *task)
{
    uint32_t frames;

    TRY(read_log(shipper, task, 0));
    TRY(walfile_find_end(&shipper->wal, task, &frames));
    return read_log(shipper, task, frames);
}
