/*
 * The gate: clients of mailboxes, whatever they speak (engine.h). gate.c has the process: listeners,
 * limits, the channels; gate_client.c one client's life, gate_hibernate.c its sleep.
 */
#ifndef ROLE_GATE_H
#define ROLE_GATE_H

#include "net/connection.h"
#include "net/listener.h"
#include "role/engine.h"
#include "role/role.h"

struct gate_client;

struct gate {
    struct role_process *process; /* borrowed */
    struct net_tls *tls;          /* own; NULL: no certificate */
    struct gate_listener *listeners; /* own */
    size_t listener_count;
    /* Clients by slot: a tag on the wire is slot and generation, so that a late answer meets nobody
     * but its asker. */
    struct gate_client **slots; /* own, and the clients in it */
    size_t slot_count, client_count;
    uint32_t generation;
    struct net_census *census; /* own; connections of each client, to all gates */
    struct net_timer *stop_timer; /* own; while stopping */
    bool is_stopping;
};

/* A connection was accepted; takes the descriptor. */
void gate_client_new(struct gate *gate, int fd, const struct engine_kind *kind, bool is_tls);
void gate_client_free(struct gate_client **client);

/* The one that asked with this tag and still waits; or NULL. */
struct gate_client *gate_find(struct gate *gate, uint64_t tag);
/* Gives a place and its tag. */
uint64_t gate_enlist(struct gate *gate, struct gate_client *client);
void gate_delist(struct gate *gate, uint64_t tag);

void gate_client_login_reply(struct gate_client *client, const struct wire_login_reply *reply);
void gate_client_open_reply(struct gate_client *client, uint64_t status);
/* A peer is there again: whoever waits for one asks again. */
void gate_client_peer_came(struct gate_client *client);
/* The peer that would answer is gone; no answer will come. */
void gate_client_peer_lost(struct gate_client *client, enum wire_role peer);
/* gate_hibernate.c: the mailbox process wants the session to sleep; the answer goes to the store.
 * `client` NULL: it is gone by now. */
void gate_hibernate_offer(struct gate *gate, struct gate_client *client,
                          const struct wire_session_hibernate *body);
/* Something happened that the sleeping client must hear of, or its session is over. */
void gate_hibernate_wake(struct gate_client *client, const struct wire_session_wake *body);
/* The service ends. */
void gate_client_bye(struct gate_client *client);

#endif
