/*
 * The inside of the service, for the files of this folder: service.c moves connections on, asking.c
 * asks other roles for them.
 */
#ifndef SMTP_SERVER_SERVICE_STATE_H
#define SMTP_SERVER_SERVICE_STATE_H

#include "dns/client.h"
#include "net/connection.h"
#include "smtp/server/examiners.h"
#include "smtp/server/service.h"

enum {
    SMTP_LISTENERS_MAX = 64,
    SMTP_PEER_ABSENCE_MS = 3000, /* so long questions wait for a role that is being restarted */
};

/* A role that is asked. */
struct smtp_peer {
    struct wire_channel *channel; /* borrowed; NULL: not there */
    int64_t absent_ms;            /* since when */
};

struct listening {
    struct smtp_server *server;
    struct net_listener *listener; /* own */
    enum smtp_service service;
    bool is_tls;
};

struct connection {
    struct smtp_server *server;
    struct net_connection *net;   /* own */
    struct smtp_session *session; /* own; NULL before implicit TLS is up, and where refused */
    struct net_timer *delay;      /* own; of a login's refusal, made when first needed */
    struct smtp_checks *checks;   /* own; NULL: the client is not suspect */
    struct smtp_turn turn;        /* with the examiners */
    int content_fd;               /* own; -1, or the content that was examined */
    enum smtp_service service;
    enum wire_status login_status; /* while delayed */
    struct id login_slot; /* whose password opened it; the keeper is asked about it again */
    uint32_t slot;
    uint32_t question;  /* counts; of the one that is asked now */
    bool is_asked;      /* an answer is awaited */
    bool is_postponed;  /* the question waits for a role that is not there */
    bool is_securing;   /* STARTTLS was answered */
    bool is_counted;    /* one of connections_max; else it is only being refused */
    bool is_in_census;
    bool is_input_over; /* the client closed its half */
    bool is_finishing;
    int64_t started_ms;
};

struct smtp_server {
    struct net_loop *loop;
    const struct log *log;
    struct net_tls *tls;
    struct smtp_service_options options;
    struct smtp_memory memory;
    struct smtp_peer keeper, store, courier;
    struct dns_client *dns;           /* own */
    struct smtp_examiners *examiners; /* own */
    struct listening listenings[SMTP_LISTENERS_MAX];
    size_t listening_count;
    struct connection **slots; /* own; NULL where free */
    size_t slot_room, connection_count, refusal_count;
    uint32_t question_count;
    bool is_stopping;
    struct net_timer *tick, *grace; /* own */
    net_callback on_stopped;
    void *stopped_owner;
};

/* A question's tag: slot (24 bits), question (24), target (16). */
enum { SMTP_QUESTION_MASK = 0xffffff };

/* ---- service.c ---- */
/* Whatever changed: moves the connection on until it waits for somebody else. */
void smtp_pump(struct connection *connection);
/* One of this host's own, where those are trusted. */
bool smtp_is_trusted(const struct connection *connection);

/* ---- asking.c ---- */
extern const struct smtp_examiners_events smtp_examiners_events;
/* Starts what the engine waits for; true if it may be waiting for something else already. */
bool smtp_serve(struct connection *connection, enum smtp_want want);
/* Another role's answer to the connection's question. */
void smtp_on_answer(struct connection *connection, const struct wire_message *message);
/* An examiner's, to whomever it was; `channel` is its own. */
void smtp_on_examined(struct smtp_server *server, const struct wire_channel *channel,
                      const struct wire_message *message);
/* Of the connection, once it was answered or given up. */
void smtp_on_checks_known(void *connection);
void smtp_on_delay(void *connection);
/* The engine's on_unused; `owner` is the server. */
void smtp_on_unused(void *owner, const struct wire_recipients_unused *unused);
/* An answer of the keeper's that nobody waits for any more: what it counted is unused. */
void smtp_on_late_answer(struct smtp_server *server, const struct wire_message *message);

#endif
