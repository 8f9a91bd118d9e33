/*
 * Answers that are kept until their TTL ends, in bounded memory: what was not asked for the longest
 * time goes first. Negative answers and failures, which a storm of made-up names brings, may take a
 * quarter of it, so that they never push out the rest.
 */
#ifndef DNS_CACHE_H
#define DNS_CACHE_H

#include "dns/answer.h"

struct dns_cache;

struct dns_key {
    struct str name; /* as dns_name_set leaves it */
    enum dns_type type;
    enum dns_service service;
};

struct dns_cached {
    enum dns_status status;
    bool is_secure;
    struct str records; /* encoded (dns/answer.h), with the TTLs that they came with */
    uint32_t ttl_s;     /* of the answer as a whole, as it came */
    uint32_t age_s;     /* out: how long it has been here */
};

struct dns_cache *dns_cache_new(size_t limit_bytes);
void dns_cache_free(struct dns_cache **cache);

/* Times are clock_monotonic_ms. The views hold until the next dns_cache_put. */
bool dns_cache_get(struct dns_cache *cache, const struct dns_key *key, int64_t now_ms,
                   struct dns_cached *out);
/* Replaces. Kept for ttl_s less age_s; what is over already, or larger than a sixteenth of all, is
 * not kept. */
void dns_cache_put(struct dns_cache *cache, const struct dns_key *key, int64_t now_ms,
                   const struct dns_cached *answer);

/* How many answers, and the memory that they take. */
size_t dns_cache_count(const struct dns_cache *cache);
size_t dns_cache_bytes(const struct dns_cache *cache);

#endif
