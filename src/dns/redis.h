/*
 * A Redis server that keeps values for several hosts for a while: here, DNS answers, so that all
 * hosts agree. Whatever it does, it costs nothing but speed: a value that is not there in time, a
 * server that is down or talks nonsense, all that is "not known". Whoever can write to it decides
 * what our hosts believe, so it belongs on a network of its own, or behind a local socket.
 *
 * One connection, made again with back-off; commands are pipelined. hiredis makes the commands and
 * reads the replies, the loop does the rest.
 */
#ifndef DNS_REDIS_H
#define DNS_REDIS_H

#include "base/log.h"
#include "base/str.h"
#include "net/loop.h"

#include <sys/socket.h>

enum {
    DNS_REDIS_TIMEOUT_MS = 100, /* nobody waits longer for a value */
    DNS_REDIS_VALUE_MAX = 128 * 1024,
};

struct dns_redis;
struct dns_redis_get;

/*
 * AF_INET, AF_INET6 or AF_UNIX. Connects at once, without waiting. `password` (empty: none is asked for)
 * and `log` are borrowed for its life.
 */
struct dns_redis *dns_redis_new(struct net_loop *loop, const struct sockaddr_storage *address,
                                socklen_t len, struct str password, const struct log *log);
void dns_redis_free(struct dns_redis **redis);

/* `value` holds during the call; its ptr is NULL: not known. */
typedef void (*dns_redis_on_value)(void *owner, struct str value);

/* NULL: not connected, so not known; on_value is not called. Else it answers later, from the loop.
 */
struct dns_redis_get *dns_redis_get(struct dns_redis *redis, struct str key,
                                    dns_redis_on_value on_value, void *owner);
void dns_redis_get_cancel(struct dns_redis_get **get);
/* Kept there for that long, if it can be. */
void dns_redis_set(struct dns_redis *redis, struct str key, struct str value, uint32_t ttl_s);

#endif
