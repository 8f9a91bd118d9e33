/*
 * TLS to a server (OpenSSL 3): TLS 1.2 and 1.3, post-quantum groups where available, and who the
 * server must be: anybody, a name that the trust store vouches for, or what its TLSA records say
 * (RFC 6698, RFC 7672).
 */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include "base/task.h"

#include <stdbool.h>

struct net_tls_client; /* a trust store; shared by connections */

enum net_tls_trust {
    NET_TLS_TRUST_ANY,  /* encrypted, whoever it is (RFC 7435) */
    NET_TLS_TRUST_NAME, /* a chain to the trust store, for `name` (RFC 9525) */
    NET_TLS_TRUST_DANE, /* one of `records` */
};

struct net_tls_peer {
    enum net_tls_trust trust;
    struct str name;       /* of the server (SNI): A-labels, no dot at the end; or an IP address */
    struct str other_name; /* DANE-TA: the certificate may be for this one, too (RFC 7672 §3.2.2) */
    const struct str *records; /* RDATA of TLSA, usable ones only (net_tls_is_usable) */
    size_t record_count;
};

/*
 * `trust_pem`: the certificates that names are to lead back to (net_http_read_trust); empty: none,
 * so NET_TLS_TRUST_NAME never succeeds. All are read now: nothing is looked for on disk later,
 * where a sandbox would be in the way. ERR_INVALID: it holds no certificate.
 */
MUST_CHECK enum err net_tls_client_new(struct task *task, struct str trust_pem,
                                       struct net_tls_client **out_client);
/* Others to trust, for connections that begin from now on; as net_tls_client_new takes them. */
MUST_CHECK enum err net_tls_client_set_trust(struct net_tls_client *client, struct task *task,
                                             struct str trust_pem);
void net_tls_client_free(struct net_tls_client **client);

/* RFC 7672 §3.1: DANE-TA(2) or DANE-EE(3) with a selector and a digest that exist. */
bool net_tls_is_usable(struct str tlsa_rdata);

#endif
