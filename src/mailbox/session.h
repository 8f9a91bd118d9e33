/* One client's session inside a mailbox process; for session.c and hibernate.c. */
#ifndef MAILBOX_SESSION_H
#define MAILBOX_SESSION_H

#include "mailbox/mailbox.h"
#include "net/connection.h"
#include "role/engine.h"

enum {
    MAILBOX_SESSION_OUTPUT_MAX = 512 * 1024,
    MAILBOX_SESSION_STEP_BYTES = 64 * 1024, /* of a message, in append_timeout */
};

struct mailbox_session {
    struct mailbox *mailbox; /* borrowed */
    struct mailbox_session *previous, *next;
    struct id id;
    struct net_connection *connection; /* own */
    const struct engine_kind *kind;    /* the protocol it speaks */
    void *engine;                      /* own, a session of that kind */
    struct net_timer *turn;            /* own */
    struct net_timer *stall;           /* own; while a message comes; NULL: none does */
    uint64_t stall_number;             /* which it is (engine_kind.receiving) */
    uint64_t stall_bytes;              /* of the stream, when it was started */
    uint64_t consumed_bytes;           /* of its stream, inflated */
    int64_t active_ms;                 /* monotonic: when something was read or said last */
    int64_t spoke_ms;                  /* monotonic: when the client said something last */
    bool is_input_over; /* the client closed its half: it is over when what came is answered */
    bool is_finishing;
    bool is_restless; /* its last sleep was a short one */
    bool is_offered;  /* its state is with the gate, which has not answered: nothing may happen */
    bool is_running;  /* its engine is being called, and mailbox_session_pump comes behind that */
};

void mailbox_session_free(struct mailbox_session *session);
/* Goes on until the engine waits for the client, for room, or lets others have their turn. */
void mailbox_session_pump(struct mailbox_session *session);

#endif
