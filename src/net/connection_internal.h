/*
 * Between the files of a connection: connection.c has its states, its timers and its end,
 * connection_write.c what goes out, connection_read.c what comes in, connection_tls.c the
 * handshake.
 *
 *   PLAIN ──> AWAITING_TLS ──> HANDSHAKE ──> SECURE        any ──> FINISHING ──> CLOSED
 *
 *   PLAIN -> AWAITING_TLS      net_connection_start_tls(_client), until what is queued was sent
 *   AWAITING_TLS -> HANDSHAKE  net_connection_begin_tls; a new connection with implicit TLS begins
 *                              here
 *   HANDSHAKE -> SECURE        net_connection_handshake, then on_secure
 *   any -> FINISHING           net_connection_finish: send what is queued, then wait for the peer
 *                              to have read it (closing earlier would reset the connection and
 *                              destroy replies that are on their way)
 *   any -> CLOSED              net_connection_close_with, which calls on_close
 *
 * What is to be sent lies in `output` (as the owner gave it) and, with TLS, in `carrier.sealed` (as
 * it goes out); both are freed when empty, so that a silent connection costs nothing but its
 * objects. Nothing calls the owner from inside a call of his: that waits for the kick, a timer of
 * no delay.
 */
#ifndef NET_CONNECTION_INTERNAL_H
#define NET_CONNECTION_INTERNAL_H

#include "base/buf.h"
#include "net/compress.h"
#include "net/connection.h"
#include "net/tls_internal.h"

#include <netinet/in.h>
#include <openssl/ssl.h>

enum connection_state {
    CONNECTION_PLAIN,
    CONNECTION_AWAITING_TLS,
    CONNECTION_HANDSHAKE,
    CONNECTION_SECURE,
    CONNECTION_FINISHING,
    CONNECTION_CLOSED,
};

struct net_connection {
    struct net_loop *loop;                      /* borrowed */
    struct net_watch *watch;                    /* own */
    struct net_timer *kick;                     /* own; made when first needed */
    struct net_timer *timer;                    /* own; time-outs, made when first needed */
    struct net_timer *look;                     /* own; made when the peer closed its half */
    const struct net_connection_events *events; /* borrowed */
    void *owner;                                /* borrowed */
    struct net_tls *tls;                        /* borrowed; while AWAITING_TLS */
    SSL *ssl;                                   /* own; NULL: no TLS (yet) */
    const char *tls_problem;                    /* static */
    char *tls_words;                            /* own */
    struct tls_carrier carrier;                 /* its descriptor is ours */
    struct net_compress *compress;              /* own; NULL: not compressed */
    uint64_t received, written;                 /* bytes, as they are on the way */
    struct buf output;
    size_t output_limit;
    int64_t idle_ms; /* 0: no time-out */
    int64_t last_active_ms;
    int64_t finish_by_ms;
    enum net_close_reason failure; /* while `has_failed`: what kick will report */
    enum connection_state state;
    bool wants_input;
    bool is_input_over;  /* the peer closed its half */
    bool is_output_over; /* nothing more is written: our half closes behind what is queued */
    bool is_secure;
    bool has_failed;
    bool is_room_awaited; /* the output went over half: on_room when it falls under it */
    bool is_notified;     /* FINISHING: TLS's close_notify is on its way */
    bool is_shut;         /* all is sent, our side is closed */
    bool is_busy;         /* inside one of our event functions: freeing waits */
    bool is_freed;
    bool is_loopback;
    char address[INET6_ADDRSTRLEN];
};

/* connection.c */

/* Tells the loop what is waited for now. */
void net_connection_watch(struct net_connection *connection);
/* A turn of the loop's for it, soon: what failed is reported, what waits is read. */
void net_connection_kick(struct net_connection *connection);
/* The peer closed its half: looks every second whether it is gone altogether, as long as it is
 * answered. */
void net_connection_look_later(struct net_connection *connection);
/* The end: calls on_close. Only from the loop, or on_close would be called from inside the owner's
 * call. */
void net_connection_close_with(struct net_connection *connection, enum net_close_reason reason);
/* Remembers what ended the connection; the owner hears of it from the loop. */
void net_connection_fail_later(struct net_connection *connection, enum net_close_reason reason);

/* connection_write.c */

/* How many bytes wait to be sent. */
size_t net_connection_queued(const struct net_connection *connection);
/* Sends what is queued, as far as the socket takes it; false: the socket failed. */
bool net_connection_flush(struct net_connection *connection);
/* Only what is sealed already. */
bool net_connection_flush_sealed(struct net_connection *connection);

/* connection_read.c */

/* Input while it is wanted, to the owner; while FINISHING, to nobody. */
void net_connection_read(struct net_connection *connection);

/* connection_tls.c */

/* AWAITING_TLS, and all was sent in clear. */
void net_connection_begin_tls(struct net_connection *connection);
/* A step of it, with what the peer said. */
void net_connection_handshake(struct net_connection *connection);

#endif
