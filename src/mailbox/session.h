/* One client's session inside a mailbox process; for session.c and hibernate.c. */
#ifndef MAILBOX_SESSION_H
#define MAILBOX_SESSION_H

#include "imap/session.h"
#include "mailbox/mailbox.h"
#include "net/connection.h"

enum { MAILBOX_SESSION_OUTPUT_MAX = 512 * 1024 };

struct mailbox_session {
    struct mailbox *mailbox; /* borrowed */
    struct mailbox_session *previous, *next;
    struct id id;
    struct net_connection *connection; /* own */
    struct imap_session *imap;         /* own */
    struct net_timer *turn;            /* own */
    uint64_t consumed_bytes;           /* of its stream */
    int64_t active_ms;                 /* monotonic: when something was read or said last */
    int64_t spoke_ms;        /* monotonic: when the client said something last */
    bool is_finishing;
    bool is_restless; /* its last sleep was a short one */
    bool is_offered;  /* its state is with the gate, which has not answered: nothing may happen */
};

void mailbox_session_free(struct mailbox_session *session);
/* Goes on until the engine waits for the client, for room, or lets others have their turn. */
void mailbox_session_pump(struct mailbox_session *session);

#endif
