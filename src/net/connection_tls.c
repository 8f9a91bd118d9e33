/* A connection's TLS handshake, as the server and as the client. */
#include "net/connection_internal.h"

#include "base/memory.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>

enum { TLS_WORDS_ROOM = 64 };

static void remember_tls(struct net_connection *connection)
{
    connection->tls_words = NEW_ARRAY(char, TLS_WORDS_ROOM);
    snprintf(connection->tls_words, TLS_WORDS_ROOM, "%s, %s", SSL_get_version(connection->ssl),
             SSL_get_cipher_name(connection->ssl));
}

void net_connection_handshake(struct net_connection *connection)
{
    int status, error;

    ERR_clear_error();
    status = SSL_do_handshake(connection->ssl);
    error = SSL_get_error(connection->ssl, status);
    if (status != 1 && error != SSL_ERROR_WANT_READ)
        connection->tls_problem = net_tls_problem(connection->ssl);
    ERR_clear_error();
    if (status != 1 && error != SSL_ERROR_WANT_READ) {
        (void)net_connection_flush_sealed(connection); /* the alert says why */
        net_connection_close_with(connection, NET_CLOSED_TLS);
        return;
    }
    if (status == 1) {
        connection->state = CONNECTION_SECURE;
        connection->is_secure = true;
        remember_tls(connection);
    }
    if (!net_connection_flush(connection)) {
        net_connection_close_with(connection, NET_CLOSED_ERROR);
        return;
    }
    if (status != 1)
        return;
    if (SSL_has_pending(connection->ssl) != 0)
        net_connection_kick(connection); /* application data came with the handshake's end */
    if (connection->events->on_secure != NULL)
        connection->events->on_secure(connection->owner, connection);
}

void net_connection_begin_tls(struct net_connection *connection)
{
    bool is_client = connection->ssl != NULL;

    if (!is_client && connection->tls != NULL)
        connection->ssl = net_tls_accept(connection->tls, &connection->carrier);
    connection->tls = NULL;
    connection->state = CONNECTION_HANDSHAKE;
    if (connection->ssl == NULL)
        net_connection_fail_later(connection, NET_CLOSED_TLS);
    else if (is_client)
        net_connection_kick(connection); /* who speaks first */
}

static void await_tls(struct net_connection *connection)
{
    connection->state = CONNECTION_AWAITING_TLS;
    if (net_connection_queued(connection) == 0)
        net_connection_begin_tls(connection);
    if (!connection->is_busy)
        net_connection_watch(connection);
}

void net_connection_start_tls(struct net_connection *connection, struct net_tls *tls)
{
    assert(connection->state == CONNECTION_PLAIN || connection->state == CONNECTION_CLOSED);
    if (connection->state == CONNECTION_CLOSED || connection->has_failed)
        return;
    connection->tls = tls;
    await_tls(connection);
}

void net_connection_start_tls_client(struct net_connection *connection,
                                     struct net_tls_client *client, const struct net_tls_peer *peer)
{
    assert(connection->state == CONNECTION_PLAIN || connection->state == CONNECTION_CLOSED);
    if (connection->state == CONNECTION_CLOSED || connection->has_failed)
        return;
    connection->ssl = net_tls_connect(client, peer, &connection->carrier);
    if (connection->ssl == NULL)
        connection->tls_problem = "what the server must show cannot be asked for";
    await_tls(connection);
}
