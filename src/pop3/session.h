/*
 * The POP3 engine (RFC 1939 and extensions): bytes in, bytes out, and what it waits for. It does no
 * network I/O, so the server, the tests, the fuzzer and a transcript use the same one.
 *
 * As with IMAP, a conversation has two halves. Before login it lives in the gate, without a vault:
 * the AUTHORIZATION state. Login hands it to the mailbox process: a second session object there,
 * born in the TRANSACTION state, answers the login command and all that follows.
 *
 * The maildrop is INBOX as it was at login, all of it. Nothing is locked: IMAP sessions and other
 * POP3 sessions go on beside it, and what they expunge is skipped when this one deletes.
 */
#ifndef POP3_SESSION_H
#define POP3_SESSION_H

#include "base/log.h"
#include "base/task.h"
#include "vault/vault.h"

struct pop3_session;

enum {
    POP3_LINE_MAX = 4096, /* RFC 2449 §4 asks for 255; AUTH may bring a long password in base64 */
    POP3_OUTPUT_HIGH = 128 * 1024, /* long answers pause above this */
};

struct pop3_options {
    struct str hostname;
    bool is_secure;        /* TLS, or loopback where plain login is allowed */
    bool is_tls;           /* TLS is on already: no STLS */
    bool is_utf8;          /* mailbox process: as the first half left it (pop3_session_is_utf8) */
    const struct log *log; /* borrowed */
    /* Called before the session lists the vault or writes to it, so that what others have under way
     * there is committed first; NULL: there is nothing. */
    void (*before_vault)(void *owner, int64_t now_ms);
    void *owner; /* borrowed */
};

enum pop3_want {
    POP3_WANTS_INPUT,
    POP3_WANTS_ROOM,  /* the output is above POP3_OUTPUT_HIGH: consume some, then resume */
    POP3_WANTS_TURN,  /* more to do: call pop3_session_resume after other events had theirs */
    POP3_WANTS_TLS,   /* gate: send the output, then start TLS, then pop3_session_secured */
    POP3_WANTS_LOGIN, /* gate: see pop3_session_login */
    POP3_WANTS_CLOSE, /* send the output, then close */
};

/* Before login, in the gate. The greeting is in the output at once. */
struct pop3_session *pop3_session_new(const struct pop3_options *options);
/* After login, in the mailbox process: the login is answered when the maildrop is listed; `vault`
 * is borrowed. */
struct pop3_session *pop3_session_resume_authenticated(const struct pop3_options *options,
                                                       struct vault *vault, int64_t now_ms);
void pop3_session_free(struct pop3_session **session);

/* Bytes from the client; what comes while a command runs is queued. now_ms: wall clock. */
void pop3_session_input(struct pop3_session *session, struct str bytes, int64_t now_ms);
/* True while the session has taken as much input as it will before it answers. */
bool pop3_session_is_input_full(const struct pop3_session *session);
/* Goes on with a command that gave way (ROOM, TURN). */
void pop3_session_resume(struct pop3_session *session, int64_t now_ms);
enum pop3_want pop3_session_wants(const struct pop3_session *session);
/* What is to be sent; holds until the next call. Tell what was taken with consume, which prepares the
 * answer to the client's next command when that is all: send first. */
struct str pop3_session_output(const struct pop3_session *session);
void pop3_session_consume_output(struct pop3_session *session, size_t len);
/* The server ends the session: nothing is deleted, nothing is said, since only answers to commands
 * may be (RFC 1939 §3). */
void pop3_session_end(struct pop3_session *session);

/* Gate only. TLS is up: the state is as after the greeting, without one. */
void pop3_session_secured(struct pop3_session *session);
/* While POP3_WANTS_LOGIN: the credentials; borrowed until the session goes on. */
void pop3_session_login(const struct pop3_session *session, struct str *out_username,
                        struct str *out_password);
/* Whether the client said UTF8 (RFC 6856): the second half is to know. */
bool pop3_session_is_utf8(const struct pop3_session *session);
/* Input that came behind the login command and belongs to the mailbox process. */
struct str pop3_session_pending_input(const struct pop3_session *session);
enum pop3_login_result {
    POP3_LOGIN_DENIED,      /* -ERR [AUTH], the same words for every reason */
    POP3_LOGIN_UNAVAILABLE, /* -ERR [SYS/TEMP] */
};
/* A login that failed; credentials are wiped. After several the session ends. */
void pop3_session_login_failed(struct pop3_session *session, enum pop3_login_result result);

#endif
