/*
 * Each object that was put may be the newer one that older ones of its series wait for: the series
 * is looked at (backup/prune.h), one after the other. What goes is told to the owner's own
 * destination.
 */
#ifndef BACKUP_PRUNE_QUEUE_H
#define BACKUP_PRUNE_QUEUE_H

#include "backup/let_go.h"
#include "backup/mirror.h"
#include "backup/retention.h"

struct prune_queue;

/* Both are borrowed for its life; the policy is the one of the moment when a series is looked at.
 */
struct prune_queue *prune_queue_new(const struct log *log, const struct backup_policy *policy);
void prune_queue_free(struct prune_queue **queue);
/* Before the first is added; borrowed. */
void prune_queue_set_destination(struct prune_queue *queue, struct backup_destination *destination);
/* Who hears of what goes; borrowed, NULL: nobody. */
void prune_queue_set_mirrors(struct prune_queue *queue, struct backup_mirrors *mirrors);
void prune_queue_set_let_go(struct prune_queue *queue, struct let_go *let_go);
/* `put` (borrowed for the call) is at the destination now; `root_len` bytes of its name are the
 * mailbox's and its slash. */
void prune_queue_add(struct prune_queue *queue, const struct backup_put *put, size_t root_len);

#endif
