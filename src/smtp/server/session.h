/*
 * The SMTP server's engine (RFC 5321 and extensions): bytes in, bytes out, and what it waits for.
 * It does no network I/O and reads no clock, so the server, the tests, the fuzzer and a transcript
 * use the same one.
 *
 * All `now_ms` are of a clock that never jumps (clock_monotonic_ms).
 */
#ifndef SMTP_SERVER_SESSION_H
#define SMTP_SERVER_SESSION_H

#include "base/id.h"
#include "base/log.h"
#include "smtp/header.h"
#include "smtp/server/content.h"
#include "wire/messages.h"

struct smtp_session;

enum {
    SMTP_OUTPUT_HIGH = 32 * 1024, /* no command is begun while more than this waits */
    SMTP_PENDING_HIGH = 64 * 1024,
};

enum smtp_service {
    SMTP_SERVICE_MX,         /* from anybody, to our recipients */
    SMTP_SERVICE_SUBMISSION, /* from our users */
};

struct smtp_options {
    enum smtp_service service;
    struct str hostname;
    struct str client;         /* the peer's address as text */
    struct str tls_words;      /* with is_tls: for the Received field */
    bool is_tls;               /* implicit TLS, up already */
    bool may_login_plain;      /* loopback, where the configuration lets it log in without TLS */
    bool is_suspect;           /* the DNS is asked about the client and its senders: SMTP_WANTS_CHECK */
    uint64_t message_size_max; /* bytes */
    uint64_t recipients_max;
    uint64_t hops_max;
    int64_t greeting_timeout_ms; /* to reach the first MAIL (MX) or the login (submission) */
    struct smtp_memory *memory;  /* borrowed; shared by the process's sessions */
    const struct log *log;       /* borrowed */
    /*
     * A login's transaction is over before anybody was given its message (RSET, a refusal, the
     * connection went): those of its recipients that the keeper counted. Called in the middle of
     * things, smtp_session_free included: the session must not be touched. NULL: nobody counts.
     */
    void (*on_unused)(void *owner, const struct wire_recipients_unused *unused);
    void *on_unused_owner;
};

enum smtp_want {
    SMTP_WANTS_INPUT,
    SMTP_WANTS_ROOM,      /* output is above SMTP_OUTPUT_HIGH: consume some, then resume */
    SMTP_WANTS_TLS,       /* send the output, start TLS, then smtp_session_secured */
    SMTP_WANTS_LOGIN,     /* see smtp_session_login */
    SMTP_WANTS_SENDER,    /* may the login send as smtp_session_address? */
    SMTP_WANTS_CHECK,     /* see smtp_session_check_done */
    SMTP_WANTS_RECIPIENT, /* where does mail for smtp_session_address go? */
    SMTP_WANTS_EXAMINATION, /* see smtp_session_examination */
    SMTP_WANTS_DELIVERY,  /* see smtp_session_delivery */
    SMTP_WANTS_CLOSE,     /* send the output, then close */
};

/* The greeting is in the output at once. Strings of `options` are copied. */
struct smtp_session *smtp_session_new(const struct smtp_options *options, int64_t now_ms);
void smtp_session_free(struct smtp_session **session);

/* Bytes from the client. Best given while SMTP_WANTS_INPUT; else they are queued (while
 * SMTP_WANTS_TLS or CLOSE: dropped). */
void smtp_session_input(struct smtp_session *session, struct str bytes, int64_t now_ms);
/* So much is queued that no more should be given for now. */
bool smtp_session_is_input_full(const struct smtp_session *session);
/* Goes on with what was queued, once there is room again. The answers below do it themselves. */
void smtp_session_resume(struct smtp_session *session, int64_t now_ms);
enum smtp_want smtp_session_wants(const struct smtp_session *session);
/* What is to be sent; holds until the next call. Tell what was taken with consume. */
struct str smtp_session_output(const struct smtp_session *session);
void smtp_session_consume_output(struct smtp_session *session, size_t len);

/* When to call smtp_session_expire, unless something happens before. */
int64_t smtp_session_deadline(const struct smtp_session *session);
/* The deadline is over: tells the client, or answers for a role that does not. */
void smtp_session_expire(struct smtp_session *session, int64_t now_ms);
/* The service stops: an idle client is told; a delivery under way is answered first. */
void smtp_session_stop(struct smtp_session *session);

/* TLS is up: all that the client said before is forgotten (RFC 3207 §4.2). */
void smtp_session_secured(struct smtp_session *session, struct str tls_words, int64_t now_ms);

/* While SMTP_WANTS_LOGIN; borrowed until smtp_session_login_done. The caller delays refusals. */
void smtp_session_login(const struct smtp_session *session, struct str *out_username,
                        struct str *out_password);
void smtp_session_login_done(struct smtp_session *session, enum wire_status status,
                             const struct id *mailbox, int64_t now_ms);
/* Whose login it is; unset: nobody's. */
const struct id *smtp_session_mailbox(const struct smtp_session *session);

/* While SMTP_WANTS_SENDER or SMTP_WANTS_RECIPIENT. */
struct str smtp_session_address(const struct smtp_session *session);
void smtp_session_sender_done(struct smtp_session *session, enum wire_status status,
                              int64_t now_ms);

/* What the DNS knows of the client, and of the domain of the transaction's sender. */
enum smtp_domain {
    SMTP_DOMAIN_FINE, /* or nobody knows */
    SMTP_DOMAIN_MISSING,    /* NXDOMAIN */
    SMTP_DOMAIN_TAKES_NONE, /* a null MX (RFC 7505) */
};
struct smtp_facts {
    struct str reverse_name; /* confirmed; may be empty */
    bool is_nameless;        /* the DNS says that there is none; not: that nobody knows */
    uint64_t list_score;     /* of all block lists together, in thousandths */
    bool is_refused;         /* for that score */
    enum smtp_domain sender_domain;
};
/* While SMTP_WANTS_CHECK; MAIL's reply waits for it. Texts are copied. */
void smtp_session_check_done(struct smtp_session *session, const struct smtp_facts *facts,
                             int64_t now_ms);
/* The sender's domain, empty where the DNS is not asked about it: the null path, a literal. */
struct str smtp_session_sender_domain(const struct smtp_session *session);

/* While SMTP_WANTS_RECIPIENT: fills the question; borrowed until recipient_done. */
void smtp_session_recipient(const struct smtp_session *session, struct wire_recipient *out);
/* The answer as it came; what is kept of it is copied. */
void smtp_session_recipient_done(struct smtp_session *session,
                                 const struct wire_recipient_reply *reply, int64_t now_ms);

/*
 * While SMTP_WANTS_EXAMINATION: the question, borrowed until smtp_session_examination_done, and the
 * content, until smtp_session_content_taken.
 */
void smtp_session_examination(const struct smtp_session *session, struct wire_examine *out,
                              const struct smtp_content **out_content);
/* The answer as it came, copied; NULL: nobody could look at it. True: it will be delivered. */
bool smtp_session_examination_done(struct smtp_session *session,
                                   const struct wire_examine_reply *reply, int64_t now_ms);

enum smtp_target_kind {
    SMTP_TARGET_MAILBOX, /* DELIVER */
    SMTP_TARGET_COPY,    /* DELIVER, for the author himself: with his Bcc, read already */
    SMTP_TARGET_QUEUE,   /* QUEUE */
};

/* One for each mailbox, however many recipients lead to it, and for each message for the queue. */
struct smtp_target {
    enum smtp_target_kind kind;
    struct id mailbox;    /* not of QUEUE */
    struct str recipient; /* the first that led to it; empty: COPY */
    struct str folder;    /* empty: INBOX, or Junk by its owner's habits */
    struct str envelope;  /* of QUEUE: JSON (docs/routes.md) */
    bool is_junk;
    enum wire_status status; /* of its delivery */
    bool is_answered;
};

struct smtp_delivery {
    struct str sender;                  /* empty: the null path */
    struct str trace;                   /* our own fields, to be stored before the content */
    const struct smtp_content *content; /* as received; its text is gone after an examination */
    const struct smtp_ranges *removals; /* of the content, to be left out */
    struct str bounce;                  /* what it reports, for the courier; usually empty */
    bool has_own;                       /* some of them are for the author's own copy */
    const struct smtp_target *targets;
    size_t target_count; /* may be 0: taken and dropped, delivery_done is called for target 0 */
};

/*
 * While SMTP_WANTS_DELIVERY: what goes where; borrowed until smtp_session_content_taken (content
 * and trace) or the last smtp_session_delivery_done. `wall_ms` and `trace_id` go into the trace.
 */
void smtp_session_delivery(struct smtp_session *session, int64_t wall_ms,
                           const struct id *trace_id, struct smtp_delivery *out);
/* The caller has the content elsewhere: it is wiped here, but for its length. */
void smtp_session_content_taken(struct smtp_session *session);
/* The client is told when all targets are answered (true): 250 only if it is on disk for each. */
bool smtp_session_delivery_done(struct smtp_session *session, size_t target,
                                enum wire_status status, int64_t now_ms);
/* Whether what it waits for is asked of this role: keeper, store or courier. */
bool smtp_session_needs(const struct smtp_session *session, enum wire_role role);
/* A role is gone: all that is still waited for from it is answered with UNAVAILABLE. False: nothing
 * was. */
bool smtp_session_role_lost(struct smtp_session *session, enum wire_role role, int64_t now_ms);

/* For the list of what is covered: the index-th of what EHLO can tell; false beyond the last. */
bool smtp_extension_at(size_t index, const char **out_words, const char **out_rfc);

#endif
