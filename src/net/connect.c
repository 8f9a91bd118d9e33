/*
 * One attempt for each address, begun in order by `next`, which one timer calls: again after the
 * stagger, at once when an attempt failed. The timer also ends attempts that took too long.
 */
#include "net/connect.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/address_class.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STAGGER_MS = 2 * 1000, TIMEOUT_MS = 30 * 1000 };

struct attempt {
    struct net_connect *dial;
    struct net_watch *watch; /* own */
    int fd;                  /* own; -1: none */
    int64_t end_ms;
    bool is_running;
};

struct net_connect {
    struct net_loop *loop;
    struct net_timer *timer; /* own */
    net_on_connect on_connect;
    void *owner;
    struct ip_address addresses[NET_CONNECT_ADDRESSES_MAX];
    struct attempt attempts[NET_CONNECT_ADDRESSES_MAX];
    size_t address_count, begun;
    uint16_t port;
    int64_t stagger_ms, timeout_ms, next_ms;
    int error;
};

static void stop(struct attempt *attempt)
{
    net_watch_free(&attempt->watch);
    fd_close(&attempt->fd);
    attempt->is_running = false;
}

void net_connect_cancel(struct net_connect **dial)
{
    if (*dial == NULL)
        return;
    for (size_t i = 0; i < (*dial)->begun; i++)
        stop(&(*dial)->attempts[i]);
    net_timer_free(&(*dial)->timer);
    mem_free(dial);
}

static void answer(struct net_connect *dial, int fd, size_t index)
{
    net_on_connect on_connect = dial->on_connect;
    void *owner = dial->owner;
    int error = fd >= 0 ? 0 : dial->error;

    net_connect_cancel(&dial);
    on_connect(owner, fd, index, error);
}

static void on_writable(void *owner)
{
    struct attempt *attempt = owner;
    struct net_connect *dial = attempt->dial;
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0) {
        int fd = attempt->fd;

        net_watch_free(&attempt->watch); /* before the descriptor is another's */
        attempt->fd = -1;
        answer(dial, fd, (size_t)(attempt - dial->attempts));
        return;
    }
    dial->error = error;
    stop(attempt);
    dial->next_ms = 0;
    net_timer_start(dial->timer, 0);
}

static void begin(struct net_connect *dial, int64_t now_ms)
{
    struct attempt *attempt = &dial->attempts[dial->begun];
    struct sockaddr_storage address;
    socklen_t len =
        net_address_to_socket(&dial->addresses[dial->begun], dial->port, &address);

    dial->begun++;
    attempt->dial = dial;
    attempt->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->fd < 0) {
        dial->error = errno;
        return;
    }
    if (connect(attempt->fd, (struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS) {
        dial->error = errno;
        fd_close(&attempt->fd);
        return;
    }
    attempt->is_running = true;
    attempt->end_ms = now_ms + dial->timeout_ms;
    attempt->watch = net_watch_new(dial->loop, attempt->fd, NULL, on_writable, attempt);
    net_watch_want(attempt->watch, false, true);
}

/* Ends what took too long; the earliest end of those that go on, INT64_MAX: none does. */
static int64_t expire(struct net_connect *dial, int64_t now_ms)
{
    int64_t first_ms = INT64_MAX;

    for (size_t i = 0; i < dial->begun; i++) {
        struct attempt *attempt = &dial->attempts[i];

        if (attempt->is_running && now_ms >= attempt->end_ms) {
            dial->error = ETIMEDOUT;
            stop(attempt);
        }
        if (attempt->is_running && attempt->end_ms < first_ms)
            first_ms = attempt->end_ms;
    }
    return first_ms;
}

static void on_time(void *owner)
{
    struct net_connect *dial = owner;
    int64_t now_ms = clock_monotonic_ms(), due_ms = expire(dial, now_ms);

    while (dial->begun < dial->address_count &&
           (due_ms == INT64_MAX || now_ms >= dial->next_ms)) {
        begin(dial, now_ms);
        dial->next_ms = now_ms + dial->stagger_ms;
        due_ms = expire(dial, now_ms);
    }
    if (due_ms == INT64_MAX) {
        answer(dial, -1, 0);
        return;
    }
    if (dial->begun < dial->address_count && dial->next_ms < due_ms)
        due_ms = dial->next_ms;
    net_timer_start(dial->timer, due_ms - now_ms + 1);
}

struct net_connect *net_connect_start(struct net_loop *loop,
                                      const struct net_connect_options *options,
                                      net_on_connect on_connect, void *owner)
{
    struct net_connect *dial = NEW(struct net_connect);

    assert(options->address_count > 0 && options->address_count <= NET_CONNECT_ADDRESSES_MAX);
    dial->loop = loop;
    dial->on_connect = on_connect;
    dial->owner = owner;
    dial->address_count = options->address_count;
    for (size_t i = 0; i < options->address_count; i++)
        dial->addresses[i] = options->addresses[i];
    dial->port = options->port;
    dial->stagger_ms = options->stagger_ms > 0 ? options->stagger_ms : STAGGER_MS;
    dial->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS;
    dial->timer = net_timer_new(loop, on_time, dial);
    net_timer_start(dial->timer, 0);
    return dial;
}
