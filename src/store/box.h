/* One mailbox that has sessions or a process: its state and what waits for it. */
#ifndef STORE_BOX_H
#define STORE_BOX_H

#include "store/request.h"
#include "store/session.h"
#include "store/store.h"

enum box_state {
    BOX_NEW,       /* just made */
    BOX_RELEASING, /* the sealer was asked to let go of the drop box */
    BOX_STARTING,  /* the process was asked for */
    BOX_LIVE,
    BOX_ENDING,    /* the process was told to stop, or failed to open its file */
    BOX_DORMANT,   /* no process, but sessions that sleep */
    BOX_REMOVING,  /* no process any more; sealer, then nursery, are cleaning up */
};

struct store_box {
    struct id id; /* first: what the tree compares */
    enum box_state state;
    struct store *store;          /* borrowed */
    struct wire_channel *channel; /* own; to the process, NULL: none */
    struct store_request *first, *last; /* own; waiting, in order */
    size_t waiting_count;
    struct store_session *sessions; /* own, a list; those that its process has, and sleepers */
    size_t sent_count;             /* sent to the process and not answered yet */
    struct store_request *removal; /* own; set: the mailbox is being deleted */
    bool is_new;                   /* the file is being made */
    bool is_released;              /* REMOVING: the sealer has answered */
};

/* The one door: asserts the arrow, logs it. */
void store_box_enter(struct store_box *box, enum box_state next, const struct log *log);
/* Puts a request at the end; false when the queue is full. */
bool store_box_queue(struct store_box *box, struct store_request *request);
/* Takes the first off; NULL: none. */
struct store_request *store_box_next(struct store_box *box);
/* Is a request waiting that a process must be started for: a session or a job? */
bool store_box_awaits_process(const struct store_box *box);

#endif
