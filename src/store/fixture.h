/*
 * For the tests of this folder: a store among peers that speak over real channels and note all that
 * they were sent, and short ways to be one of them.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "store/store.h"

enum { FIXTURE_SEEN_MAX = 2048 };

struct fixture_seen {
    enum wire_type type;
    uint64_t tag;
    uint64_t status; /* of a reply; of SLEEPERS: is_watched */
    int fd;          /* own */
};

/* One peer of the store: the far end of a channel, and all it was sent. */
struct fixture_peer {
    struct wire_channel *far;  /* own; ours */
    struct wire_channel *near; /* own; the store's */
    struct fixture_seen seen[FIXTURE_SEEN_MAX];
    size_t seen_count;
    bool is_closed;
};

struct fixture {
    struct net_loop *loop;
    struct log log;
    struct store *store;
    struct fixture_peer smtp, gate, keeper, nursery, sealer, archivist;
    struct fixture_peer box;    /* the mailbox process, once there is one */
    struct id mailbox, session; /* those that all short ways below name */
    bool is_done;               /* the store stopped */
};

/* cmocka's setup and teardown. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* Lets everybody read what was sent. */
void fixture_turn(struct fixture *f);
/* With a descriptor or without. */
void fixture_send(struct fixture_peer *from, enum wire_type type, uint64_t tag, const void *body,
                  bool with_fd);
/* The peer was sent `count` messages, and the last of them is of this type. */
void fixture_expect(const struct fixture_peer *peer, enum wire_type type, size_t count);

/* Sent, and nobody has read it yet: mail from smtp, a session from the gate, the sealer's and the
 * mailbox process's answers. */
void fixture_deliver(struct fixture *f, uint64_t tag);
void fixture_open_session(struct fixture *f, uint64_t tag);
void fixture_release(struct fixture *f);
void fixture_opened(struct fixture *f, enum wire_status status);

/* The mailbox process takes up the channel that came with SPAWN. */
void fixture_start_box(struct fixture *f);
/* All from RELEASING to the process's word on whether its file opened. */
void fixture_start_process(struct fixture *f, enum wire_status status);
/* To LIVE, with a session. */
void fixture_make_live(struct fixture *f);
void fixture_end_process(struct fixture *f);
/* `is_done` tells when all have ended. */
void fixture_stop(struct fixture *f);

#endif
