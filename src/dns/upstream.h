/*
 * Questions to DNS over HTTPS servers (RFC 8484). Each has a URL and the IP addresses that it is
 * reached at, so that nothing needs to be looked up to look something up.
 *
 * The first server in the configuration's order is asked; when it has not answered after a delay,
 * the next one is asked, too, and the first good answer counts. One that cannot be reached, or
 * fails or is beaten in that race three times in a row, goes to the end of the order for a while
 * that doubles each time. (A single answer proves little: the name's own servers may be at fault,
 * on purpose.) When none can be reached one question tries every two seconds, and the others hear
 * at once that nobody knows.
 */
#ifndef DNS_UPSTREAM_H
#define DNS_UPSTREAM_H

#include "base/log.h"
#include "dns/message.h"
#include "net/http.h"

enum {
    DNS_UPSTREAM_ADDRESSES_MAX = 4,
    DNS_ENDPOINTS_MAX = 16, /* servers times addresses */
    DNS_UPSTREAM_RACE_MS = 400,
    DNS_UPSTREAM_CONNECT_MS = 3 * 1000,
    DNS_UPSTREAM_ATTEMPT_MS = 5 * 1000,  /* one request, its connection included */
    DNS_UPSTREAM_TIMEOUT_MS = 10 * 1000, /* one question, all its requests */
};

/* "https://dns.example/dns-query 192.0.2.1 2001:db8::1"; views of the text and the arena. */
struct dns_upstream_place {
    struct str url, target; /* the second: the first's path and query */
    struct str addresses[DNS_UPSTREAM_ADDRESSES_MAX];
    size_t address_count;
    uint16_t port;
};

/* NULL, or why the text is none (static words). A URL whose host is an IP address needs no other.
 */
const char *dns_upstream_parse(struct arena *arena, struct str text,
                               struct dns_upstream_place *out);

struct dns_upstreams;
struct dns_upstream_query;

/* `http` and `log` are borrowed; the places are copied. */
struct dns_upstreams *dns_upstreams_new(struct net_loop *loop, struct net_http *http,
                                        const struct log *log);
/* ERR_LIMIT: more than DNS_ENDPOINTS_MAX addresses; ERR_INVALID: see dns_upstream_parse. */
MUST_CHECK enum err dns_upstreams_add(struct dns_upstreams *upstreams, struct task *task,
                                      struct str text);
void dns_upstreams_free(struct dns_upstreams **upstreams);

/* `task` is for the answer's memory and lives until the call returns, as does `reply`. Nobody
 * answered: DNS_FAILED. The query is freed behind it. */
typedef void (*dns_on_reply)(void *owner, struct task *task, const struct dns_reply *reply);

/* Always answers later, from the loop, within DNS_UPSTREAM_TIMEOUT_MS. `name` as dns_name_set
 * leaves it; copied. */
struct dns_upstream_query *dns_upstreams_ask(struct dns_upstreams *upstreams, struct str name,
                                             enum dns_type type, dns_on_reply on_reply,
                                             void *owner);
void dns_upstream_query_cancel(struct dns_upstream_query **query);

#endif
