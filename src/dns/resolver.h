/*
 * The resolver as its role runs it: a question is answered from memory, from what the hosts share
 * (Redis), or by the servers; what came is kept. The same question, asked by many at once, is asked
 * of the servers once.
 */
#ifndef DNS_RESOLVER_H
#define DNS_RESOLVER_H

#include "base/log.h"
#include "dns/answer.h"
#include "dns/direct.h"
#include "dns/redis.h"
#include "dns/upstream.h"

enum {
    DNS_OPEN_MAX = 4096,    /* different questions under way */
    DNS_ASKERS_MAX = 16384, /* and who waits for them */
    DNS_OPEN_PER_OWNER_MAX = 2048,
    /* What nobody knows is not asked again so soon (RFC 9520); also a negative answer that does not
     * say how long it holds. */
    DNS_HOLD_S = 5,
};

struct dns_resolver;

struct dns_resolver_options {
    size_t cache_bytes;
    struct dns_upstreams *upstreams; /* all borrowed */
    struct dns_upstreams *filter;    /* NULL: nobody knows then */
    struct dns_direct *list;         /* NULL: the upstreams are asked about block lists, too */
    struct dns_redis *redis;         /* NULL: none */
    const struct log *log;
};

struct dns_resolver *dns_resolver_new(const struct dns_resolver_options *options);
/* Other servers from now on (SIGHUP): open questions begin anew with them. The size stays. */
void dns_resolver_reconfigure(struct dns_resolver *resolver,
                              const struct dns_resolver_options *options);
/* Before what it borrows. */
void dns_resolver_free(struct dns_resolver **resolver);

/* What is to be sent on: `records` are encoded (dns/answer.h), with the TTLs that are left. */
struct dns_result {
    enum dns_status status;
    bool is_secure;
    struct str records; /* valid during the call */
};

typedef void (*dns_on_result)(void *owner, uint64_t tag, const struct dns_result *result);

/*
 * Answers inside the call if it can, else later from the loop. `owner` is who asks, for his limit
 * and for dns_resolver_forget.
 */
void dns_resolver_ask(struct dns_resolver *resolver, struct str name, enum dns_type type,
                      enum dns_service service, dns_on_result on_result, void *owner, uint64_t tag);
/* This one is gone: none of his questions is answered. */
void dns_resolver_forget(struct dns_resolver *resolver, const void *owner);

struct dns_resolver_numbers {
    uint64_t asked, cached, shared, joined, refused, failed;
};
/* Since the start. Borrowed, and always up to date. */
const struct dns_resolver_numbers *dns_resolver_numbers(const struct dns_resolver *resolver);

#endif
