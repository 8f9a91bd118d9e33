/*
 * The store's heart: which mailbox processes run, and where each request for a mailbox goes. Holds
 * no key and reads no mail; descriptors pass through it unopened.
 *
 * A mailbox without a session is absent: its mail goes to the sealer, for which it waits a while where
 * there is none (store/unsealed.h). A session makes a box of it:
 *
 *   (absent) ──> RELEASING ──> STARTING ──> LIVE ──> ENDING ──> (absent, or RELEASING again)
 *                    ^            └────────────────────^ │
 *                    └──────────────────── DORMANT <─────┘
 *   RELEASING -> STARTING  store_on_lane_released   the sealer let go of the drop box
 *   STARTING  -> LIVE      store_on_opened          the file is open, waiting mail is in it
 *   STARTING  -> ENDING    store_on_opened          it could not be opened
 *   LIVE      -> ENDING    store_on_idle, store_expel, store_stop
 *   ENDING    -> DORMANT   its channel closed, and it left sessions that sleep (store/session.h)
 *   DORMANT   -> RELEASING store_session_open, store_deliver, a job
 *   DORMANT   -> (absent)  the last sleeper went
 *   any       -> (absent)  its channel closed: the process is gone
 *   any       -> REMOVING  store_remove             the mailbox is being deleted
 *
 * Only in LIVE is anything sent to the process. In the other states requests wait in the box, in
 * order, at most STORE_QUEUE_MAX of them.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/log.h"
#include "net/loop.h"
#include "wire/channel.h"

enum { STORE_QUEUE_MAX = 1000 };

struct store;

struct store *store_new(struct net_loop *loop, const struct log *log);
void store_free(struct store **store);

/* A peer's channel came, or went (NULL): of the roles that are asked, which are one each. Gates and
 * smtp processes are several, and only ask: of them store_asker_gone alone is told. */
void store_set_peer(struct store *store, enum wire_role peer, struct wire_channel *channel);
/* Forgets who asked: requests whose answers nobody waits for any more. */
void store_asker_gone(struct store *store, struct wire_channel *asker);

/* A message from a peer of this role: requests, and the answers of sealer and nursery. */
void store_message(struct store *store, struct wire_channel *from, struct wire_message *message);

/* Ends all mailbox processes; `on_done` is called when the last is gone. */
void store_stop(struct store *store, net_callback on_done, void *owner);

#endif
