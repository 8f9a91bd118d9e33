/* One client inside the gate; for gate_client.c and gate_hibernate.c. */
#ifndef ROLE_GATE_CLIENT_H
#define ROLE_GATE_CLIENT_H

#include "role/gate.h"
#include "secret/pass.h"

enum {
    GATE_CLIENT_TAIL = 24,               /* engine_kind's words of compression are no longer */
    GATE_CLIENT_OUTPUT_MAX = 128 * 1024, /* to the client, and as much to the mailbox process */
};

enum gate_client_state {
    GATE_CLIENT_TALKING,
    GATE_CLIENT_ASKING,
    GATE_CLIENT_OPENING,
    GATE_CLIENT_WAITING,
    GATE_CLIENT_CARRYING,
    GATE_CLIENT_DOZING, /* the state is here, the end of the stream is not yet */
    GATE_CLIENT_ASLEEP, /* no stream, and no mailbox process */
    GATE_CLIENT_ENDING,
};

struct gate_client {
    struct gate *gate; /* borrowed */
    uint64_t tag;
    enum gate_client_state state;
    struct net_connection *connection; /* own; NULL: the client is gone */
    struct net_connection *stream;     /* own; to the mailbox process */
    int stream_fd;                     /* own; OPENING */
    const struct engine_kind *kind;    /* the protocol it speaks */
    void *engine;                      /* own, a session of that kind; until CARRYING */
    struct net_timer *deadline;        /* own; until CARRYING */
    struct net_timer *step;            /* own; a refusal that waits, or the engine's next turn */
    struct id session, mailbox;        /* set: the keeper may know it; it does, and this is its */
    unsigned char pass[PASS_BYTES];    /* of the session, from the keeper */
    int64_t waits_until_ms;            /* for a peer, in this login; 0: it did not have to yet */
    bool has_store_session;            /* the store may know it too */
    bool is_secured;                   /* TLS was told to the engine */
    bool has_reopened;                 /* in this login the mailbox was asked for a second time */
    bool is_refusing;                  /* `step` passes a refusal on */
    bool is_counted;                   /* in the census */
    bool is_input_over;                /* the client closed its half; what came is answered */
    bool said_bye;                     /* the mailbox process ended the session in words */
    bool is_at_line_end;
    bool may_compress;           /* the client asked for it */
    bool is_compressed;          /* what the mailbox process sends now */
    char said[GATE_CLIENT_TAIL]; /* the last bytes that the client sent, until it asked */
    char tail[GATE_CLIENT_TAIL]; /* the last that the mailbox process sent, since then */
    char line[8]; /* the beginning of the line that is under way */
    size_t line_len;
    bool is_woken;          /* DOZING: it is to go on as soon as it sleeps */
    bool is_expelled;       /* DOZING: it is to end as soon as it sleeps */
    uint64_t sent_bytes;    /* on this stream */
    uint64_t heard_bytes;   /* likewise */
    uint64_t said_bytes;    /* DOZING: how many there are to hear; more are last words */
    struct buf sleep_state; /* DOZING, ASLEEP */
    int64_t slept_ms;       /* monotonic: since when */
};

/* Bytes go both ways over this stream from now on; takes it over. */
void gate_client_carry(struct gate_client *client, int stream_fd);
/* What is queued for the client goes out, then it is over. */
void gate_client_end(struct gate_client *client);
/* The same with BYE, if nobody said it and the client would understand it. */
void gate_client_lost_mailbox(struct gate_client *client);

/* gate_hibernate.c: the stream of a DOZING client came to its end. */
void gate_hibernate_asleep(struct gate_client *client);
/* An ASLEEP client goes on, because it spoke or else; false: it ended. */
bool gate_hibernate_resume(struct gate_client *client, bool has_spoken);
/* A store that comes back knows of no sleeper. */
void gate_hibernate_store_lost(struct gate_client *client);

#endif
