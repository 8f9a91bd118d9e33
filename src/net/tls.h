/* Server TLS (OpenSSL 3): TLS 1.2 and 1.3, safe defaults, post-quantum groups where available. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/task.h"

#include <openssl/types.h>

struct net_tls; /* a certificate chain and its key; shared by connections */

/* From PEM text. ERR_INVALID with words that say what is wrong (no match, expired is only warned). */
MUST_CHECK enum err net_tls_new(struct task *task, struct str certificate_pem, struct str key_pem,
                                struct net_tls **out_tls);
/* Replaces the certificate for connections to come (SIGHUP); on failure the old one stays. */
MUST_CHECK enum err net_tls_replace(struct net_tls *tls, struct task *task,
                                    struct str certificate_pem, struct str key_pem);
void net_tls_free(struct net_tls **tls);

#endif
