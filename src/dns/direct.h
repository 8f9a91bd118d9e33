/*
 * Questions to a resolver over plain DNS (RFC 1035 §4.2): the one that is asked for DNS block
 * lists, which refuse the public resolvers. UDP first; TCP when the answer was cut, or when
 * somebody sends answers that are none.
 *
 * Every question has a socket of its own, and with it a random port; its id is random, too. The
 * socket is connected, so that the kernel drops what comes from elsewhere. What cannot be proven so
 * is not proven: is_secure is never set.
 */
#ifndef DNS_DIRECT_H
#define DNS_DIRECT_H

#include "dns/message.h"
#include "dns/upstream.h"

#include <sys/socket.h>

enum {
    DNS_DIRECT_SERVERS_MAX = 16,
    DNS_DIRECT_TIMEOUT_MS = 6 * 1000, /* a question, with all that is sent for it */
    DNS_DIRECT_RETRY_MS = 1200,       /* then the next server, or the same one, is sent it again */
    DNS_DIRECT_WRONG_MAX = 8,         /* datagrams that are no answer to the question: then TCP */
};

struct dns_direct;
struct dns_direct_query;

struct dns_direct *dns_direct_new(struct net_loop *loop);
void dns_direct_free(struct dns_direct **direct);
/* At most DNS_DIRECT_SERVERS_MAX; the first is asked first. */
void dns_direct_add(struct dns_direct *direct, const struct sockaddr_storage *address,
                    socklen_t len);

/* As dns_upstreams_ask. */
struct dns_direct_query *dns_direct_ask(struct dns_direct *direct, struct str name,
                                        enum dns_type type, dns_on_reply on_reply, void *owner);
void dns_direct_query_cancel(struct dns_direct_query **query);

#endif
