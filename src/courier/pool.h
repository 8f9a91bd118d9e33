/* Between destinations.c (turns, plans), held.c (what is kept of hosts) and attempt.c (one
 * message). */
#ifndef COURIER_POOL_H
#define COURIER_POOL_H

#include "courier/attempt.h"
#include "courier/link.h"
#include "courier/plan.h"
#include "courier/rules.h"
#include "courier/table.h"

/* A connection and what it is good for. */
struct courier_held {
    struct courier_link *link; /* own */
    struct courier_destination *destination;
    char *host; /* own; as in the plan */
    size_t host_len;
    enum net_tls_trust trust; /* what its TLS was held to */
    uint64_t mails;           /* that it carried */
    struct net_timer *timer;  /* own; while idle */
    bool is_idle;
    struct courier_held *next; /* of the destination's idle ones, the newest first */
    struct courier_held *next_idle, *previous_idle; /* of all, the oldest first */
};

struct courier_destination {
    struct courier_node node; /* by courier_destination_key */
    struct courier_destinations *pool;
    struct arena arena;
    struct courier_target target;
    struct courier_plan *plan;         /* own reference; may be out of date */
    struct courier_planning *planning; /* own */
    struct courier_attempt *waiting, **waiting_end;
    struct courier_attempt *active;
    size_t active_count;
    /* So many at once: the setting's number, fewer where the server said that it has enough of us.
     */
    uint64_t limit;
    uint64_t good_mails; /* since `limit` changed */
    struct courier_held *idle;
    size_t idle_count;
    int64_t next_start_ms; /* messages_per_minute */
    bool is_queued;        /* some attempt waits: in the pool's queue */
    struct courier_destination *next_queued;
};

struct courier_destinations {
    struct net_loop *loop;       /* borrowed */
    const struct log *log;       /* borrowed */
    struct courier_rules rules;  /* own */
    struct secret *password;     /* own */
    struct net_tls_client *tls;  /* own */
    struct courier_links *links; /* own */
    struct courier_sts *sts;     /* own */
    bool has_http;               /* policies can be fetched */
    struct courier_planner planner;
    struct courier_table table; /* struct courier_destination */
    struct courier_table dead;  /* hosts that did not answer */
    struct courier_destination *queue, **queue_end;
    struct courier_held *oldest_idle, *newest_idle;
    size_t active_count, held_count;
    struct net_timer *kick, *sweep; /* own */
};

enum courier_attempt_state {
    COURIER_ATTEMPT_WAITING, /* for its turn */
    COURIER_ATTEMPT_PLANNING,
    COURIER_ATTEMPT_CONNECTING,
    COURIER_ATTEMPT_SENDING,
    COURIER_ATTEMPT_REFUSED, /* there is no destination; it is told so from the loop */
};

/* One recipient's way. */
struct courier_outlook {
    struct courier_result result; /* if has_result; texts in the attempt's arena */
    bool has_result;
    bool is_done;      /* the result is the last word */
    bool is_elsewhere; /* this host has said no for now: the next one is asked */
};

/* Why no host would do, as far as it is known. */
struct courier_reason {
    bool is_set, is_permanent;
    unsigned code;
    struct smtp_enhanced enhanced;
    struct str words, remote;
};

struct courier_attempt {
    struct courier_destinations *pool;
    struct courier_destination *destination; /* NULL: REFUSED */
    struct courier_attempt *next, **place;   /* in `waiting` or `active` */
    enum courier_attempt_state state;
    struct arena arena;
    struct courier_request request; /* texts in the arena, but fields and message */
    struct str domain;              /* normal form */
    struct courier_outlook *outlooks;
    size_t *told; /* recipients of the mail under way */
    size_t told_count;
    struct courier_plan *plan; /* own reference */
    size_t host_index;
    size_t address_index; /* of the host's, the first to try */
    size_t connection_count;
    bool without_tls;          /* this host's TLS does not work, and is not required */
    bool needs_tls;            /* of the connection under way: TLS is required */
    bool is_reused;            /* the connection carried a mail before */
    struct courier_held *held; /* own */
    struct courier_reason reason;
    struct net_timer *kick; /* own; REFUSED */
    courier_on_done on_done;
    void *owner;
};

/* destinations.c and held.c, for attempt.c and each other */

/* The destination of that target, made if need be. */
struct courier_destination *courier_destination_of(struct courier_destinations *pool,
                                                   const struct courier_target *target);
/* Into its queue. */
void courier_pool_enqueue(struct courier_attempt *attempt);
/* Back to the front of it: the server takes no more connections now, but those that there are work.
 */
void courier_pool_requeue(struct courier_attempt *attempt);
/* A connection carried a mail: in time, one more may be tried. */
void courier_pool_praise(struct courier_destination *destination);
/* Out of `waiting` or `active`; the next may have its turn. */
void courier_pool_leave(struct courier_attempt *attempt);
/* An idle connection to that host whose TLS was held to that much; NULL: there is none. */
struct courier_held *courier_pool_take(struct courier_destination *destination, struct str host,
                                       enum net_tls_trust trust, bool is_tls_required);
/* Room for one more: closes an idle one if there are too many. */
void courier_pool_make_room(struct courier_destination *destination);
struct courier_held *courier_held_new(struct courier_destination *destination, struct str host,
                                      enum net_tls_trust trust);
/* Its link, too. Sets the pointer to NULL. */
void courier_held_free(struct courier_held **held);
/* The attempt is done with it: it waits for another, or is closed. Sets the pointer to NULL. */
void courier_pool_put(struct courier_held **held);
bool courier_host_is_dead(struct courier_destinations *pool, struct str host, uint16_t port);
void courier_host_note(struct courier_destinations *pool, struct str host, uint16_t port,
                       bool is_dead);

/* Forgets those whose failures were long ago. */
void courier_hosts_sweep(struct courier_destinations *pool);

/* attempt.c, for destinations.c */

/* It is its turn: to `active`. */
void courier_attempt_begin(struct courier_attempt *attempt);
/* The destination's plan is there. */
void courier_attempt_planned(struct courier_attempt *attempt);

#endif
