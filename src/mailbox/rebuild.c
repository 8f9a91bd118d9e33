/*
 * The two talk over a socket, a byte at a time: the child says what it is ready for, the parent
 * sends segments, as descriptors, and the end. What came of it goes over the child's pipe
 * (mailbox/child.h). The parent keeps its end open until the child's is closed: so it knows that
 * the child is gone.
 */
#include "mailbox/rebuild.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "mailbox/child.h"
#include "wire/socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define SAYS_READY STR("r")
#define SAYS_ENOUGH STR("e")
#define SAYS_SEGMENT STR("s")
#define SAYS_FINISH STR("f")

struct mailbox_rebuild {
    struct mailbox_rebuild_order order;
    struct mailbox *mailbox;     /* borrowed */
    struct mailbox_job *job;     /* borrowed; NULL: it is over, and the child may still be ending */
    struct mailbox_child *child; /* own */
    struct net_watch *watch;     /* own */
    int fd;                      /* own: our end of the socket */
    enum mailbox_rebuild_state state;
    int64_t reached_ms;
};

/* --- in the child ---------------------------------------------------------------------------- */

static bool is_wanted(void *owner)
{
    return mailbox_child_is_wanted(owner);
}

static enum err say(struct task *task, int fd, struct str word, const int *fds, size_t fd_count)
{
    if (wire_socket_send(fd, word, fds, fd_count, 0) != WIRE_SOCKET_DONE)
        return fail(task, ERR_IO, "the two processes of a restore do not hear each other");
    return ERR_OK;
}

/* A segment, or -1: it is time to finish. */
static enum err hear(struct task *task, int from_fd, char *room, int *out_fd)
{
    int fds[WIRE_DESCRIPTORS_MAX];
    size_t len = 0, fd_count = 0;

    *out_fd = -1;
    if (wire_socket_receive(from_fd, room, &len, fds, &fd_count, 0) != WIRE_SOCKET_DONE)
        return fail(task, ERR_BUSY, "restore: it was given up");
    if (fd_count > 0)
        *out_fd = fds[0];
    if (str_equal(str_make(room, len), SAYS_SEGMENT) && fd_count == 0)
        return fail(task, ERR_IO, "restore: a segment did not come along");
    return ERR_OK;
}

static enum err say_how_far(const struct restore *restore, struct task *task, int line,
                            struct str word)
{
    int64_t reached_ms = restore_reached_ms(restore);
    char bytes[1 + sizeof(reached_ms)];

    bytes[0] = word.ptr[0];
    memcpy(bytes + 1, &reached_ms, sizeof(reached_ms));
    return say(task, line, str_make(bytes, sizeof(bytes)), NULL, 0);
}

static enum err apply_log(struct restore *restore, struct task *task, int line, int64_t until_ms)
{
    CLEANUP(mem_free) char *room = mem_room(WIRE_FRAME_MAX);
    bool is_enough = false;
    enum err err;

    for (;;) {
        CLEANUP(fd_close) int fd = -1;

        TRY(say_how_far(restore, task, line, is_enough ? SAYS_ENOUGH : SAYS_READY));
        TRY(hear(task, line, room, &fd));
        if (fd < 0)
            return ERR_OK;
        err = restore_segment(restore, task, fd, &is_enough);
        if (err != ERR_CORRUPT || restore_reached_ms(restore) < until_ms) {
            TRY(err);
            continue;
        }
        task_forgive(task); /* what was asked for is there, whatever is wrong with what follows */
        is_enough = true;
    }
}

struct work {
    struct mailbox_rebuild_order order;
    int line; /* the child's end of the socket */
};

static enum err build(struct mailbox_child_link *link, struct task *task, void *detail)
{
    const struct work *work = detail;
    const struct mailbox_rebuild_order *order = &work->order;
    struct restore_options options = order->options;
    CLEANUP(restore_free) struct restore *restore = NULL;
    char reached[CLOCK_ISO_ROOM];
    uint64_t epoch, counter;

    options.is_wanted = is_wanted;
    options.owner = link;
    restore = restore_begin(task, &options);
    mailbox_child_progress(link, "copying", 0, 0);
    TRY(restore_base(restore, task, order->manifest, order->base_fd));
    TRY(apply_log(restore, task, work->line, options.until_ms));
    if (!restore_is_whole(restore))
        mailbox_child_put(link, "unfinished", json_true());
    mailbox_child_progress(link, "checking", 0, 0);
    TRY(restore_finish(restore, task));
    restore_state(restore, &epoch, &counter);
    mailbox_child_put(link, "epoch", json_integer((json_int_t)epoch));
    mailbox_child_put(link, "change_counter", json_integer((json_int_t)counter));
    if (order->present_key != NULL)
        TRY(restore_rekey(restore, task, order->present_key));
    clock_format_iso(restore_reached_ms(restore), reached);
    mailbox_child_put(link, "time", json_string(reached));
    restore_leave(&restore);
    return ERR_OK;
}

/* --- in the parent --------------------------------------------------------------------------- */

static void on_readable(void *owner)
{
    struct mailbox_rebuild *rebuild = owner;
    CLEANUP(mem_free) char *room = mem_room(WIRE_FRAME_MAX);
    int fds[WIRE_DESCRIPTORS_MAX];
    size_t len = 0, fd_count = 0;
    enum wire_socket_result result =
        wire_socket_receive(rebuild->fd, room, &len, fds, &fd_count, MSG_DONTWAIT);

    for (size_t i = 0; i < fd_count; i++)
        fd_close(&fds[i]);
    if (result == WIRE_SOCKET_AGAIN)
        return;
    if (rebuild->job == NULL) {
        if (result == WIRE_SOCKET_GONE)
            (void)mailbox_rebuild_is_free(rebuild->mailbox);
        return;
    }
    if (result == WIRE_SOCKET_GONE) { /* its pipe says what came of it */
        net_watch_free(&rebuild->watch);
    } else if (len == 1 + sizeof(rebuild->reached_ms)) {
        memcpy(&rebuild->reached_ms, room + 1, sizeof(rebuild->reached_ms));
        rebuild->state =
            room[0] == SAYS_ENOUGH.ptr[0] ? MAILBOX_REBUILD_ENOUGH : MAILBOX_REBUILD_READY;
    }
    mailbox_job_go_on(rebuild->job);
}

/* Whatever the child has left; it is gone. */
static void remove_rest(const struct mailbox_rebuild *rebuild)
{
    const struct restore_options *options = &rebuild->order.options;
    struct task task;

    task_init(&task, 0);
    restore_remove_rest(&task, options->folder, &options->mailbox);
    task_done(&task);
}

bool mailbox_rebuild_is_free(struct mailbox *mailbox)
{
    struct pollfd line = {.events = POLLIN};

    if (mailbox->rebuild == NULL)
        return true;
    if (mailbox->rebuild->job != NULL)
        return false;
    line.fd = mailbox->rebuild->fd;
    if (poll(&line, 1, 0) <= 0 || (line.revents & POLLHUP) == 0)
        return false;
    remove_rest(mailbox->rebuild);
    mailbox_rebuild_free(&mailbox->rebuild);
    return true;
}

enum err mailbox_rebuild_start(struct mailbox_job *job, const struct mailbox_rebuild_order *order)
{
    struct mailbox *mailbox = job->mailbox;
    CLEANUP(mailbox_rebuild_free) struct mailbox_rebuild *rebuild = NULL;
    CLEANUP(fd_close) int theirs = -1;
    struct work work = {.order = *order};
    int ends[2], kept[2];

    if (!mailbox_rebuild_is_free(mailbox))
        return fail(&job->task, ERR_BUSY, "another backup of the mailbox is being looked at");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(&job->task, ERR_IO, "no socket: %s", strerror(errno));
    work.line = theirs = ends[1];
    rebuild = NEW(struct mailbox_rebuild);
    rebuild->fd = ends[0];
    rebuild->order = *order;
    rebuild->mailbox = mailbox;
    rebuild->job = job;
    kept[0] = order->base_fd;
    kept[1] = theirs;
    TRY(mailbox_child_start(job, build, &work, kept, ARRAY_LEN(kept), &rebuild->child));
    rebuild->watch = net_watch_new(mailbox->loop, rebuild->fd, on_readable, NULL, rebuild);
    net_watch_want(rebuild->watch, true, false);
    mailbox->rebuild = rebuild;
    rebuild = NULL;
    return ERR_OK;
}

enum mailbox_rebuild_state mailbox_rebuild_state(const struct mailbox_rebuild *rebuild)
{
    return mailbox_child_is_working(rebuild->child) ? rebuild->state : MAILBOX_REBUILD_ENDED;
}

/* One that has died meanwhile says so by its pipe. */
static enum err tell(struct mailbox_rebuild *rebuild, struct task *task, struct str word, int fd)
{
    enum wire_socket_result result =
        wire_socket_send(rebuild->fd, word, &fd, fd < 0 ? 0 : 1, MSG_DONTWAIT);

    if (result == WIRE_SOCKET_AGAIN)
        return fail(task, ERR_BUSY, "the kernel has no room for a descriptor");
    rebuild->state = MAILBOX_REBUILD_WORKING;
    return ERR_OK;
}

enum err mailbox_rebuild_segment(struct mailbox_rebuild *rebuild, struct task *task, int fd)
{
    return tell(rebuild, task, SAYS_SEGMENT, fd);
}

enum err mailbox_rebuild_finish(struct mailbox_rebuild *rebuild, struct task *task)
{
    return tell(rebuild, task, SAYS_FINISH, -1);
}

void mailbox_rebuild_give_up(struct mailbox_rebuild *rebuild)
{
    (void)shutdown(rebuild->fd, SHUT_WR);
    rebuild->state = MAILBOX_REBUILD_WORKING;
}

int64_t mailbox_rebuild_reached_ms(const struct mailbox_rebuild *rebuild)
{
    return rebuild->reached_ms;
}

static uint64_t take_number(json_t *result, const char *name)
{
    uint64_t number = (uint64_t)json_integer_value(json_object_get(result, name));

    (void)json_object_del(result, name);
    return number;
}

enum err mailbox_rebuild_result(struct mailbox_rebuild *rebuild, struct task *task,
                                struct mailbox_rebuilt *out)
{
    json_t *result = rebuild->job->result;
    enum err err = mailbox_child_result(rebuild->child, task);
    const char *reached;

    *out = (struct mailbox_rebuilt){.is_unfinished = json_object_del(result, "unfinished") == 0};
    out->epoch = take_number(result, "epoch");
    out->change_counter = take_number(result, "change_counter");
    TRY(err);
    reached = json_string_value(json_object_get(result, "time"));
    if (reached == NULL || !clock_parse_iso(str_from_c(reached), &out->reached_ms))
        return fail(task, ERR_IO, "the process that did it did not say how far it came");
    return ERR_OK;
}

void mailbox_rebuild_end(struct mailbox *mailbox, const struct mailbox_job *job)
{
    struct mailbox_rebuild *rebuild = mailbox->rebuild;

    if (rebuild == NULL || rebuild->job != job)
        return;
    rebuild->job = NULL;
    mailbox_child_free(&rebuild->child);
    (void)shutdown(rebuild->fd, SHUT_WR);
    /* Of one that was killed the pipe may be closed a moment before the socket: then the watch sees it. */
    (void)mailbox_rebuild_is_free(mailbox);
}

void mailbox_rebuild_free(struct mailbox_rebuild **rebuild_place)
{
    struct mailbox_rebuild *rebuild = *rebuild_place;

    if (rebuild == NULL)
        return;
    net_watch_free(&rebuild->watch);
    mailbox_child_free(&rebuild->child);
    fd_close(&rebuild->fd);
    mem_free(rebuild_place);
}
