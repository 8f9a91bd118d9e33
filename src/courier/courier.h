/*
 * The courier: takes messages for the outbound queue, and sees to it that each of their recipients
 * gets them or the sender hears why not. The role (role/courier.c) connects it to its peers.
 *
 *   QUEUE ──> accept.c ──┐
 *                        ├─> turn.c: one transaction a turn of the loop, synced; then the answers
 *   job ends ─> outcome.c┘      │
 *                               └─> job.c: whose turn it is (lanes.h), one job for each attempt:
 *                                     remote.c    another server (attempt.h), signed if it is ours
 *                                     local.c     is it one of ours? the keeper and the store
 *                                     hook.c      a webhook (webhook.h)
 *                                     vacation.c  an automatic reply
 *
 * What a kill leaves: before a turn's commit, nothing of it; after it, all. A job leaves its
 * recipients ACTIVE, and the next process begins it anew: so what a peer acknowledged in the last
 * moment before a kill, and only that, is sent once more.
 */
#ifndef COURIER_COURIER_H
#define COURIER_COURIER_H

#include "base/log.h"
#include "courier/attempt.h"
#include "courier/schedule.h"
#include "courier/sts.h"
#include "courier/webhook.h"
#include "dns/client.h"
#include "net/loop.h"
#include "wire/channel.h"

struct courier;

/* What the configuration says; texts are copied. */
struct courier_options {
    struct str hostname;
    struct schedule schedule;
    int64_t suppress_ms;    /* how long an address that refused for good is spared; 0: never */
    uint64_t jobs_max;      /* under way at all */
    uint64_t jobs_per_lane; /* and to one destination */
};

/* `folder`: of queue.sqlite, exists. Nothing is accepted or sent before the key came. */
struct courier *courier_new(struct net_loop *loop, const struct log *log, const char *folder,
                            const struct courier_options *options);
void courier_free(struct courier **courier);
void courier_configure(struct courier *courier, const struct courier_options *options);
/*
 * How other servers and webhooks are reached: courier/attempt.h, courier/webhook.h. A test puts
 * something in their place. All borrowed; nothing is sent before it is set.
 */
struct courier_ways {
    struct courier_destinations *destinations;
    struct webhook_poster *poster;
    struct courier_attempt *(*start)(struct courier_destinations *destinations,
                                     const struct courier_request *request, courier_on_done on_done,
                                     void *owner);
    void (*cancel)(struct courier_attempt **attempt);
    void (*policy)(struct courier_destinations *destinations, struct str domain, struct str id,
                   struct str text, int64_t expires_ms, int64_t now_ms);
    void (*revive)(struct courier_destinations *destinations);
    struct courier_sts_question *(*look)(struct courier_destinations *destinations,
                                         struct str domain, courier_sts_on_look on_look,
                                         void *owner);
    void (*cancel_look)(struct courier_sts_question **question);
};
void courier_set_ways(struct courier *courier, const struct courier_ways *ways);
/* For courier_destinations_new: keeps its policies in the queue's file. */
struct courier_policy_store courier_policies(struct courier *courier);
/* The keeper's HOST_KEY: the queue is opened. */
void courier_set_key(struct courier *courier, struct str key);
/* A peer's channel came, or went (NULL). Borrowed. */
void courier_set_peer(struct courier *courier, enum wire_role peer, struct wire_channel *channel);
void courier_asker_gone(struct courier *courier, struct wire_channel *channel);
void courier_message(struct courier *courier, struct wire_channel *channel,
                     struct wire_message *message);
/* Takes nothing new; on_stopped when what is under way has ended, at the latest after grace_ms. */
void courier_stop(struct courier *courier, int64_t grace_ms, net_callback on_stopped, void *owner);

#endif
