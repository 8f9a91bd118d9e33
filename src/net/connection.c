/* One peer's byte stream: its states (connection_internal.h has the picture), its timers, its end.
 */
#include "net/connection_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    FINISH_MS = 10 * 1000, /* to send what is queued */
    LINGER_MS = 2 * 1000,  /* to see the peer close */
    LOOK_MS = 1000,        /* whether a peer that sends no more still reads */
};

void net_connection_watch(struct net_connection *connection)
{
    bool is_reading = false;

    if (connection->has_failed || connection->state == CONNECTION_CLOSED) {
        net_watch_want(connection->watch, false, false);
        return;
    }
    switch (connection->state) {
    case CONNECTION_PLAIN:
    case CONNECTION_SECURE:
        is_reading = connection->wants_input;
        break;
    case CONNECTION_HANDSHAKE:
    case CONNECTION_FINISHING:
        is_reading = !connection->is_input_over;
        break;
    case CONNECTION_AWAITING_TLS:
    case CONNECTION_CLOSED:
        break;
    }
    net_watch_want(connection->watch, is_reading,
                   connection->carrier.sealed.len > 0 ||
                       (connection->output.len > 0 && connection->state != CONNECTION_HANDSHAKE));
}

static void destroy(struct net_connection *connection)
{
    net_watch_free(&connection->watch);
    net_timer_free(&connection->kick);
    net_timer_free(&connection->look);
    net_timer_free(&connection->timer);
    SSL_free(connection->ssl);
    net_compress_free(&connection->compress);
    mem_free(&connection->tls_words);
    buf_free(&connection->output);
    buf_free(&connection->carrier.sealed);
    fd_close(&connection->carrier.fd);
    mem_wipe(connection, sizeof(*connection));
    mem_free(&connection);
}

/* Every event function of ours begins with enter and ends with leave. */
static void enter(struct net_connection *connection)
{
    connection->is_busy = true;
}

static void leave(struct net_connection *connection)
{
    connection->is_busy = false;
    if (connection->is_freed)
        destroy(connection);
    else
        net_connection_watch(connection);
}

void net_connection_close_with(struct net_connection *connection, enum net_close_reason reason)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    connection->state = CONNECTION_CLOSED;
    connection->wants_input = false;
    if (connection->timer != NULL)
        net_timer_stop(connection->timer);
    if (connection->look != NULL)
        net_timer_stop(connection->look);
    net_connection_watch(connection);
    connection->events->on_close(connection->owner, connection, reason);
}

void net_connection_fail_later(struct net_connection *connection, enum net_close_reason reason)
{
    if (!connection->has_failed) {
        connection->has_failed = true;
        connection->failure = reason;
        net_connection_kick(connection);
    }
}

static void on_readable(void *owner)
{
    struct net_connection *connection = owner;

    enter(connection);
    if (connection->state == CONNECTION_HANDSHAKE)
        net_connection_handshake(connection);
    else
        net_connection_read(connection);
    leave(connection);
}

static void start_timer(struct net_connection *connection);

/* All is sent, and nothing more comes from us; the peer may go on. */
static void shut_output(struct net_connection *connection)
{
    connection->is_shut = true;
    shutdown(connection->carrier.fd, SHUT_WR);
}

/* FINISHING, and all is sent: our side closes; the peer's end, or the timer, ends it. */
static void shut(struct net_connection *connection)
{
    if (connection->is_secure && !connection->is_notified) {
        connection->is_notified = true;
        ERR_clear_error();
        (void)SSL_shutdown(connection->ssl); /* close_notify */
        ERR_clear_error();
        if (net_connection_flush_sealed(connection) && net_connection_queued(connection) > 0)
            return; /* again when it is sent */
    }
    shut_output(connection);
    if (connection->is_input_over) {
        net_connection_fail_later(connection, NET_CLOSED_BY_PEER);
        return;
    }
    connection->finish_by_ms = clock_monotonic_ms() + LINGER_MS;
    start_timer(connection);
}

static void after_flush(struct net_connection *connection)
{
    if (net_connection_queued(connection) == 0 && connection->is_output_over &&
        !connection->is_shut && connection->state == CONNECTION_PLAIN)
        shut_output(connection);
    if (net_connection_queued(connection) == 0 && connection->state == CONNECTION_AWAITING_TLS)
        net_connection_begin_tls(connection);
    if (net_connection_queued(connection) == 0 && connection->state == CONNECTION_FINISHING &&
        !connection->is_shut)
        shut(connection);
    if (connection->is_room_awaited &&
        net_connection_queued(connection) < connection->output_limit / 2) {
        connection->is_room_awaited = false;
        if (connection->events->on_room != NULL && connection->state != CONNECTION_FINISHING)
            connection->events->on_room(connection->owner, connection);
    }
}

static void on_writable(void *owner)
{
    struct net_connection *connection = owner;

    enter(connection);
    if (!net_connection_flush(connection))
        net_connection_close_with(connection, NET_CLOSED_ERROR);
    else
        after_flush(connection);
    leave(connection);
}

static void on_kick(void *owner)
{
    struct net_connection *connection = owner;

    enter(connection);
    if (connection->has_failed)
        net_connection_close_with(connection, connection->failure);
    else if (connection->state == CONNECTION_HANDSHAKE)
        net_connection_handshake(connection);
    else
        net_connection_read(connection);
    leave(connection);
}

void net_connection_kick(struct net_connection *connection)
{
    if (connection->kick == NULL)
        connection->kick = net_timer_new(connection->loop, on_kick, connection);
    net_timer_start(connection->kick, 0);
}

/* A peer that closed its half, and is not read from any more, goes without a sign: a connection
 * that was reset, a local socket that was closed. Whoever works for it for long has to hear of that
 * before he writes. */
static void on_look(void *owner)
{
    struct net_connection *connection = owner;
    struct pollfd peer = {.fd = connection->carrier.fd};

    enter(connection);
    if (!connection->is_shut && connection->state != CONNECTION_FINISHING) {
        if (poll(&peer, 1, 0) > 0 && (peer.revents & (POLLHUP | POLLERR)) != 0)
            net_connection_close_with(connection, NET_CLOSED_BY_PEER);
        else
            net_timer_start(connection->look, LOOK_MS);
    }
    leave(connection);
}

void net_connection_look_later(struct net_connection *connection)
{
    if (connection->look == NULL)
        connection->look = net_timer_new(connection->loop, on_look, connection);
    net_timer_start(connection->look, LOOK_MS);
}

/* Activity only notes the time; the timer finds out here whether it was long ago. */
static void on_timer(void *owner)
{
    struct net_connection *connection = owner;
    int64_t now_ms = clock_monotonic_ms();
    bool is_over;

    enter(connection);
    if (connection->state == CONNECTION_FINISHING)
        is_over = now_ms >= connection->finish_by_ms;
    else
        is_over =
            connection->idle_ms > 0 && now_ms >= connection->last_active_ms + connection->idle_ms;
    if (is_over)
        net_connection_close_with(connection,
                                  connection->state == CONNECTION_FINISHING && connection->is_shut
                                      ? NET_CLOSED_BY_PEER
                                      : NET_CLOSED_TIMEOUT);
    else
        start_timer(connection);
    leave(connection);
}

static void start_timer(struct net_connection *connection)
{
    int64_t due_ms = connection->state == CONNECTION_FINISHING
                         ? connection->finish_by_ms
                         : connection->last_active_ms + connection->idle_ms;

    if (connection->state == CONNECTION_CLOSED ||
        (connection->state != CONNECTION_FINISHING && connection->idle_ms == 0))
        return;
    if (connection->timer == NULL)
        connection->timer = net_timer_new(connection->loop, on_timer, connection);
    /* Not earlier than due: the clocks' milliseconds are cut off. */
    net_timer_start(connection->timer, due_ms - clock_monotonic_ms() + 1);
}

void net_connection_set_timeout(struct net_connection *connection, int64_t idle_ms)
{
    connection->idle_ms = idle_ms;
    connection->last_active_ms = clock_monotonic_ms();
    if (connection->state == CONNECTION_FINISHING)
        return;
    if (idle_ms == 0 && connection->timer != NULL)
        net_timer_stop(connection->timer);
    start_timer(connection);
}

void net_connection_want_input(struct net_connection *connection, bool is_wanted)
{
    bool was_wanted = connection->wants_input;

    if (connection->state == CONNECTION_CLOSED)
        return;
    is_wanted = is_wanted && !connection->is_input_over;
    connection->wants_input = is_wanted;
    if (is_wanted && !was_wanted && connection->is_secure && SSL_has_pending(connection->ssl) != 0)
        net_connection_kick(connection);
    if (is_wanted && !was_wanted && connection->compress != NULL &&
        net_compress_has_more(connection->compress))
        net_connection_kick(connection);
    if (!connection->is_busy)
        net_connection_watch(connection);
}

void net_connection_end_output(struct net_connection *connection)
{
    assert(connection->state == CONNECTION_PLAIN || connection->state == CONNECTION_FINISHING ||
           connection->state == CONNECTION_CLOSED);
    if (connection->state != CONNECTION_PLAIN || connection->has_failed ||
        connection->is_output_over)
        return;
    connection->is_output_over = true;
    if (net_connection_queued(connection) == 0)
        shut_output(connection);
}

void net_connection_start_compression(struct net_connection *connection, struct str early)
{
    assert(connection->compress == NULL);
    if (connection->state == CONNECTION_CLOSED || connection->has_failed)
        return;
    connection->compress = net_compress_new();
    net_compress_feed(connection->compress, early);
    if (early.len > 0)
        net_connection_kick(connection);
}

void net_connection_go_on_compressed(struct net_connection *connection,
                                     struct net_compress *compress)
{
    assert(connection->compress == NULL);
    connection->compress = compress;
}

const struct net_compress *net_connection_compress(const struct net_connection *connection)
{
    return connection->compress;
}

uint64_t net_connection_received(const struct net_connection *connection)
{
    return connection->received;
}

uint64_t net_connection_written(const struct net_connection *connection)
{
    return connection->written;
}

void net_connection_finish(struct net_connection *connection)
{
    if (connection->state == CONNECTION_FINISHING || connection->state == CONNECTION_CLOSED ||
        connection->has_failed)
        return;
    if (connection->state == CONNECTION_HANDSHAKE || connection->state == CONNECTION_AWAITING_TLS) {
        net_connection_fail_later(connection, NET_CLOSED_ERROR);
        return;
    }
    connection->state = CONNECTION_FINISHING;
    connection->wants_input = false;
    connection->finish_by_ms = clock_monotonic_ms() + FINISH_MS;
    start_timer(connection);
    if (net_connection_queued(connection) == 0)
        shut(connection);
    if (!connection->is_busy)
        net_connection_watch(connection);
}

bool net_connection_is_secure(const struct net_connection *connection)
{
    return connection->is_secure;
}

struct str net_connection_address(const struct net_connection *connection)
{
    return str_from_c(connection->address);
}

bool net_connection_is_loopback(const struct net_connection *connection)
{
    return connection->is_loopback;
}

struct str net_connection_tls_problem(const struct net_connection *connection)
{
    return str_from_c(connection->tls_problem);
}

struct str net_connection_tls_words(const struct net_connection *connection)
{
    return str_from_c(connection->tls_words);
}

static void note_v4(struct net_connection *connection, struct in_addr address)
{
    inet_ntop(AF_INET, &address, connection->address, sizeof(connection->address));
    connection->is_loopback = (ntohl(address.s_addr) >> 24) == 127;
}

/* An IPv4 client of an IPv6 socket is an IPv4 client. */
static void note_address(struct net_connection *connection)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(storage);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    int on = 1;

    if (getpeername(connection->carrier.fd, (struct sockaddr *)&storage, &len) != 0 ||
        (storage.ss_family != AF_INET && storage.ss_family != AF_INET6)) {
        snprintf(connection->address, sizeof(connection->address), "local");
        connection->is_loopback = true;
        return;
    }
    setsockopt(connection->carrier.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(connection->carrier.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    memcpy(&v4, &storage, sizeof(v4));
    memcpy(&v6, &storage, sizeof(v6));
    if (storage.ss_family == AF_INET) {
        note_v4(connection, v4.sin_addr);
    } else if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        memcpy(&v4.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof(v4.sin_addr));
        note_v4(connection, v4.sin_addr);
    } else {
        inet_ntop(AF_INET6, &v6.sin6_addr, connection->address, sizeof(connection->address));
        connection->is_loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
}

struct net_connection *net_connection_new(struct net_loop *loop, int fd, struct net_tls *tls,
                                          size_t output_limit,
                                          const struct net_connection_events *events, void *owner)
{
    struct net_connection *connection = NEW(struct net_connection);

    connection->loop = loop;
    connection->events = events;
    connection->owner = owner;
    connection->output_limit = output_limit;
    connection->carrier.fd = fd;
    connection->wants_input = true;
    connection->last_active_ms = clock_monotonic_ms();
    buf_init(&connection->output, SIZE_MAX);
    buf_init(&connection->carrier.sealed, SIZE_MAX);
    note_address(connection);
    connection->watch = net_watch_new(loop, fd, on_readable, on_writable, connection);
    if (tls != NULL) {
        connection->tls = tls;
        net_connection_begin_tls(connection);
    }
    net_connection_watch(connection);
    return connection;
}

void net_connection_free(struct net_connection **connection)
{
    struct net_connection *gone = *connection;

    *connection = NULL;
    if (gone == NULL)
        return;
    if (gone->is_busy) {
        gone->is_freed = true;
        gone->state = CONNECTION_CLOSED;
        gone->wants_input = false;
    } else {
        destroy(gone);
    }
}
