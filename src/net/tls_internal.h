/* Between tls.c and connection.c: an SSL whose bytes a connection carries. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include "base/buf.h"
#include "net/tls.h"

#include <stdbool.h>

/* What the SSL reads from and writes to. Sealed bytes are gathered in `sealed`, so that several
 * records leave with one system call. */
struct tls_carrier {
    int fd;            /* borrowed */
    bool is_at_end;    /* the peer sends no more */
    struct buf sealed; /* own; to be sent by the connection */
};

/* A server's SSL over `carrier` (borrowed, must outlive it). NULL when there is no memory. */
SSL *net_tls_accept(struct net_tls *tls, struct tls_carrier *carrier);

#endif
