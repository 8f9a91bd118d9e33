/* What a connection reads: in clear or sealed, compressed or not, and in turns. */
#include "net/connection_internal.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

enum {
    READS_PER_TURN = 8,     /* then other connections have their turn */
    INFLATED_PER_TURN = 16, /* pieces; likewise */
};

enum reading { READING_SOME, READING_NOTHING, READING_END, READING_FAILED };

static enum reading read_plain(struct net_connection *connection, char *room, size_t size,
                               size_t *out_len)
{
    ssize_t got;

    do {
        got = recv(connection->carrier.fd, room, size, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? READING_NOTHING : READING_FAILED;
    *out_len = (size_t)got;
    return got == 0 ? READING_END : READING_SOME;
}

static enum reading read_sealed(struct net_connection *connection, char *room, size_t size,
                                size_t *out_len)
{
    ERR_clear_error();
    if (SSL_read_ex(connection->ssl, room, size, out_len) == 1)
        return READING_SOME;
    switch (SSL_get_error(connection->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return READING_NOTHING;
    case SSL_ERROR_ZERO_RETURN:
        return READING_END;
    default:
        ERR_clear_error();
        return READING_FAILED;
    }
}

static enum reading read_some(struct net_connection *connection, char *room, size_t size,
                              size_t *out_len)
{
    return connection->is_secure ? read_sealed(connection, room, size, out_len)
                                 : read_plain(connection, room, size, out_len);
}

/*
 * Compressed input, to the owner, as far as he wants it. False: some is left, for another turn or
 * until it is wanted, or it is over.
 */
static bool deliver_inflated(struct net_connection *connection)
{
    for (int i = 0; net_compress_has_more(connection->compress); i++) {
        struct str plain;

        if (!connection->wants_input)
            return false; /* net_connection_want_input comes back to it */
        if (i == INFLATED_PER_TURN) {
            net_connection_kick(connection);
            return false;
        }
        if (net_compress_inflate(connection->compress, &plain) != ERR_OK) {
            net_connection_close_with(connection, NET_CLOSED_ERROR);
            return false;
        }
        if (plain.len > 0)
            connection->events->on_input(connection->owner, connection, plain);
        if (connection->is_freed || connection->has_failed ||
            connection->state == CONNECTION_FINISHING)
            return false;
    }
    return true;
}

/* Input to the owner. False: no more of it now. */
static bool deliver(struct net_connection *connection, struct str bytes)
{
    if (connection->compress == NULL) {
        connection->events->on_input(connection->owner, connection, bytes);
        return true;
    }
    net_compress_feed(connection->compress, bytes);
    return deliver_inflated(connection);
}

void net_connection_read(struct net_connection *connection)
{
    size_t size;
    char *room = net_loop_scratch(connection->loop, &size);

    if (connection->compress != NULL && connection->state != CONNECTION_FINISHING &&
        !deliver_inflated(connection))
        return;
    for (int i = 0; i < READS_PER_TURN && !connection->is_freed && !connection->has_failed; i++) {
        bool is_finishing = connection->state == CONNECTION_FINISHING;
        size_t len = 0;
        enum reading reading;

        if (!is_finishing && (!connection->wants_input || (connection->state != CONNECTION_PLAIN &&
                                                           connection->state != CONNECTION_SECURE)))
            return;
        reading = read_some(connection, room, size, &len);
        if (reading == READING_NOTHING)
            return;
        if (reading == READING_END && !is_finishing && connection->events->on_end != NULL) {
            connection->is_input_over = true;
            connection->wants_input = false;
            net_connection_look_later(connection);
            connection->events->on_end(connection->owner, connection);
            return;
        }
        if (reading != READING_SOME) {
            net_connection_close_with(connection, reading == READING_END ? NET_CLOSED_BY_PEER
                                                                         : NET_CLOSED_ERROR);
            return;
        }
        connection->received += len;
        connection->last_active_ms = clock_monotonic_ms();
        if (!is_finishing && !deliver(connection, str_make(room, len))) {
            mem_wipe(room, len);
            return;
        }
        mem_wipe(room, len);
        if (!connection->is_secure && len < size)
            return; /* the socket is empty; the loop tells when it is not */
    }
    /* What OpenSSL holds already, the loop does not see. */
    if (!connection->is_freed && connection->is_secure && SSL_has_pending(connection->ssl) != 0)
        net_connection_kick(connection);
}
