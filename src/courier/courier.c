/* Connecting the courier's parts: key, peers, options, the end. */
#include "courier/state.h"

#include "base/clock.h"
#include "base/memory.h"
#include "secret/courier.h"

#include <string.h>

static void copy_options(struct courier *courier, const struct courier_options *options)
{
    arena_free(&courier->texts);
    courier->options = *options;
    courier->options.hostname = arena_copy(&courier->texts, options->hostname);
}

struct courier *courier_new(struct net_loop *loop, const struct log *log, const char *folder,
                            const struct courier_options *options)
{
    struct courier *courier = NEW(struct courier);

    courier->loop = loop;
    courier->log = log;
    courier->folder = mem_copy_text(folder, strlen(folder));
    courier->lanes = lanes_new((unsigned)options->jobs_per_lane);
    courier->asks = asks_new();
    courier->signing = signing_new();
    TAILQ_INIT(&courier->orders);
    TAILQ_INIT(&courier->jobs);
    TAILQ_INIT(&courier->ended);
    copy_options(courier, options);
    courier_turn_init(courier);
    return courier;
}

static void free_jobs(struct courier_jobs *jobs)
{
    struct courier_job *job;

    while ((job = TAILQ_FIRST(jobs)) != NULL) {
        TAILQ_REMOVE(jobs, job, in_list);
        courier_job_free(&job);
    }
}

void courier_free(struct courier **courier)
{
    struct courier_order *order;
    struct courier *c = *courier;

    if (c == NULL)
        return;
    free_jobs(&c->jobs);
    free_jobs(&c->ended);
    while ((order = TAILQ_FIRST(&c->orders)) != NULL) {
        TAILQ_REMOVE(&c->orders, order, in_list);
        courier_order_free(&order);
    }
    courier_looks_free(c);
    net_timer_free(&c->turn);
    net_timer_free(&c->tidying);
    net_timer_free(&c->grace);
    asks_free(&c->asks);
    signing_free(&c->signing);
    lanes_free(&c->lanes);
    queue_close(&c->queue);
    secret_free(&c->root);
    secret_free(&c->srs_key);
    mem_free(&c->news);
    mem_free(&c->folder);
    arena_free(&c->texts);
    mem_free(courier);
}

void courier_configure(struct courier *courier, const struct courier_options *options)
{
    copy_options(courier, options);
    lanes_set_most(courier->lanes, (unsigned)options->jobs_per_lane);
    signing_forget(courier->signing);
    courier_wake(courier);
}

void courier_set_ways(struct courier *courier, const struct courier_ways *ways)
{
    courier->ways = ways;
    courier_wake(courier);
}

/* --- The key, and with it the queue --- */

static void on_lane(void *owner, struct str lane, int64_t due_ms)
{
    struct courier *courier = owner;

    lanes_wait(courier->lanes, lane, due_ms);
}

static void on_policy(void *owner, struct str domain, struct str id, struct str policy,
                      int64_t expires_ms)
{
    struct courier *courier = owner;

    courier->ways->policy(courier->ways->destinations, domain, id, policy, expires_ms,
                          clock_now_ms());
}

static enum err open_queue(struct courier *courier, struct task *task)
{
    struct queue_totals totals;

    TRY(queue_open(task, courier->folder, courier->root, &courier->queue));
    TRY(queue_lanes(courier->queue, task, on_lane, courier));
    if (courier->ways != NULL)
        TRY(memory_policies(courier->queue, task, on_policy, courier));
    TRY(queue_count(courier->queue, task, &totals));
    log_info(courier->log, "queue opened messages=%llu waiting=%llu held=%llu",
             (unsigned long long)totals.messages, (unsigned long long)totals.waiting,
             (unsigned long long)totals.held);
    return ERR_OK;
}

bool courier_open(struct courier *courier)
{
    struct task task;

    if (courier->root == NULL)
        return false;
    task_init(&task, clock_now_ms());
    if (open_queue(courier, &task) != ERR_OK) {
        log_failure(courier->log, "opening the queue", &task);
        queue_close(&courier->queue);
        lanes_clear(courier->lanes);
    }
    task_done(&task);
    return courier->queue != NULL;
}

void courier_set_key(struct courier *courier, struct str key)
{
    /* A keeper that was restarted sends it again. */
    if (key.len == 0 || courier->root != NULL)
        return;
    courier->root = secret_copy(key);
    courier->srs_key = courier_srs_key(courier->root);
    (void)courier_open(courier); /* or later */
    courier_wake(courier);
}

/* --- Policies --- */

static void save_policy(void *owner, struct str domain, struct str id, struct str text,
                        int64_t expires_ms)
{
    struct courier *courier = owner;
    struct task task;
    enum err err = ERR_BUSY;

    task_init(&task, clock_now_ms());
    if (courier->queue != NULL && !queue_is_broken(courier->queue))
        err = queue_begin(courier->queue, &task);
    if (err == ERR_OK) {
        err = memory_policy_save(courier->queue, &task, domain, id, text, expires_ms);
        if (err == ERR_OK)
            err = queue_commit(courier->queue, &task, false);
        else
            queue_rollback(courier->queue);
    }
    if (err != ERR_OK)
        log_failure(courier->log, "keeping a policy", &task);
    task_done(&task);
}

struct courier_policy_store courier_policies(struct courier *courier)
{
    return (struct courier_policy_store){.owner = courier, .save = save_policy};
}

/* --- Peers --- */

void courier_asker_gone(struct courier *courier, struct wire_channel *channel)
{
    struct courier_order *order;

    /* It is written all the same: nobody can tell whether the peer will send it again. */
    TAILQ_FOREACH(order, &courier->orders, in_list) {
        if (order->asker == channel)
            order->asker = NULL;
    }
    courier_looks_forget(courier, channel);
}

void courier_set_peer(struct courier *courier, enum wire_role peer, struct wire_channel *channel)
{
    asks_set_peer(courier->asks, peer, channel);
}

void courier_message(struct courier *courier, struct wire_channel *channel,
                     struct wire_message *message)
{
    if (message->type == WIRE_QUEUE)
        courier_on_queue(courier, channel, message);
    else if (message->type == WIRE_BOUNCE)
        courier_on_bounce(courier, message);
    else if (message->type == WIRE_ADMIN)
        courier_on_admin(courier, channel, message);
    else if (message->type == WIRE_HOST_KEY)
        courier_set_key(courier, message->body.host_key.key);
    else if (!asks_answer(courier->asks, message))
        log_debug(courier->log, "an answer that nobody waits for");
}

/* --- The end --- */

static void on_grace_over(void *owner)
{
    struct courier *courier = owner;
    struct courier_job *job;

    /* What is broken off is begun anew by the next process. */
    while ((job = TAILQ_FIRST(&courier->jobs)) != NULL) {
        TAILQ_REMOVE(&courier->jobs, job, in_list);
        courier->job_count--;
        courier_job_free(&job);
    }
    courier_wake(courier);
}

void courier_stop(struct courier *courier, int64_t grace_ms, net_callback on_stopped, void *owner)
{
    courier->is_stopping = true;
    courier->on_stopped = on_stopped;
    courier->on_stopped_owner = owner;
    courier->grace = net_timer_new(courier->loop, on_grace_over, courier);
    /* A large message may need minutes; nobody waits so long for a stop. */
    net_timer_start(courier->grace, grace_ms / 4);
    courier->is_failing = false;
    courier_wake(courier);
}
