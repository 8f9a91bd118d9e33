/*
 * What is kept of hosts: connections that wait for another mail, and which did not answer.
 *
 * A connection is counted (held_count) from its beginning until it is given up; what says QUIT in
 * the background is not.
 */
#include "courier/pool.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>

enum {
    DEAD_MOST_TIMES = 15, /* the pause doubles each time, up to this many of the first */
    DEAD_HOSTS_MAX = 10 * 1000,
    HOST_KEY_ROOM = DNS_NAME_MAX + 16,
};

/* ---- hosts that do not answer ---- */

struct dead_host {
    struct courier_node node; /* by "host:port" */
    int64_t until_ms;
    unsigned count;
};

static struct dead_host *find_dead(const struct courier_destinations *pool, struct str host,
                                   uint16_t port, char key[static HOST_KEY_ROOM])
{
    struct courier_node *node;

    snprintf(key, HOST_KEY_ROOM, "%.*s:%u", STR_ARG(host), port);
    node = courier_table_find(&pool->dead, str_from_c(key));
    return node == NULL ? NULL : CONTAINER_OF(node, struct dead_host, node);
}

bool courier_host_is_dead(struct courier_destinations *pool, struct str host, uint16_t port)
{
    char key[HOST_KEY_ROOM];
    struct dead_host *dead = find_dead(pool, host, port, key);

    return dead != NULL && dead->until_ms > clock_monotonic_ms();
}

static void bury(void *owner, struct courier_node *node)
{
    struct courier_destinations *pool = owner;
    struct dead_host *dead = CONTAINER_OF(node, struct dead_host, node);

    courier_table_remove(&pool->dead, node);
    mem_free(&dead);
}

/* Twice its time later nobody remembers how often it failed. */
static void bury_if_old(void *owner, struct courier_node *node)
{
    const struct courier_destinations *pool = owner;
    struct dead_host *dead = CONTAINER_OF(node, struct dead_host, node);

    if (dead->until_ms + pool->rules.settings.dead_ms * DEAD_MOST_TIMES < clock_monotonic_ms())
        bury(owner, node);
}

void courier_host_note(struct courier_destinations *pool, struct str host, uint16_t port,
                       bool is_dead)
{
    char key[HOST_KEY_ROOM];
    struct dead_host *dead = find_dead(pool, host, port, key);
    int64_t most_ms = pool->rules.settings.dead_ms * DEAD_MOST_TIMES;
    int64_t for_ms;

    if (!is_dead) {
        if (dead != NULL)
            bury(pool, &dead->node);
        return;
    }
    if (dead == NULL) {
        if (pool->dead.count >= DEAD_HOSTS_MAX)
            bury(pool, courier_table_any(&pool->dead));
        dead = NEW(struct dead_host);
        courier_table_add(&pool->dead, &dead->node, str_from_c(key));
    }
    for_ms = pool->rules.settings.dead_ms;
    for (unsigned i = 0; i < dead->count && for_ms < most_ms; i++)
        for_ms *= 2;
    dead->until_ms = clock_monotonic_ms() + (for_ms < most_ms ? for_ms : most_ms);
    dead->count++;
}

void courier_hosts_sweep(struct courier_destinations *pool)
{
    courier_table_each(&pool->dead, bury_if_old, pool);
}

void courier_destinations_revive(struct courier_destinations *destinations)
{
    courier_table_each(&destinations->dead, bury, destinations);
}

/* ---- connections ---- */

struct courier_held *courier_held_new(struct courier_destination *destination, struct str host,
                                      enum net_tls_trust trust)
{
    struct courier_held *held = NEW(struct courier_held);

    held->destination = destination;
    held->host = mem_copy_text(host.ptr, host.len);
    held->host_len = host.len;
    held->trust = trust;
    destination->pool->held_count++;
    return held;
}

static void leave_idle(struct courier_held *held)
{
    struct courier_destinations *pool = held->destination->pool;
    struct courier_held **at = &held->destination->idle;

    if (!held->is_idle)
        return;
    while (*at != held)
        at = &(*at)->next;
    *at = held->next;
    held->destination->idle_count--;
    if (held->previous_idle != NULL)
        held->previous_idle->next_idle = held->next_idle;
    else
        pool->oldest_idle = held->next_idle;
    if (held->next_idle != NULL)
        held->next_idle->previous_idle = held->previous_idle;
    else
        pool->newest_idle = held->previous_idle;
    held->next = held->next_idle = held->previous_idle = NULL;
    held->is_idle = false;
    net_timer_free(&held->timer);
}

void courier_held_free(struct courier_held **held)
{
    struct courier_held *gone = *held;

    *held = NULL;
    if (gone == NULL)
        return;
    leave_idle(gone);
    gone->destination->pool->held_count--;
    courier_link_free(&gone->link);
    mem_free(&gone->host);
    mem_free(&gone);
}

static void on_idle_over(void *owner)
{
    struct courier_held *held = owner;

    courier_held_free(&held);
}

static void on_idle_ready(void *owner, struct courier_link *link)
{
    (void)owner;
    (void)link;
}

static void on_idle_ended(void *owner, struct courier_link *link)
{
    (void)link;
    on_idle_over(owner);
}

static const struct courier_link_events idle_events = {on_idle_ready, on_idle_ended};

void courier_pool_put(struct courier_held **held)
{
    struct courier_held *kept = *held;
    struct courier_destination *destination = kept->destination;
    struct courier_destinations *pool = destination->pool;

    if (courier_link_state(kept->link) != COURIER_LINK_READY ||
        kept->mails >= pool->rules.settings.messages_per_connection) {
        courier_held_free(held);
        return;
    }
    *held = NULL;
    courier_link_own(kept->link, &idle_events, kept);
    kept->is_idle = true;
    kept->next = destination->idle;
    destination->idle = kept;
    destination->idle_count++;
    kept->previous_idle = pool->newest_idle;
    if (pool->newest_idle != NULL)
        pool->newest_idle->next_idle = kept;
    else
        pool->oldest_idle = kept;
    pool->newest_idle = kept;
    kept->timer = net_timer_new(pool->loop, on_idle_over, kept);
    net_timer_start(kept->timer, pool->rules.settings.idle_ms);
}

static bool is_good_enough(const struct courier_held *held, enum net_tls_trust trust,
                           bool is_tls_required)
{
    if (trust != NET_TLS_TRUST_ANY && held->trust != trust)
        return false;
    return !is_tls_required || smtp_client_is_secure(courier_link_client(held->link));
}

struct courier_held *courier_pool_take(struct courier_destination *destination, struct str host,
                                       enum net_tls_trust trust, bool is_tls_required)
{
    struct courier_held *held = destination->idle;

    while (held != NULL && (!str_equal(str_make(held->host, held->host_len), host) ||
                            !is_good_enough(held, trust, is_tls_required)))
        held = held->next;
    if (held != NULL)
        leave_idle(held);
    return held;
}

void courier_pool_make_room(struct courier_destination *destination)
{
    struct courier_destinations *pool = destination->pool;
    struct courier_held *closed;

    if (destination->idle != NULL && destination->active_count + destination->idle_count >
                                         pool->rules.settings.connections_per_destination) {
        for (closed = destination->idle; closed->next != NULL; closed = closed->next)
            continue;
        courier_held_free(&closed);
    }
    while (pool->held_count >= pool->rules.settings.connections_max && pool->oldest_idle != NULL) {
        closed = pool->oldest_idle;
        courier_held_free(&closed);
    }
}
