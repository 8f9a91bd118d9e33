/*
 * One peer's byte stream: a TCP connection, with or without TLS, or a local stream socket.
 * Buffers are bounded: when `output` is full the owner must stop producing until on_room; input is
 * read only while wanted, so a peer's flow control reaches through.
 */
#ifndef NET_CONNECTION_H
#define NET_CONNECTION_H

#include "base/str.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/tls_client.h"

#include <stddef.h>

struct net_compress;
struct net_connection;

enum net_close_reason {
    NET_CLOSED_BY_PEER,
    NET_CLOSED_TIMEOUT, /* nothing was read or written for the time set */
    NET_CLOSED_TLS,     /* the handshake failed */
    NET_CLOSED_ERROR,
};

struct net_connection_events {
    /* Bytes came; the view holds during the call, and what the owner did not take is gone. Take
     * all, or call net_connection_want_input(false) beforehand. */
    void (*on_input)(void *owner, struct net_connection *connection, struct str bytes);
    /* The output buffer fell under half of its limit; may be NULL. */
    void (*on_room)(void *owner, struct net_connection *connection);
    /* TLS is up (after net_connection_start_tls, or at once for implicit TLS); may be NULL. */
    void (*on_secure)(void *owner, struct net_connection *connection);
    /* The peer sends no more, but may still read (it closed its half): no on_input comes any more.
     * Answer what came, then net_connection_finish; if the peer resets the connection before that,
     * or closes a local socket, on_close comes within a second or two (over TCP a mere close looks
     * like this until something was sent to it). NULL: that is on_close, too. */
    void (*on_end)(void *owner, struct net_connection *connection);
    /* Over; free it inside or later. */
    void (*on_close)(void *owner, struct net_connection *connection, enum net_close_reason reason);
};

/*
 * Takes over `fd`. `tls` not NULL: starts the server's handshake at once (implicit TLS).
 * `output_limit` bytes may wait for the peer. `events`, `owner`, `tls` are borrowed.
 */
struct net_connection *net_connection_new(struct net_loop *loop, int fd, struct net_tls *tls,
                                          size_t output_limit,
                                          const struct net_connection_events *events, void *owner);
void net_connection_free(struct net_connection **connection);

/* Takes all of it, over the limit if need be: for what is short, or was read only while there was
 * room. */
void net_connection_write(struct net_connection *connection, struct str bytes);
/*
 * Takes from the front of an engine's output while there is room, which there is again and again
 * while the socket takes it at once; gives how many bytes it took. Fewer than all: there is no room,
 * and on_room tells when there is, or on_close that there never will be. (Who writes only once, as
 * much as there was room for, keeps a rest for which no on_room comes.)
 */
MUST_CHECK size_t net_connection_offer(struct net_connection *connection, struct str bytes);
/* How much may be written now (0: wait for on_room). */
size_t net_connection_room(const struct net_connection *connection);
void net_connection_want_input(struct net_connection *connection, bool is_wanted);
/*
 * Starts the server's TLS handshake on a plain connection, after what is queued was sent. Input
 * that came before it is dropped (RFC 3207 §4.2, RFC 9051 §11.1).
 */
void net_connection_start_tls(struct net_connection *connection, struct net_tls *tls);
/*
 * The same as the client: the server must be who `peer` says, which is used during the call only. The
 * first handshake of a connection; input that came before it is dropped.
 */
void net_connection_start_tls_client(struct net_connection *connection,
                                     struct net_tls_client *client,
                                     const struct net_tls_peer *peer);
/* After NET_CLOSED_TLS: why, in words ("certificate has expired"); empty: not known. Borrowed. */
struct str net_connection_tls_problem(const struct net_connection *connection);
/*
 * From here on all that is written and read is compressed (RFC 4978); what was written before goes
 * out as it is. `early` are bytes that the owner took already and that are compressed: they come
 * again, inflated. What is not DEFLATE closes with NET_CLOSED_ERROR. At most once.
 */
void net_connection_start_compression(struct net_connection *connection, struct str early);
/* The same for a conversation that was compressed elsewhere before (net/compress.h). Takes it over.
 */
void net_connection_go_on_compressed(struct net_connection *connection,
                                     struct net_compress *compress);
/* Borrowed; NULL: it is not compressed. */
const struct net_compress *net_connection_compress(const struct net_connection *connection);
/* All that came from the peer, in bytes as they were on the way. */
uint64_t net_connection_received(const struct net_connection *connection);
/* Likewise all that was written to it, of which some may still be queued; without TLS's own. */
uint64_t net_connection_written(const struct net_connection *connection);
bool net_connection_is_secure(const struct net_connection *connection);
/*
 * Nothing more will be written, but input goes on: what is queued is sent, then our half of the
 * connection is closed. Only without TLS.
 */
void net_connection_end_output(struct net_connection *connection);
/*
 * Sends what is queued (for at most 10 s) and waits a moment for the peer to close, lest its unread
 * replies are destroyed; then on_close is called, with NET_CLOSED_BY_PEER if all was sent.
 */
void net_connection_finish(struct net_connection *connection);
/* Closes with NET_CLOSED_TIMEOUT when no byte passed for this long; 0: never. */
void net_connection_set_timeout(struct net_connection *connection, int64_t idle_ms);

/* The client's address as text without port ("192.0.2.1", "2001:db8::1"; "local" for a local
 * socket). Borrowed for the connection's life. */
struct str net_connection_address(const struct net_connection *connection);
bool net_connection_is_loopback(const struct net_connection *connection);
/* "TLSv1.3, TLS_AES_256_GCM_SHA384", empty without TLS; for the Received field. */
struct str net_connection_tls_words(const struct net_connection *connection);

#endif
