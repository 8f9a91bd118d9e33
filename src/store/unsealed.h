/*
 * Deliveries for absent owners while there is no sealer: it is being restarted, and they wait for the
 * next one, in order, some seconds and so many of them. Requests stay the store's: it frees them.
 */
#ifndef STORE_UNSEALED_H
#define STORE_UNSEALED_H

#include "net/loop.h"
#include "store/request.h"

struct store_unsealed;

/* The sealer is not there yet. `on_late` gets each that waited in vain: it waits no more. */
struct store_unsealed *store_unsealed_new(struct net_loop *loop,
                                          void (*on_late)(void *owner,
                                                          struct store_request *request),
                                          void *owner);
void store_unsealed_free(struct store_unsealed **unsealed);
/* The sealer went. */
void store_unsealed_begin(struct store_unsealed *unsealed);
/* False: the sealer is away for too long, or too many wait. */
MUST_CHECK bool store_unsealed_add(struct store_unsealed *unsealed, struct store_request *request);
/* The sealer came: takes the first off; NULL: none waits. */
struct store_request *store_unsealed_next(struct store_unsealed *unsealed);

#endif
