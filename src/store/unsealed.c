#include "store/unsealed.h"

#include "base/memory.h"
#include "store/store.h"

enum { PATIENCE_MS = 3000 }; /* as that of logins (role/gate_client.c) and of smtp */

struct store_unsealed {
    struct net_timer *timer; /* own; until nobody is waited for */
    struct store_request *first, *last; /* borrowed */
    size_t count;
    bool is_over;
    void (*on_late)(void *owner, struct store_request *request);
    void *owner; /* borrowed */
};

struct store_request *store_unsealed_next(struct store_unsealed *unsealed)
{
    struct store_request *request = unsealed->first;

    if (request == NULL)
        return NULL;
    unsealed->first = request->next;
    if (unsealed->first == NULL)
        unsealed->last = NULL;
    request->next = NULL;
    unsealed->count--;
    return request;
}

static void on_patience(void *owner)
{
    struct store_unsealed *unsealed = owner;
    struct store_request *request;

    unsealed->is_over = true;
    while ((request = store_unsealed_next(unsealed)) != NULL)
        unsealed->on_late(unsealed->owner, request);
}

struct store_unsealed *store_unsealed_new(struct net_loop *loop,
                                          void (*on_late)(void *owner,
                                                          struct store_request *request),
                                          void *owner)
{
    struct store_unsealed *unsealed = NEW(struct store_unsealed);

    unsealed->timer = net_timer_new(loop, on_patience, unsealed);
    unsealed->on_late = on_late;
    unsealed->owner = owner;
    store_unsealed_begin(unsealed);
    return unsealed;
}

void store_unsealed_free(struct store_unsealed **unsealed)
{
    net_timer_free(&(*unsealed)->timer);
    mem_free(unsealed);
}

void store_unsealed_begin(struct store_unsealed *unsealed)
{
    unsealed->is_over = false;
    net_timer_start(unsealed->timer, PATIENCE_MS);
}

bool store_unsealed_add(struct store_unsealed *unsealed, struct store_request *request)
{
    if (unsealed->is_over || unsealed->count >= STORE_QUEUE_MAX)
        return false;
    request->next = NULL;
    if (unsealed->last == NULL)
        unsealed->first = request;
    else
        unsealed->last->next = request;
    unsealed->last = request;
    unsealed->count++;
    return true;
}
