/*
 * The IMAP engine (RFC 3501, RFC 9051 and extensions): bytes in, bytes out, and what it waits for.
 * It does no network I/O, so the server, the tests, the fuzzer and a transcript use the same one.
 *
 * A conversation has two halves. Before login it lives in the gate, without a vault: greeting,
 * CAPABILITY, STARTTLS, LOGIN, AUTHENTICATE. Login hands it to the mailbox process: a second
 * session object there, born authenticated, answers the login command and all that follows.
 */
#ifndef IMAP_SESSION_H
#define IMAP_SESSION_H

#include "base/log.h"
#include "base/task.h"
#include "secret/secret.h"
#include "vault/change.h"

struct imap_session;

enum {
    IMAP_LINE_MAX = 64 * 1024, /* a command without its literals, after login */
    IMAP_LINE_MAX_BEFORE_LOGIN = 8 * 1024,
    IMAP_OUTPUT_HIGH = 64 * 1024, /* long answers pause above this */
};

/* The words of the OK behind which all is compressed (RFC 4978); the gate looks for them. */
#define IMAP_COMPRESSING "DEFLATE active."

/*
 * APPENDs that arrive together, from one session or several, share a commit: each is done at once
 * and answered after the commit, which comes when a session resumes (IMAP_WANTS_TURN) or does
 * anything else. Whoever else touches the vault commits first. What was sorted is remembered here
 * (sort_memory.h). One for each vault; it outlives its sessions.
 */
struct imap_group;
struct imap_group *imap_group_new(struct vault *vault);
void imap_group_free(struct imap_group **group);
void imap_group_commit(struct imap_group *group, int64_t now_ms);

struct imap_options {
    struct str hostname;
    uint64_t append_limit_bytes; /* APPENDLIMIT (RFC 7889) */
    uint32_t message_limit;      /* MESSAGELIMIT (RFC 9738); 0: none; APPEND has its own, too */
    bool is_secure;              /* TLS, or loopback where plain login is allowed */
    bool is_tls;                 /* TLS is on already: no STARTTLS */
    const struct log *log;       /* borrowed */
    struct imap_group *group;    /* borrowed; NULL: the session commits its APPENDs by itself */
};

enum imap_want {
    IMAP_WANTS_INPUT,
    IMAP_WANTS_ROOM,     /* the output is above IMAP_OUTPUT_HIGH: consume some, then resume */
    IMAP_WANTS_TURN,     /* more to do: call imap_session_resume after other events had theirs */
    IMAP_WANTS_TLS,      /* gate: send the output, then start TLS, then imap_session_secured */
    IMAP_WANTS_LOGIN,    /* gate: see imap_session_login */
    IMAP_WANTS_COMPRESS, /* send the output, then see imap_session_compressed */
    IMAP_WANTS_CLOSE,    /* send the output, then close */
};

/* Before login, in the gate. The greeting is in the output at once. */
struct imap_session *imap_session_new(const struct imap_options *options);
/*
 * After login, in the mailbox process: `login_tag` is answered with OK and CAPABILITY; `vault` is
 * borrowed. Other sessions of the same vault are heard of through its changes.
 */
struct imap_session *imap_session_resume_authenticated(const struct imap_options *options,
                                                       struct vault *vault, struct str login_tag);
void imap_session_free(struct imap_session **session);

/* Bytes from the client, whenever IMAP_WANTS_INPUT or INPUT may wait (they are queued, bounded by
 * the line limit and the literals accepted). now_ms: wall clock. */
void imap_session_input(struct imap_session *session, struct str bytes, int64_t now_ms);
/* True while the session has taken as much input as it will before it answers. */
bool imap_session_is_input_full(const struct imap_session *session);
/* The client is in the middle of a message for which room is held (room.h), or of a command with
 * one: whoever has the connection sees to it that it does not stop there. Another number for each
 * message; 0: in none. */
uint64_t imap_session_receiving(const struct imap_session *session);
/* Goes on with a command that gave way (ROOM, TURN). */
void imap_session_resume(struct imap_session *session, int64_t now_ms);
enum imap_want imap_session_wants(const struct imap_session *session);
/* What is to be sent; holds until the next call. Tell what was taken with consume. */
struct str imap_session_output(const struct imap_session *session);
void imap_session_consume_output(struct imap_session *session, size_t len);
/*
 * Called when there is something to do without input (another session's change while in IDLE or
 * with NOTIFY, a commit that others brought about): look at wants and output in the next turn, not
 * in the call, which may come in the middle of a commit.
 */
void imap_session_on_output(struct imap_session *session, void (*on_output)(void *owner),
                            void *owner);
/*
 * iOS names with ID the connections over which it loads a mailbox again in bulk, before login or
 * after it. While the server is under load, which the owner tells when asked, such a session's
 * commands are answered NO [UNAVAILABLE] (RFC 5530 §3): it comes back later, and clients with a
 * person before them stay fast. What needs no login (NOOP, LOGOUT, ID …) is always answered.
 */
bool imap_session_is_bulk(const struct imap_session *session);
void imap_session_set_bulk(struct imap_session *session, bool is_bulk);
void imap_session_ask_load(struct imap_session *session, bool (*is_under_load)(void *owner),
                           void *owner);
/* The server ends: untagged BYE with these words. */
void imap_session_bye(struct imap_session *session, const char *words);

/*
 * Mailbox process only, while IMAP_WANTS_COMPRESS: all further bytes are compressed, both ways
 * (RFC 4978). So are those of imap_session_pending_input, which come again, inflated; take them
 * before this call drops them.
 */
void imap_session_compressed(struct imap_session *session);
/* Gate only. TLS is up: the state is as after the greeting, without one. */
void imap_session_secured(struct imap_session *session);
/* While IMAP_WANTS_LOGIN: the credentials; borrowed until imap_session_login_done. */
void imap_session_login(const struct imap_session *session, struct str *out_tag,
                        struct str *out_username, struct str *out_password);
/* Input that came behind LOGIN and belongs to the mailbox process, or behind COMPRESS. */
struct str imap_session_pending_input(const struct imap_session *session);
enum imap_login_result {
    IMAP_LOGIN_DENIED,      /* NO [AUTHENTICATIONFAILED], the same words for every reason */
    IMAP_LOGIN_UNAVAILABLE, /* NO [UNAVAILABLE] */
};
/* A login that failed; credentials are wiped. After several it ends with BYE. A login that
 * succeeded needs no call: the gate frees this session and carries bytes. */
void imap_session_login_failed(struct imap_session *session, enum imap_login_result result);

#endif
