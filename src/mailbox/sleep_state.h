/*
 * The state with which a session sleeps (mailbox/hibernate.c), as the gate keeps it:
 *
 *   length of the engine's state (two bytes), that state, what a compressed stream goes on with
 *
 * The last has what the client said in the last 32 KiB, mail that it sent perhaps: it is sealed
 * with a key that only the mailbox's processes have, as the gate keeps it for longer than the
 * client's bytes.
 */
#ifndef MAILBOX_SLEEP_STATE_H
#define MAILBOX_SLEEP_STATE_H

#include "mailbox/session.h"

/* Appends at most WIRE_SLEEP_STATE_MAX bytes. Only of a session that can sleep. */
MUST_CHECK enum err mailbox_sleep_state_pack(const struct mailbox_session *session,
                                             struct buf *state);
/*
 * Of such a state, what is the engine's (in `open`), and what its stream goes on with: own, NULL
 * where it is not compressed. Without a state both are empty. ERR_INVALID or ERR_DENIED: it is none
 * of ours.
 */
MUST_CHECK enum err mailbox_sleep_state_unpack(const struct mailbox *mailbox,
                                               const struct wire_session_open *open,
                                               struct str *out_engine, struct net_compress **out);

#endif
