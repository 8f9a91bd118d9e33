#include "net/listener.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    ACCEPTS_PER_TURN = 16,
    PAUSE_MS = 100, /* after an accept that failed for want of descriptors or memory */
};

struct net_listener {
    int fd;                   /* own */
    struct net_watch *watch;  /* own */
    struct net_timer *pause;  /* own */
    void (*on_accept)(void *owner, int fd);
    void *owner; /* borrowed */
    bool is_resting; /* by ourselves */
    bool is_accepting, is_freed; /* freed inside on_accept: done after it */
};

static void want(struct net_listener *listener)
{
    net_watch_want(listener->watch, !listener->is_resting, false);
}

static void destroy(struct net_listener *listener)
{
    net_watch_free(&listener->watch);
    net_timer_free(&listener->pause);
    fd_close(&listener->fd);
    mem_free(&listener);
}

static void rest(struct net_listener *listener)
{
    listener->is_resting = true;
    net_timer_start(listener->pause, PAUSE_MS);
    want(listener);
}

static void on_rested(void *owner)
{
    struct net_listener *listener = owner;

    listener->is_resting = false;
    want(listener);
}

static void on_readable(void *owner)
{
    struct net_listener *listener = owner;

    listener->is_accepting = true;
    for (int i = 0; i < ACCEPTS_PER_TURN && !listener->is_freed; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            listener->on_accept(listener->owner, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            break; /* none left, or another process of this role was faster */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rest(listener);
            break;
        }
        /* The client gave up, or the network failed it: on to the next. */
    }
    listener->is_accepting = false;
    if (listener->is_freed)
        destroy(listener);
}

struct net_listener *net_listener_new(struct net_loop *loop, int fd,
                                      void (*on_accept)(void *owner, int fd), void *owner)
{
    struct net_listener *listener = NEW(struct net_listener);

    listener->fd = fd;
    listener->on_accept = on_accept;
    listener->owner = owner;
    listener->watch = net_watch_new(loop, fd, on_readable, NULL, listener);
    listener->pause = net_timer_new(loop, on_rested, listener);
    want(listener);
    return listener;
}

void net_listener_free(struct net_listener **listener)
{
    struct net_listener *gone = *listener;

    *listener = NULL;
    if (gone == NULL)
        return;
    if (gone->is_accepting)
        gone->is_freed = true;
    else
        destroy(gone);
}

