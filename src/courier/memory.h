/*
 * What the queue remembers beside its messages, each for a time: addresses that refused mail for
 * good, senders that an alias has answered, messages that were accepted in the last day or sent in the
 * last ten, MTA-STS policies. Within a transaction of the queue, all that write.
 */
#ifndef COURIER_MEMORY_H
#define COURIER_MEMORY_H

#include "courier/queue.h"
#include "secret/crypt.h"

struct memory_suppression {
    struct str address, status, words;
    int64_t since_ms, expires_ms;
};

/* Addresses compare without case: it is the receiver's business, and nobody tells two apart by it.
 */
MUST_CHECK enum err memory_suppress(struct queue *queue, struct task *task, struct str address,
                                    struct str status, struct str words, int64_t for_ms);
MUST_CHECK enum err memory_suppression_find(struct queue *queue, struct task *task,
                                            struct str address, bool *out_is_found,
                                            struct memory_suppression *out);
/* Does this enhanced code say that the address itself is of no use (RFC 3463 §3.2, §3.3)? Not those
 * of the same kind that are about the sender's: 5.1.7 and 5.1.8. */
bool memory_is_hard(struct str status);
/* Behind `after` in the alphabet; at most *count. */
MUST_CHECK enum err memory_suppression_list(struct queue *queue, struct task *task,
                                            struct str after, struct memory_suppression *out,
                                            size_t *count);
/* An empty address: all. */
MUST_CHECK enum err memory_suppression_clear(struct queue *queue, struct task *task,
                                             struct str address, uint64_t *out_count);

/* Notes that `alias` answers `sender` now; out_is_first false: it has within `for_ms`. */
MUST_CHECK enum err memory_reply_note(struct queue *queue, struct task *task, struct str alias,
                                      struct str sender, int64_t for_ms, bool *out_is_first);

/* Notes a digest; out_is_first false: it is known. */
MUST_CHECK enum err memory_accept_note(struct queue *queue, struct task *task,
                                       const unsigned char digest[static CRYPT_HASH_BYTES],
                                       int64_t for_ms, bool *out_is_first);

/* Is it known? */
MUST_CHECK enum err memory_accept_find(struct queue *queue, struct task *task,
                                       const unsigned char digest[static CRYPT_HASH_BYTES],
                                       bool *out_is_known);

/* MTA-STS policies (courier/destinations.h); an empty policy forgets it. */
MUST_CHECK enum err memory_policy_save(struct queue *queue, struct task *task, struct str domain,
                                       struct str id, struct str policy, int64_t expires_ms);
typedef void (*memory_on_policy)(void *owner, struct str domain, struct str id, struct str policy,
                                 int64_t expires_ms);
MUST_CHECK enum err memory_policies(struct queue *queue, struct task *task,
                                    memory_on_policy on_policy, void *owner);

/* Forgets what has expired. */
MUST_CHECK enum err memory_expire(struct queue *queue, struct task *task);

#endif
