/*
 * The local carrier. A frame is received into pages of the channel's own (not the heap: only what
 * frames really touch costs memory) and wiped as soon as its handler returned.
 *
 *   OPEN ──> CLOSED      the peer went, broke the rules, or the socket failed; on_close was called
 *
 * The owner may free the channel inside either callback: `is_freed` is looked at after each.
 */
#include "wire/channel.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "wire/socket.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
    FRAMES_PER_TURN = 32,      /* then other events have theirs */
    ROOM_KEPT = 16 * 1024,     /* pages beyond this go back after a large frame */
    SOCKET_BUFFER = 512 * 1024 /* a frame must fit; the kernel takes what it allows */
};

struct queued_frame {
    struct queued_frame *next; /* own */
    int fds[WIRE_DESCRIPTORS_MAX];
    size_t fd_count;
    size_t len;
    char bytes[];
};

struct wire_channel {
    struct net_watch *watch; /* own */
    int fd;                  /* own */
    enum wire_role self, peer;
    const struct wire_channel_events *events; /* borrowed */
    void *owner;                              /* borrowed */
    const struct log *log;                    /* borrowed */
    char *room;                               /* own; mapped when the first frame comes */
    struct buf encoded;                       /* the frame being sent; empty in between */
    struct queued_frame *first, **last;       /* own */
    size_t queued_bytes;
    bool is_closed;
    bool is_dispatching;
    bool is_freed; /* by the owner, inside a callback */
};

static void drop_queue(struct wire_channel *channel)
{
    while (channel->first != NULL) {
        struct queued_frame *frame = channel->first;

        channel->first = frame->next;
        for (size_t i = 0; i < frame->fd_count; i++)
            fd_close(&frame->fds[i]);
        mem_wipe(frame->bytes, frame->len);
        mem_free(&frame);
    }
    channel->last = &channel->first;
    channel->queued_bytes = 0;
}

static void destroy(struct wire_channel *channel)
{
    net_watch_free(&channel->watch);
    fd_close(&channel->fd);
    drop_queue(channel);
    buf_free(&channel->encoded);
    if (channel->room != NULL)
        munmap(channel->room, WIRE_FRAME_MAX);
    mem_free(&channel);
}

void wire_channel_free(struct wire_channel **channel)
{
    struct wire_channel *gone = *channel;

    *channel = NULL;
    if (gone == NULL)
        return;
    if (gone->is_dispatching)
        gone->is_freed = true;
    else
        destroy(gone);
}

enum wire_role wire_channel_peer(const struct wire_channel *channel)
{
    return channel->peer;
}

static void want(struct wire_channel *channel)
{
    net_watch_want(channel->watch, !channel->is_closed,
                   !channel->is_closed && channel->first != NULL);
}

static void close_channel(struct wire_channel *channel)
{
    if (channel->is_closed)
        return;
    channel->is_closed = true;
    drop_queue(channel);
    want(channel);
    channel->events->on_close(channel->owner, channel);
}

static void map_room(struct wire_channel *channel)
{
    void *room;

    if (channel->room != NULL)
        return;
    room = mmap(NULL, WIRE_FRAME_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        abort();
    madvise(room, WIRE_FRAME_MAX, MADV_DONTDUMP);
    channel->room = room;
}

static void wipe_room(struct wire_channel *channel, size_t len)
{
    mem_wipe(channel->room, len);
    if (len > ROOM_KEPT)
        madvise(channel->room, WIRE_FRAME_MAX, MADV_DONTNEED);
}

static void dispatch(struct wire_channel *channel, size_t len, int *fds, size_t fd_count)
{
    struct wire_message message;
    enum err err;

    if (len > WIRE_FRAME_MAX)
        len = WIRE_FRAME_MAX; /* cut: does not decode */
    err = wire_socket_check(str_make(channel->room, len), fds, fd_count, channel->self,
                            channel->peer, &message);
    if (err == ERR_OK) {
        channel->events->on_message(channel->owner, channel, &message);
        wire_message_close_fds(&message);
    } else {
        log_error(channel->log, "channel closed: %s peer=%s type=%s",
                  err == ERR_DENIED ? "message not allowed" : "malformed message",
                  wire_role_name(channel->peer), wire_type_name(message.type));
    }
    mem_wipe(&message, sizeof(message));
    wipe_room(channel, len);
    if (err != ERR_OK && !channel->is_freed)
        close_channel(channel);
}

static void on_readable(void *owner)
{
    struct wire_channel *channel = owner;

    map_room(channel);
    channel->is_dispatching = true;
    for (int turn = 0; turn < FRAMES_PER_TURN && !channel->is_freed && !channel->is_closed;
         turn++) {
        int fds[WIRE_DESCRIPTORS_MAX];
        size_t len = 0, fd_count = 0;
        enum wire_socket_result result = wire_socket_receive(channel->fd, channel->room, &len, fds,
                                                             &fd_count, MSG_DONTWAIT);

        if (result == WIRE_SOCKET_AGAIN)
            break;
        if (result == WIRE_SOCKET_GONE)
            close_channel(channel);
        else
            dispatch(channel, len, fds, fd_count);
    }
    channel->is_dispatching = false;
    if (channel->is_freed)
        destroy(channel);
}

/* Sends what is queued, as far as the socket takes it. */
static void on_writable(void *owner)
{
    struct wire_channel *channel = owner;

    while (channel->first != NULL) {
        struct queued_frame *frame = channel->first;
        enum wire_socket_result result =
            wire_socket_send(channel->fd, str_make(frame->bytes, frame->len), frame->fds,
                             frame->fd_count, MSG_DONTWAIT);

        if (result == WIRE_SOCKET_AGAIN)
            break;
        if (result == WIRE_SOCKET_GONE) {
            drop_queue(channel); /* reading will meet the end and close, after what still came */
            break;
        }
        channel->queued_bytes -= frame->len;
        channel->first = frame->next;
        if (channel->first == NULL)
            channel->last = &channel->first;
        for (size_t i = 0; i < frame->fd_count; i++)
            fd_close(&frame->fds[i]);
        mem_wipe(frame->bytes, frame->len);
        mem_free(&frame);
    }
    want(channel);
}

bool wire_channel_wait(struct wire_channel *channel, int64_t timeout_ms)
{
    int64_t end_ms = clock_monotonic_ms() + timeout_ms;

    assert(!channel->is_dispatching);
    for (;;) {
        int64_t left_ms = end_ms - clock_monotonic_ms();
        struct pollfd poll_fd = {
            .fd = channel->fd,
            .events = (short)(POLLIN | (channel->first != NULL ? POLLOUT : 0)),
        };

        if (channel->is_closed || left_ms < 0)
            return channel->is_closed;
        if (poll(&poll_fd, 1, (int)(left_ms < INT_MAX ? left_ms : INT_MAX)) <= 0)
            continue; /* in vain, or interrupted: the time tells */
        if ((poll_fd.revents & POLLOUT) != 0)
            on_writable(channel);
        if ((poll_fd.revents & ~POLLOUT) != 0) {
            on_readable(channel);
            return true;
        }
    }
}

/* Behind what waits already. ERR_BUSY: full, or no descriptors left to keep the caller's. */
static enum err enqueue(struct wire_channel *channel, const int *fds, size_t fd_count)
{
    struct queued_frame *frame;
    struct str bytes = buf_str(&channel->encoded);

    if (channel->queued_bytes + bytes.len > WIRE_QUEUE_MAX_BYTES)
        return ERR_BUSY;
    frame = mem_new(1, sizeof(*frame) + bytes.len);
    memcpy(frame->bytes, bytes.ptr, bytes.len);
    frame->len = bytes.len;
    while (frame->fd_count < fd_count) {
        int copy = fcntl(fds[frame->fd_count], F_DUPFD_CLOEXEC, 3);

        if (copy < 0) {
            for (size_t i = 0; i < frame->fd_count; i++)
                fd_close(&frame->fds[i]);
            mem_wipe(frame->bytes, frame->len);
            mem_free(&frame);
            return ERR_BUSY;
        }
        frame->fds[frame->fd_count++] = copy;
    }
    *channel->last = frame;
    channel->last = &frame->next;
    channel->queued_bytes += frame->len;
    want(channel);
    return ERR_OK;
}

static enum err send_encoded(struct wire_channel *channel, const int *fds, size_t fd_count)
{
    if (channel->first == NULL) {
        switch (wire_socket_send(channel->fd, buf_str(&channel->encoded), fds, fd_count,
                                 MSG_DONTWAIT)) {
        case WIRE_SOCKET_DONE:
            return ERR_OK;
        case WIRE_SOCKET_GONE:
            return ERR_BUSY; /* on_close comes from the loop, not in the middle of a caller */
        case WIRE_SOCKET_AGAIN:
            break;
        }
    }
    return enqueue(channel, fds, fd_count);
}

enum err wire_send(struct wire_channel *channel, enum wire_type type, uint64_t tag,
                   const void *body, const int *fds, size_t fd_count)
{
    enum err err;

    assert(wire_is_allowed(type, channel->self, channel->peer));
    assert(fd_count <= WIRE_DESCRIPTORS_MAX);
    if (channel->is_closed || channel->is_freed)
        return ERR_BUSY;
    err = wire_encode(type, tag, body, &channel->encoded);
    if (err == ERR_OK)
        err = send_encoded(channel, fds, fd_count);
    buf_free(&channel->encoded);
    return err;
}

struct wire_channel *wire_channel_new(struct net_loop *loop, int fd, enum wire_role self,
                                      enum wire_role peer, const struct wire_channel_events *events,
                                      void *owner, const struct log *log)
{
    struct wire_channel *channel = NEW(struct wire_channel);
    int size = SOCKET_BUFFER;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    channel->fd = fd;
    channel->self = self;
    channel->peer = peer;
    channel->events = events;
    channel->owner = owner;
    channel->log = log;
    channel->last = &channel->first;
    buf_init(&channel->encoded, WIRE_FRAME_MAX);
    channel->watch = net_watch_new(loop, fd, on_readable, on_writable, channel);
    want(channel);
    return channel;
}
