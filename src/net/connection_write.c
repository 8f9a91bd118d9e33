/* What a connection sends: in clear or sealed, at once or when the socket takes it. */
#include "net/connection_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

enum {
    SEALED_HIGH = 60 * 1024, /* not more is sealed ahead of the socket, but for a record */
    SEALED_RESERVE = 80 * 1024,
};

size_t net_connection_queued(const struct net_connection *connection)
{
    return connection->output.len + connection->carrier.sealed.len;
}

/* Sends from the front of `bytes`; false when the socket failed. */
static bool send_some(struct net_connection *connection, struct str bytes, size_t *out_sent)
{
    ssize_t sent;

    *out_sent = 0;
    while (bytes.len > 0) {
        sent = send(connection->carrier.fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        connection->last_active_ms = clock_monotonic_ms();
        *out_sent += (size_t)sent;
        bytes = str_from(bytes, (size_t)sent);
    }
    return true;
}

static void consume(struct buf *buf, size_t len)
{
    if (len == buf->len)
        buf_free(buf);
    else
        buf_consume(buf, len);
}

/* Seals from the front of `bytes` until enough waits for the socket. */
static bool seal_some(struct net_connection *connection, struct str bytes, size_t *out_taken)
{
    char *room;

    *out_taken = 0;
    /* One allocation for the records of a large piece. */
    if (bytes.len > SEALED_RESERVE / 2 &&
        buf_reserve(&connection->carrier.sealed, SEALED_RESERVE, &room) != ERR_OK)
        return false;
    while (bytes.len > 0 && connection->carrier.sealed.len < SEALED_HIGH) {
        size_t taken = 0;

        ERR_clear_error();
        if (SSL_write_ex(connection->ssl, bytes.ptr, bytes.len, &taken) != 1) {
            ERR_clear_error();
            return false;
        }
        *out_taken += taken;
        bytes = str_from(bytes, taken);
    }
    return true;
}

bool net_connection_flush_sealed(struct net_connection *connection)
{
    size_t sent;
    bool is_fine = send_some(connection, buf_str(&connection->carrier.sealed), &sent);

    if (sent > 0)
        consume(&connection->carrier.sealed, sent);
    return is_fine;
}

/* As much of `bytes` as goes out now; *out_taken of them are sent or sealed. */
static bool transmit(struct net_connection *connection, struct str bytes, size_t *out_taken)
{
    size_t part;

    if (!connection->is_secure)
        return send_some(connection, bytes, out_taken);
    *out_taken = 0;
    do {
        if (!net_connection_flush_sealed(connection))
            return false;
        if (connection->carrier.sealed.len > 0)
            return true; /* the socket is full */
        if (!seal_some(connection, bytes, &part))
            return false;
        *out_taken += part;
        bytes = str_from(bytes, part);
    } while (part > 0);
    return true;
}

bool net_connection_flush(struct net_connection *connection)
{
    size_t taken = 0;

    if (connection->state == CONNECTION_HANDSHAKE)
        return net_connection_flush_sealed(connection);
    if (!transmit(connection, buf_str(&connection->output), &taken))
        return false;
    if (taken > 0)
        consume(&connection->output, taken);
    return true;
}

/* Bytes as they are to be sent. */
static void put(struct net_connection *connection, struct str bytes)
{
    size_t taken = 0;

    connection->written += bytes.len;
    if (net_connection_queued(connection) == 0 && connection->state != CONNECTION_HANDSHAKE &&
        !transmit(connection, bytes, &taken)) {
        net_connection_fail_later(connection, NET_CLOSED_ERROR);
        return;
    }
    if (taken < bytes.len)
        buf_put(&connection->output, str_from(bytes, taken));
    if (net_connection_queued(connection) >= connection->output_limit / 2)
        connection->is_room_awaited = true;
    if (!connection->is_busy)
        net_connection_watch(connection);
}

void net_connection_write(struct net_connection *connection, struct str bytes)
{
    struct buf packed;

    if (connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_FINISHING ||
        connection->is_output_over || connection->has_failed || bytes.len == 0)
        return;
    if (connection->compress == NULL) {
        put(connection, bytes);
        return;
    }
    buf_init(&packed, SIZE_MAX);
    net_compress_deflate(connection->compress, bytes, &packed);
    put(connection, buf_str(&packed));
    buf_free(&packed);
}

size_t net_connection_room(const struct net_connection *connection)
{
    size_t waiting = net_connection_queued(connection);

    if (connection->state == CONNECTION_CLOSED || connection->has_failed)
        return 0;
    return waiting >= connection->output_limit ? 0 : connection->output_limit - waiting;
}

size_t net_connection_offer(struct net_connection *connection, struct str bytes)
{
    size_t taken = 0, room;

    while (taken < bytes.len && (room = net_connection_room(connection)) > 0) {
        struct str part = str_upto(str_from(bytes, taken), room);

        net_connection_write(connection, part);
        taken += part.len;
    }
    return taken;
}
