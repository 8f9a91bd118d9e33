/*
 * Turns: an attempt waits in its destination's queue, and the destination in the pool's while one
 * does. `pump`, from a timer of no delay, gives one attempt of each destination its turn, round and
 * round, while limits allow; so a destination with a thousand messages does not hold up the others.
 * Connections that wait for another mail, and hosts that do not answer, are held.c's.
 */
#include "courier/destinations.h"

#include "base/clock.h"
#include "base/memory.h"
#include "courier/pool.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    SWEEP_MS = 30 * 1000,
    MAILS_BEFORE_MORE = 20, /* that each connection carried well, before there is one more again */
};

/* ---- destinations ---- */

/* Trusted targets are apart from those that a user named: other addresses are allowed. */
static struct str key_of(struct arena *arena, const struct courier_target *target)
{
    switch (target->kind) {
    case COURIER_TARGET_DOMAIN:
        break;
    case COURIER_TARGET_LITERAL:
        return arena_printf(arena, "[%.*s]", STR_ARG(target->host));
    case COURIER_TARGET_HOST:
        return arena_printf(arena, "%s%s%.*s:%u", target->is_trusted ? "=" : "",
                            target->is_smarthost ? "=" : "", STR_ARG(target->host), target->port);
    }
    return target->host;
}

struct courier_destination *courier_destination_of(struct courier_destinations *pool,
                                                   const struct courier_target *target)
{
    struct courier_destination *destination;
    struct arena arena = {NULL};
    struct str key = key_of(&arena, target);
    struct courier_node *node = courier_table_find(&pool->table, key);

    if (node != NULL) {
        arena_free(&arena);
        return CONTAINER_OF(node, struct courier_destination, node);
    }
    destination = NEW(struct courier_destination);
    destination->pool = pool;
    destination->target = *target;
    destination->target.host = arena_copy(&destination->arena, target->host);
    destination->waiting_end = &destination->waiting;
    destination->limit = pool->rules.settings.connections_per_destination;
    courier_table_add(&pool->table, &destination->node, key);
    arena_free(&arena);
    if (pool->table.count == 1)
        net_timer_start(pool->sweep, SWEEP_MS);
    return destination;
}

static void destination_free(struct courier_destination *destination)
{
    assert(destination->waiting == NULL && destination->active == NULL);
    while (destination->idle != NULL) {
        struct courier_held *held = destination->idle;

        courier_held_free(&held);
    }
    courier_table_remove(&destination->pool->table, &destination->node);
    courier_plan_cancel(&destination->planning);
    courier_plan_unref(&destination->plan);
    arena_free(&destination->arena);
    mem_free(&destination);
}

static void sweep_one(void *owner, struct courier_node *node)
{
    struct courier_destination *destination = CONTAINER_OF(node, struct courier_destination, node);
    int64_t now_ms = clock_monotonic_ms();

    (void)owner;
    if (destination->waiting == NULL && destination->active == NULL && !destination->is_queued &&
        destination->idle == NULL && destination->planning == NULL &&
        destination->next_start_ms <= now_ms &&
        (destination->plan == NULL || destination->plan->valid_until_ms <= now_ms))
        destination_free(destination);
}

static void on_sweep(void *owner)
{
    struct courier_destinations *pool = owner;

    courier_table_each(&pool->table, sweep_one, pool);
    courier_hosts_sweep(pool);
    if (pool->table.count > 0)
        net_timer_start(pool->sweep, SWEEP_MS);
}

static void on_plan(void *owner, struct courier_plan *plan)
{
    struct courier_destination *destination = owner;
    struct courier_attempt *attempt = destination->active;

    destination->planning = NULL;
    courier_plan_unref(&destination->plan);
    destination->plan = plan;
    /* Each may end at once, and take others along: from the beginning each time. */
    while (attempt != NULL) {
        if (attempt->state == COURIER_ATTEMPT_PLANNING) {
            courier_attempt_planned(attempt);
            attempt = destination->active;
        } else {
            attempt = attempt->next;
        }
    }
}

/* ---- turns ---- */

static void insert(struct courier_attempt **place, struct courier_attempt *attempt)
{
    attempt->next = *place;
    attempt->place = place;
    if (attempt->next != NULL)
        attempt->next->place = &attempt->next;
    *place = attempt;
}

static void take_out(struct courier_attempt *attempt)
{
    struct courier_destination *destination = attempt->destination;

    *attempt->place = attempt->next;
    if (attempt->next != NULL)
        attempt->next->place = attempt->place;
    if (destination->waiting_end == &attempt->next)
        destination->waiting_end = attempt->place;
    attempt->next = NULL;
    attempt->place = NULL;
}

static void queue_destination(struct courier_destination *destination)
{
    struct courier_destinations *pool = destination->pool;

    if (destination->is_queued || destination->waiting == NULL)
        return;
    destination->is_queued = true;
    destination->next_queued = NULL;
    *pool->queue_end = destination;
    pool->queue_end = &destination->next_queued;
}

void courier_pool_enqueue(struct courier_attempt *attempt)
{
    struct courier_destination *destination = attempt->destination;

    attempt->state = COURIER_ATTEMPT_WAITING;
    insert(destination->waiting_end, attempt);
    destination->waiting_end = &attempt->next;
    queue_destination(destination);
    net_timer_start(attempt->pool->kick, 0);
}

void courier_pool_leave(struct courier_attempt *attempt)
{
    struct courier_destinations *pool = attempt->pool;

    if (attempt->destination == NULL)
        return;
    if (attempt->state != COURIER_ATTEMPT_WAITING) {
        attempt->destination->active_count--;
        pool->active_count--;
    }
    take_out(attempt);
    attempt->destination = NULL;
    net_timer_start(pool->kick, 0);
}

void courier_pool_requeue(struct courier_attempt *attempt)
{
    struct courier_destination *destination = attempt->destination;

    take_out(attempt);
    attempt->pool->active_count--;
    destination->active_count--;
    /* An idle connection is one between two attempts. */
    destination->limit = destination->active_count + destination->idle_count;
    if (destination->limit == 0)
        destination->limit = 1;
    destination->good_mails = 0;
    attempt->state = COURIER_ATTEMPT_WAITING;
    insert(&destination->waiting, attempt);
    if (destination->waiting_end == &destination->waiting)
        destination->waiting_end = &attempt->next;
    queue_destination(destination);
    net_timer_start(attempt->pool->kick, 0);
}

void courier_pool_praise(struct courier_destination *destination)
{
    if (destination->limit < destination->pool->rules.settings.connections_per_destination &&
        ++destination->good_mails >= destination->limit * MAILS_BEFORE_MORE) {
        destination->limit++;
        destination->good_mails = 0;
    }
}

static void begin(struct courier_destination *destination)
{
    struct courier_attempt *attempt = destination->waiting;
    struct courier_destinations *pool = destination->pool;
    int64_t now_ms = clock_monotonic_ms();

    take_out(attempt);
    insert(&destination->active, attempt);
    destination->active_count++;
    pool->active_count++;
    attempt->state = COURIER_ATTEMPT_PLANNING;
    if (pool->rules.settings.messages_per_minute > 0)
        destination->next_start_ms =
            now_ms + (int64_t)(60 * 1000 / pool->rules.settings.messages_per_minute);
    if (destination->plan != NULL && destination->plan->valid_until_ms > now_ms)
        courier_attempt_begin(attempt);
    else if (destination->planning == NULL)
        destination->planning =
            courier_plan_start(&pool->planner, &destination->target, on_plan, destination);
}

/* One turn for a destination; *wait_ms: when to look again at the latest. */
static bool give_turn(struct courier_destination *destination, int64_t *wait_ms)
{
    struct courier_destinations *pool = destination->pool;
    int64_t left_ms = destination->next_start_ms - clock_monotonic_ms();

    if (destination->waiting == NULL || destination->active_count >= destination->limit ||
        pool->active_count >= pool->rules.settings.connections_max)
        return false;
    if (left_ms > 0) {
        if (left_ms < *wait_ms)
            *wait_ms = left_ms;
        return false;
    }
    begin(destination);
    return true;
}

static struct courier_destination *dequeue(struct courier_destinations *pool)
{
    struct courier_destination *destination = pool->queue;

    pool->queue = destination->next_queued;
    if (pool->queue == NULL)
        pool->queue_end = &pool->queue;
    destination->is_queued = false;
    return destination;
}

static void pump(void *owner)
{
    struct courier_destinations *pool = owner;
    int64_t wait_ms = INT64_MAX;
    bool is_moving = true;

    while (is_moving && pool->queue != NULL) {
        struct courier_destination **last = pool->queue_end;

        is_moving = false;
        /* Once around: what is queued meanwhile stands behind `last`. */
        for (bool is_last = false; !is_last && pool->queue != NULL &&
                                   pool->active_count < pool->rules.settings.connections_max;) {
            struct courier_destination *destination = pool->queue;

            is_last = &destination->next_queued == last;
            dequeue(pool);
            if (give_turn(destination, &wait_ms))
                is_moving = true;
            queue_destination(destination);
        }
    }
    if (wait_ms != INT64_MAX)
        net_timer_start(pool->kick, wait_ms + 1);
}

/* ---- the whole ---- */

/* What others borrow of the rules. */
static void apply_rules(struct courier_destinations *pool)
{
    const struct courier_settings *settings = &pool->rules.settings;
    struct courier_planner *planner = &pool->planner;

    planner->hostname = settings->hostname;
    planner->without_ipv6 = settings->without_ipv6;
    planner->without_ipv4 = settings->without_ipv4;
    planner->port = settings->port;
    planner->allow = pool->rules.allow;
    planner->allow_count = pool->rules.allow_count;
    planner->own_addresses = pool->rules.own_addresses;
    planner->own_address_count = pool->rules.own_address_count;
    courier_sts_allow(pool->sts, planner->allow, planner->allow_count);
    pool->rules.settings.smarthost_password = pool->password;
}

static void take_password(struct courier_destinations *pool, const struct courier_settings *settings)
{
    secret_free(&pool->password);
    if (settings->smarthost_password != NULL)
        pool->password = secret_copy(secret_str(settings->smarthost_password));
}

/* What was planned by the old rules is not followed any more. */
static void plan_anew(void *owner, struct courier_node *node)
{
    struct courier_destinations *pool = owner;
    struct courier_destination *destination = CONTAINER_OF(node, struct courier_destination, node);

    destination->limit = pool->rules.settings.connections_per_destination;
    if (destination->plan != NULL)
        destination->plan->valid_until_ms = 0;
}

enum err courier_destinations_configure(struct courier_destinations *pool, struct task *task,
                                        const struct courier_settings *settings)
{
    struct courier_rules fresh;

    TRY(courier_rules_read(task, settings, &fresh));
    if (net_tls_client_set_trust(pool->tls, task, settings->trust_pem) != ERR_OK) {
        courier_rules_done(&fresh);
        return task->err;
    }
    take_password(pool, settings);
    courier_rules_done(&pool->rules);
    pool->rules = fresh;
    apply_rules(pool);
    courier_table_each(&pool->table, plan_anew, pool);
    net_timer_start(pool->kick, 0);
    return ERR_OK;
}

enum err courier_destinations_new(struct task *task, struct net_loop *loop, struct dns_client *dns,
                                  struct net_http *http, const struct courier_settings *settings,
                                  const struct courier_policy_store *store, const struct log *log,
                                  struct courier_destinations **out)
{
    struct courier_destinations *pool = NEW(struct courier_destinations);
    struct courier_sts_options sts = {.loop = loop, .dns = dns, .http = http, .log = log};
    enum err err;

    pool->loop = loop;
    pool->log = log;
    pool->queue_end = &pool->queue;
    courier_table_init(&pool->table);
    courier_table_init(&pool->dead);
    pool->kick = net_timer_new(loop, pump, pool);
    pool->sweep = net_timer_new(loop, on_sweep, pool);
    err = courier_rules_read(task, settings, &pool->rules);
    if (err == ERR_OK)
        err = net_tls_client_new(task, settings->trust_pem, &pool->tls);
    if (err != ERR_OK) {
        courier_destinations_free(&pool);
        return err;
    }
    take_password(pool, settings);
    if (store != NULL)
        sts.store = *store;
    pool->has_http = http != NULL;
    pool->sts = courier_sts_new(&sts);
    pool->links = courier_links_new(loop, pool->tls);
    pool->planner.loop = loop;
    pool->planner.dns = dns;
    pool->planner.sts = pool->sts;
    pool->planner.log = log;
    apply_rules(pool);
    *out = pool;
    return ERR_OK;
}

void courier_destinations_free(struct courier_destinations **destinations)
{
    struct courier_destinations *pool = *destinations;
    struct courier_node *node;

    if (pool == NULL)
        return;
    while ((node = courier_table_any(&pool->table)) != NULL)
        destination_free(CONTAINER_OF(node, struct courier_destination, node));
    courier_destinations_revive(pool);
    courier_links_free(&pool->links);
    courier_sts_free(&pool->sts);
    net_tls_client_free(&pool->tls);
    net_timer_free(&pool->kick);
    net_timer_free(&pool->sweep);
    secret_free(&pool->password);
    courier_rules_done(&pool->rules);
    mem_free(destinations);
}

void courier_destinations_policy(struct courier_destinations *destinations, struct str domain,
                                 struct str id, struct str text, int64_t expires_ms, int64_t now_ms)
{
    courier_sts_restore(destinations->sts, domain, id, text, expires_ms, now_ms);
}

struct courier_sts_question *courier_destinations_look(struct courier_destinations *destinations,
                                                       struct str domain,
                                                       courier_sts_on_look on_look, void *owner)
{
    return destinations->has_http ? courier_sts_look(destinations->sts, domain, on_look, owner)
                                  : NULL;
}
