/*
 * Connecting to a server that has several addresses: one after the other, each a little after the
 * one before while that does not answer, and at once when it is refused (in the manner of RFC 8305).
 * The first that answers is taken.
 */
#ifndef NET_CONNECT_H
#define NET_CONNECT_H

#include "base/ip.h"
#include "net/loop.h"

struct net_connect;

enum { NET_CONNECT_ADDRESSES_MAX = 16 };

struct net_connect_options {
    const struct ip_address *addresses; /* copied; 1 to NET_CONNECT_ADDRESSES_MAX, the best first */
    size_t address_count;
    uint16_t port;
    int64_t stagger_ms; /* how much later the next is tried beside those that do not answer; 0: 2 s */
    int64_t timeout_ms; /* of each; 0: 30 s */
};

/*
 * `fd` (non-blocking, close-on-exec) is the callee's, connected to addresses[index]; or -1, none
 * answered, and `error` is the last errno (ETIMEDOUT …). Freed behind it.
 */
typedef void (*net_on_connect)(void *owner, int fd, size_t index, int error);

/* Always answers later, from the loop. */
struct net_connect *net_connect_start(struct net_loop *loop,
                                      const struct net_connect_options *options,
                                      net_on_connect on_connect, void *owner);
/* Sets the pointer to NULL. */
void net_connect_cancel(struct net_connect **connect);

#endif
