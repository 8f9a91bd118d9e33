/* Between tls.c, tls_client.c and a connection: an SSL whose bytes a connection carries. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include "base/buf.h"
#include "net/tls.h"
#include "net/tls_client.h"

#include <openssl/bio.h>

#include <stdbool.h>

/* What the SSL reads from and writes to. Sealed bytes are gathered in `sealed`, so that several
 * records leave with one system call. */
struct tls_carrier {
    int fd;            /* borrowed */
    bool is_at_end;    /* the peer sends no more */
    struct buf sealed; /* own; to be sent by the connection */
};

/* Of the BIOs between an SSL and its carrier. */
BIO_METHOD *net_tls_carrier_method(void);
/* An SSL over `carrier` (borrowed, must outlive it), neither side's yet. NULL when there is no
 * memory. */
SSL *net_tls_carry(SSL_CTX *context, BIO_METHOD *method, struct tls_carrier *carrier);
/* What holds for both sides: versions, options, groups. */
MUST_CHECK enum err net_tls_set_policy(struct task *task, SSL_CTX *context);
/* The newest reason in OpenSSL's queue; the queue is emptied. */
const char *net_tls_reason(void);

/* A server's SSL over `carrier` (borrowed, must outlive it). NULL when there is no memory. */
SSL *net_tls_accept(struct net_tls *tls, struct tls_carrier *carrier);
/* For the test: what connections to come are made with. Borrowed. */
SSL_CTX *net_tls_context(struct net_tls *tls);
/* A client's, which asks for what `peer` says. NULL: that cannot be asked for. */
SSL *net_tls_connect(struct net_tls_client *client, const struct net_tls_peer *peer,
                     struct tls_carrier *carrier);
/* Why a handshake failed, static; the queue is emptied. */
const char *net_tls_problem(const SSL *ssl);

#endif
