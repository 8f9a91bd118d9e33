/* The inside of the courier, for the files of this folder. */
#ifndef COURIER_STATE_H
#define COURIER_STATE_H

#include "courier/asks.h"
#include "courier/courier.h"
#include "courier/envelope.h"
#include "courier/lanes.h"
#include "courier/memory.h"
#include "courier/queue.h"
#include "courier/signing.h"

#include <jansson.h>
#include <sys/queue.h>

enum {
    COURIER_BYTES_MAX = 128 << 20, /* of messages under way, but for one that alone is larger */
    COURIER_ORDERS_MAX = 4096,     /* QUEUEs that wait for their turn */
    COURIER_DEPTH_MAX = 10,        /* aliases that lead to aliases */
    COURIER_POSTPONED_MS = 3000,   /* another role is away, or busy */
};

/* One QUEUE, until it is answered. */
struct courier_order {
    struct wire_channel *asker; /* borrowed; NULL: gone */
    uint64_t tag;
    int64_t received_ms;
    uint64_t trace_bytes;
    struct task task; /* texts of the envelope */
    struct envelope envelope;
    int fd; /* own; a sealed memfd */
    size_t size_bytes;
    TAILQ_ENTRY(courier_order) in_list;
};
TAILQ_HEAD(courier_orders, courier_order);

/* How an attempt ended for one recipient. */
enum courier_ending {
    ENDING_DELIVERED, /* into a mailbox, to a webhook, or dropped by rule */
    ENDING_RELAYED,   /* to a server that tells the sender itself what becomes of it */
    ENDING_HANDED,    /* to one that does not */
    ENDING_TEMPORARY,
    ENDING_PERMANENT,
    ENDING_POSTPONED, /* it was not even tried */
};

struct courier_verdict {
    enum courier_ending ending;
    struct str status; /* "5.1.1" */
    struct str words;  /* one line, printable */
    struct str remote; /* who said it; empty: we */
    bool is_refused;   /* PERMANENT: the server refused this very address */
    int64_t wait_ms;   /* TEMPORARY: the peer asks to be left alone for so long; 0: it does not */
};

/* One attempt: a message and those of its recipients that go together. */
struct courier_job {
    struct courier *courier; /* borrowed */
    struct task task;        /* texts of all below */
    struct queue_message message;
    struct queue_recipient *recipients;
    struct courier_verdict *verdicts; /* one each */
    size_t count;
    size_t others_back; /* recipients behind those, which turned out not to go together with them */
    struct str lane;
    struct str sender;               /* the envelope's, as it goes out */
    struct buf content;              /* own; the message as queued */
    struct buf fields;               /* own; header fields to put before it */
    bool is_newly_signed;            /* `fields` are signatures to keep */
    struct courier_attempt *attempt; /* own */
    struct asks_entry *ask;          /* own; a question to another role */
    struct webhook_attempt *hook;    /* own */
    /* An alias of ours that leads on: its routes, to be added to the message. */
    struct envelope_route *routes;
    size_t route_count;
    bool has_mailbox; /* and it stores */
    bool wants_reply; /* a vacation: the reply is made as it ends */
    bool has_ended;
    TAILQ_ENTRY(courier_job) in_list;
};
TAILQ_HEAD(courier_jobs, courier_job);

/* A lane that has something waiting, once the transaction is on disk. */
struct courier_news {
    struct str lane; /* own */
    int64_t due_ms;
};

struct courier {
    struct net_loop *loop; /* borrowed */
    const struct log *log; /* borrowed */
    char *folder;          /* own */
    struct arena texts;    /* of the options */
    struct courier_options options;
    const struct courier_ways *ways; /* borrowed; NULL: not there yet */
    struct secret *root, *srs_key;   /* own; NULL until the key came */
    struct queue *queue;             /* own; NULL until then */
    struct lanes *lanes;             /* own */
    struct asks *asks;               /* own */
    struct signing *signing;         /* own */
    struct courier_orders orders;
    size_t order_count;
    struct courier_jobs jobs, ended; /* under way; to be written down */
    size_t job_count, job_bytes;
    size_t most_jobs;          /* since memory was given back */
    struct courier_news *news; /* own; of the transaction that is open */
    size_t news_count, news_room;
    struct net_timer *turn, *tidying; /* own */
    int64_t clock_offset_ms;          /* of the wall clock, to the one that never jumps */
    struct courier_look *looks;       /* own; for operators, under way */
    size_t look_count;
    bool is_stopping, is_failing;
    net_callback on_stopped;
    void *on_stopped_owner;
    struct net_timer *grace; /* own */
};

/* --- courier.c --- */

/* With the key, if it is there. */
bool courier_open(struct courier *courier);

/* --- turn.c --- */

void courier_turn_init(struct courier *courier);
/* Behind this turn's events there is something to write, or to begin. */
void courier_wake(struct courier *courier);
/* For lanes, when the transaction is on disk. */
void courier_note_lane(struct courier *courier, struct str lane, int64_t due_ms);
/* It is, or it never will be. */
void courier_lanes_publish(struct courier *courier, bool is_committed);

/* --- accept.c --- */

void courier_on_queue(struct courier *courier, struct wire_channel *channel,
                      struct wire_message *message);
/* Writes one order down, within the turn's transaction. */
MUST_CHECK enum err courier_accept(struct courier *courier, struct task *task,
                                   struct courier_order *order);
void courier_order_answer(struct courier *courier, struct courier_order *order,
                          enum wire_status status);
void courier_order_free(struct courier_order **order);
/* Adds what an alias's routes say, for mail that came for `alias`; in a transaction. */
struct courier_origin {
    int64_t message_id;
    struct str alias, written, orcpt, notify;
    uint64_t depth;
    bool is_stored; /* the alias has a mailbox, and it is there */
    bool is_loop;   /* the message has been here before: nothing is forwarded again */
};
MUST_CHECK enum err courier_add_routes(struct courier *courier, struct task *task,
                                       const struct courier_origin *origin,
                                       const struct envelope_route *routes, size_t count);

/* --- job.c --- */

/* Begins what is due, as much as may be under way. Rows are taken in the open transaction; the jobs
 * begin with courier_begin_jobs, when it is committed, or are dropped. */
MUST_CHECK enum err courier_take_jobs(struct courier *courier, struct task *task,
                                      struct courier_jobs *out);
void courier_begin_jobs(struct courier *courier, struct courier_jobs *taken);
void courier_drop_jobs(struct courier *courier, struct courier_jobs *taken);
/* All verdicts are given: it will be written down. */
void courier_job_end(struct courier_job *job);
/* The same verdict for all; words are copied. */
void courier_job_end_all(struct courier_job *job, enum courier_ending ending, const char *status,
                         struct str words);
void courier_job_free(struct courier_job **job);

/* --- what jobs do --- */

void courier_remote_begin(struct courier_job *job, struct str sender); /* remote.c */
struct str courier_forward_sender(struct courier_job *job);
void courier_local_begin(struct courier_job *job); /* local.c */
void courier_hook_begin(struct courier_job *job);  /* hook.c */

/* --- outcome.c --- */

/* Writes down how a job ended, in the turn's transaction: states, reports, replies. */
MUST_CHECK enum err courier_record(struct courier *courier, struct task *task,
                                   struct courier_job *job);
/* Tells the sender about recipients of one message; in a transaction. */
enum courier_news_kind { TELL_FAILURE, TELL_DELAY, TELL_SUCCESS };
struct courier_told {
    const struct queue_recipient *recipient;
    struct courier_verdict verdict;
};
MUST_CHECK enum err courier_tell(struct courier *courier, struct task *task,
                                 const struct queue_message *message, enum courier_news_kind kind,
                                 const struct courier_told *told, size_t count);

/* One of our own messages to `to`, whoever that is: a report or a reply. */
MUST_CHECK enum err courier_add_own(struct courier *courier, struct task *task,
                                    const struct queue_message *message, struct str content,
                                    struct str to);

/* --- bounce.c --- */

/* A recipient's server has the message: a report that comes later will be believed. */
MUST_CHECK enum err courier_note_sent(struct courier *courier, struct task *task,
                                      const struct courier_job *job,
                                      const struct queue_recipient *recipient);
void courier_on_bounce(struct courier *courier, const struct wire_message *message);

/* --- vacation.c --- */

/* The reply that a vacation's job asks for, if RFC 3834 lets it; in a transaction. */
MUST_CHECK enum err courier_reply(struct courier *courier, struct task *task,
                                  struct courier_job *job);

/* --- admin.c --- */

void courier_on_admin(struct courier *courier, struct wire_channel *channel,
                      const struct wire_message *message);

/* --- look.c --- */

/* "sts policy" of docs/routes.md, which takes its time: answered later. */
void courier_on_look(struct courier *courier, struct wire_channel *channel, uint64_t tag,
                     const json_t *arguments);
void courier_looks_forget(struct courier *courier, const struct wire_channel *channel);
void courier_looks_free(struct courier *courier);

/* The lane of an address: its domain; of a route's host or a webhook, that. */
struct str courier_lane_of(struct task *task, enum queue_kind kind, struct str address,
                           struct str via, struct str url);

#endif
