/*
 * The durable queue: <data>/queue/queue.sqlite, encrypted, the messages sealed once more in it.
 * Here are its rows; what is done with them is in courier/courier.c.
 *
 * Changes happen between queue_begin and queue_commit, so that what belongs together (a recipient
 * that failed, the report of it) is on disk together, and what came in one turn shares a sync.
 *
 *   WAITING ──> ACTIVE ──> DONE                  WAITING <──> HELD (an operator's)
 *                  │ └───> FAILED
 *                  └─────> WAITING, later
 *
 * ACTIVE is a mark for the next start, not a lock: a process that finds it there was interrupted in
 * the middle of an attempt, and makes it WAITING again (queue_open). A recipient that was so
 * interrupted several times running is given time, for it may be what ends the process.
 */
#ifndef COURIER_QUEUE_H
#define COURIER_QUEUE_H

#include "base/buf.h"
#include "base/task.h"
#include "secret/secret.h"

#include <stdbool.h>
#include <stdint.h>

enum queue_source {
    QUEUE_SUBMISSION, /* of one of our users */
    QUEUE_ROUTES,     /* came from outside for an alias that passes it on */
    QUEUE_REPORT,     /* a delivery status notification of ours */
    QUEUE_REPLY,      /* a vacation reply */
};

enum queue_kind {
    QUEUE_REMOTE,  /* by MX, as our user wrote it */
    QUEUE_FORWARD, /* an alias's target; may be one of ours */
    QUEUE_RETURN,  /* a bounce on its way back to whom SRS stood for */
    QUEUE_WEBHOOK,
    QUEUE_VACATION, /* becomes a message of its own */
    QUEUE_LOCAL,    /* one of our reports or replies: to whomever the address belongs */
    QUEUE_NOTICE,   /* delivered elsewhere; the sender wants to hear of it */
};

enum queue_state { QUEUE_WAITING, QUEUE_ACTIVE, QUEUE_HELD, QUEUE_DONE, QUEUE_FAILED };

struct queue_message {
    int64_t id;
    struct str name;  /* 24 hex digits, by which an operator speaks of it; made by queue_add */
    struct str trace; /* the id in its Received field */
    enum queue_source source;
    struct str mailbox; /* of the submitting user; empty: none */
    struct str sender;  /* the envelope's as it came; empty: null */
    struct str helo, client, auth;
    struct str body, ret, envid;
    bool require_tls, is_utf8, may_reply, is_junk;
    uint64_t size_bytes, trace_bytes;
    int64_t received_ms;
    struct str signatures; /* DKIM-Signature fields; empty: not made yet */
    bool is_signed;        /* they were made, be it that there are none */
};

struct queue_recipient {
    int64_t id, message_id;
    enum queue_kind kind;
    struct str address; /* where it goes; of a webhook or vacation: the alias */
    struct str alias;   /* of ours that leads there; otherwise the same */
    struct str written; /* by the sender */
    struct str target;  /* the route, JSON */
    struct str lane;    /* courier/lanes.h */
    struct str orcpt, notify;
    enum queue_state state;
    int64_t next_ms;
    uint64_t attempts, depth;
    struct str status, words; /* of the last attempt: "5.1.1", what was said */
    bool is_delay_told;
    bool is_stored; /* its alias's mailbox has it, whatever becomes of this */
};

struct queue;

/* `root`: the courier's key (secret/courier.h). What was interrupted is WAITING again. */
MUST_CHECK enum err queue_open(struct task *task, const char *folder, const struct secret *root,
                               struct queue **out_queue);
void queue_close(struct queue **queue);
/* After a failed sync nobody knows what the disk has (sqlite/db.h): nothing works until it is
 * opened anew. Then what is ACTIVE is WAITING; queue_activate marks what is still under way. */
bool queue_is_broken(const struct queue *queue);
MUST_CHECK enum err queue_reopen(struct queue *queue, struct task *task);
MUST_CHECK enum err queue_activate(struct queue *queue, struct task *task, int64_t recipient);

/* All that changes the queue is between queue_begin and queue_commit, or queue_rollback. */
MUST_CHECK enum err queue_begin(struct queue *queue, struct task *task);
/* is_durable: somebody is told, so it is synced first. On an error nothing happened. */
MUST_CHECK enum err queue_commit(struct queue *queue, struct task *task, bool is_durable);
void queue_rollback(struct queue *queue);

/* --- Messages --- */

/* Without recipients so far; `content` is sealed a piece at a time. */
MUST_CHECK enum err queue_add(struct queue *queue, struct task *task,
                              const struct queue_message *message, struct str content,
                              int64_t *out_id);
/* Texts in the task's arena. ERR_NOT_FOUND. */
MUST_CHECK enum err queue_message(struct queue *queue, struct task *task, int64_t id,
                                  struct queue_message *out);
MUST_CHECK enum err queue_message_named(struct queue *queue, struct task *task, struct str name,
                                        struct queue_message *out);
/* ERR_CORRUPT: a piece is missing or altered. */
MUST_CHECK enum err queue_content(struct queue *queue, struct task *task, int64_t id,
                                  struct buf *out);
MUST_CHECK enum err queue_set_signatures(struct queue *queue, struct task *task, int64_t id,
                                         struct str signatures);
/* With everything of it. */
MUST_CHECK enum err queue_remove(struct queue *queue, struct task *task, int64_t id);
/* Removes it if nothing of it is still to be done. */
MUST_CHECK enum err queue_finish(struct queue *queue, struct task *task, int64_t id,
                                 bool *out_is_finished);

/* --- Recipients --- */

/* out_is_new false: it has this recipient already, nothing was added. */
MUST_CHECK enum err queue_add_recipient(struct queue *queue, struct task *task,
                                        const struct queue_recipient *recipient, bool *out_is_new);
MUST_CHECK enum err queue_recipient(struct queue *queue, struct task *task, int64_t id,
                                    struct queue_recipient *out);
/* All of a message, in the order they were added; texts in the arena. */
MUST_CHECK enum err queue_recipients(struct queue *queue, struct task *task, int64_t message_id,
                                     struct queue_recipient **out, size_t *out_count);
/* The recipient of the lane that has waited longest, and those of the same message, kind and target
 * that are due too (at most `most`; webhooks and vacations by themselves). They become ACTIVE. */
MUST_CHECK enum err queue_take(struct queue *queue, struct task *task, struct str lane,
                               int64_t now_ms, size_t most, struct queue_recipient **out,
                               size_t *out_count);
/* When the lane's next is due; INT64_MAX: never. */
MUST_CHECK enum err queue_lane_due(struct queue *queue, struct task *task, struct str lane,
                                   int64_t *out_ms);
/* Every lane with waiting recipients. */
typedef void (*queue_on_lane)(void *owner, struct str lane, int64_t due_ms);
MUST_CHECK enum err queue_lanes(struct queue *queue, struct task *task, queue_on_lane on_lane,
                                void *owner);
/* Writes state, next_ms, attempts, status, words, is_delay_told. An attempt ended with it, unless
 * it is ACTIVE still. */
MUST_CHECK enum err queue_update(struct queue *queue, struct task *task,
                                 const struct queue_recipient *recipient);

/* An operator's: all in state `from` (WAITING, HELD), of a message or, with 0, at all. */
MUST_CHECK enum err queue_change(struct queue *queue, struct task *task, int64_t message_id,
                                 enum queue_state from, enum queue_state to, int64_t next_ms,
                                 uint64_t *out_count);
/* Every waiting one is due now. */
MUST_CHECK enum err queue_hasten(struct queue *queue, struct task *task, int64_t message_id,
                                 int64_t now_ms, uint64_t *out_count);
/* The clock was set back by so much: what waits is due as much earlier, so that it waits as long as it
 * was meant to. */
MUST_CHECK enum err queue_set_back(struct queue *queue, struct task *task, int64_t by_ms,
                                   uint64_t *out_count);
/* Nothing waits beyond this, webhooks apart, whose receivers may ask for a longer wait: what does was
 * planned by a clock that has been set back since. */
MUST_CHECK enum err queue_straighten(struct queue *queue, struct task *task, int64_t latest_ms,
                                     int64_t latest_webhook_ms, uint64_t *out_count);
/* Removes some messages, whatever is in them; count 0: none is left. */
MUST_CHECK enum err queue_remove_some(struct queue *queue, struct task *task, uint64_t *out_count);
struct queue_totals {
    uint64_t messages, waiting, held, active;
};
MUST_CHECK enum err queue_count(struct queue *queue, struct task *task, struct queue_totals *out);
/* What waits or is held, behind the recipient `after`; with is_held only what is held, with
 * is_waiting only the others. At most *count. */
struct queue_entry {
    struct queue_recipient recipient;
    struct str name, sender; /* the message's */
};
MUST_CHECK enum err queue_list(struct queue *queue, struct task *task, int64_t after,
                               bool is_waiting, bool is_held, struct queue_entry *out,
                               size_t *count);

const char *queue_kind_name(enum queue_kind kind);
const char *queue_state_name(enum queue_state state);
const char *queue_source_name(enum queue_source source);

#endif
