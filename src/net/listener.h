/* Accepts connections on a listening socket, with a bound on how many are open at once. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/loop.h"

struct net_listener;

/* Takes over `fd`. `on_accept` owns the new descriptor (non-blocking, close-on-exec). While
 * accepting fails for want of descriptors the listener pauses for 100 ms. */
struct net_listener *net_listener_new(struct net_loop *loop, int fd,
                                      void (*on_accept)(void *owner, int fd), void *owner);
void net_listener_free(struct net_listener **listener);

#endif
