/*
 * Requests that pass through the store: who asked, under which tag, and all that is needed to send
 * them on later. One that is waiting in a box's queue holds its descriptor and copies of its texts.
 */
#ifndef STORE_REQUEST_H
#define STORE_REQUEST_H

#include "base/arena.h"
#include "wire/channel.h"

enum { STORE_DESCRIPTORS_MAX = 2 };

struct store_request {
    enum wire_type type; /* SESSION_OPEN, DELIVER, JOB, MAILBOX_CREATE, MAILBOX_REMOVE, BACKUP_… */
    struct wire_channel *asker;  /* borrowed; NULL: gone */
    uint64_t asker_tag;
    uint64_t tag;                /* ours, towards sealer or mailbox */
    struct wire_channel *target; /* borrowed; where it was sent, NULL: nowhere yet */
    union wire_body body;        /* texts in the arena */
    int fds[STORE_DESCRIPTORS_MAX]; /* own */
    size_t fd_count;
    bool is_cancelled; /* a JOB that nobody waits for: what waits in a box goes no further */
    struct arena arena;
    struct store_request *next; /* in a box's queue */
};

/* All requests that are under way, by our tag. */
struct store_requests {
    void *by_tag; /* tsearch */
    uint64_t last_tag;
    size_t count;
};

/* Takes the message's descriptor over. Never NULL. */
struct store_request *store_request_new(struct store_requests *all, struct wire_channel *asker,
                                        struct wire_message *message);
/* NULL: no such tag (any more). */
struct store_request *store_request_find(struct store_requests *all, uint64_t tag);
void store_request_free(struct store_requests *all, struct store_request **request);
/* Sends it on; the request then waits for the target's answer. */
MUST_CHECK enum err store_request_send(struct store_request *request, struct wire_channel *target);
/* Answers the asker (if it is still there) in its message's own reply type, and frees. */
void store_request_answer(struct store_requests *all, struct store_request **request,
                          enum wire_status status);
/* Each request: `visit` may free it. */
void store_requests_each(struct store_requests *all,
                         void (*visit)(void *owner, struct store_request *request), void *owner);

#endif
