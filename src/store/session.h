/*
 * The sessions of one mailbox, as the store knows them: which gate has the client, and whether the
 * session sleeps. Its state is with the gate; here is what it takes to wake it.
 *
 *   AWAKE <──> ASKED ──> ASLEEP ──> WAKING ──> AWAKE
 *                           └──────────────────^
 *   AWAKE  -> ASKED   the mailbox process wants it to sleep; the gate is asked
 *   ASKED  -> AWAKE   the gate has sent on what the state does not know of
 *   ASKED  -> ASLEEP  the gate holds the state
 *   ASLEEP -> WAKING  what it watches changed; its gate was told
 *   ASLEEP, WAKING -> AWAKE  a mailbox process has it again
 *
 * An AWAKE session goes with its process; the others stay until their gate closes them.
 */
#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include "base/id.h"
#include "wire/channel.h"

struct store_box;

enum store_session_state {
    STORE_SESSION_AWAKE,
    STORE_SESSION_ASKED,
    STORE_SESSION_ASLEEP,
    STORE_SESSION_WAKING,
};

struct store_session {
    struct store_session *next;
    struct id id;
    struct wire_channel *gate; /* borrowed */
    uint64_t gate_tag;
    int64_t watched_folder; /* of a sleeper; 0: none */
    bool is_orphaned;       /* ASKED, and the process that asked is gone */
    enum store_session_state state;
};

/* NULL: not known (any more). */
struct store_session *store_session_find(const struct store_box *box, const struct id *id);
/* It is awake in the box's process; whether it slept or is new. */
void store_session_awake(struct store_box *box, const struct id *id, struct wire_channel *gate,
                         uint64_t gate_tag);
void store_session_drop(struct store_box *box, struct store_session *session);
/* The process is gone, and those that it had with it. */
void store_session_drop_awake(struct store_box *box);
/* The gate's answer to `ask`; false: there was no such question. Not heard: by its process. */
bool store_session_answer(struct store_box *box, const struct wire_channel *gate,
                          const struct wire_session_hibernate_reply *body, bool *out_is_heard);
/* All of one gate, which is gone; the process is told that nobody holds what it offered. */
void store_session_drop_gate(struct store_box *box, const struct wire_channel *gate);

/* Offers the state to the session's gate; false: it cannot be asked. */
bool store_session_ask(struct store_session *session, const struct wire_session_hibernate *body);
/* Wakes the sleepers that watch this folder; -1: any. */
void store_session_wake(struct store_box *box, int64_t folder_id);
/* Sleepers end, with this reason; all sessions are dropped that are not awake. */
void store_session_end_asleep(struct store_box *box, enum wire_status status);
/* Is there one that is not awake? And one that watches? */
bool store_session_has_sleepers(const struct store_box *box, bool *out_is_watched);

#endif
