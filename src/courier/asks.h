/*
 * Questions to other roles that are under way. A tag finds the one who asked; when the channel
 * goes, everybody who waits on it hears that there will be no answer.
 */
#ifndef COURIER_ASKS_H
#define COURIER_ASKS_H

#include "wire/channel.h"

struct asks;
struct asks_entry;

/* `message` NULL: there will be none. The entry is freed behind it. */
typedef void (*asks_on_answer)(void *owner, struct wire_message *message);

struct asks *asks_new(void);
/* Open questions are dropped without an answer. */
void asks_free(struct asks **asks);
/* NULL: went. */
void asks_set_peer(struct asks *asks, enum wire_role peer, struct wire_channel *channel);
/* Sends and remembers. NULL when the peer is away or takes nothing: on_answer is not called then.
 */
struct asks_entry *asks_send(struct asks *asks, enum wire_role peer, enum wire_type type,
                             const void *body, int fd, asks_on_answer on_answer, void *owner);
/* Calls whoever asked; false: nobody did. */
bool asks_answer(struct asks *asks, struct wire_message *message);
/* The answer is not wanted any more. Sets the pointer to NULL. */
void asks_cancel(struct asks *asks, struct asks_entry **entry);

#endif
