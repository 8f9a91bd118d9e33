/*
 * The protocols that open a mailbox, as one interface: what the gate and the mailbox process ask
 * of an engine whatever it speaks. engine_<protocol>.c is the table of one; nothing else in these
 * two roles knows which protocols there are.
 *
 * A conversation has two halves (imap/session.h): `begin` makes the first, in the gate, `resume`
 * the second, in the mailbox process. A session is the protocol's own structure; both halves share
 * the calls between.
 */
#ifndef ROLE_ENGINE_H
#define ROLE_ENGINE_H

#include "role/config.h"
#include "vault/vault.h"
#include "wire/messages.h"

enum engine_want {
    ENGINE_WANTS_INPUT,
    ENGINE_WANTS_ROOM,     /* there is much output: send some, then resume */
    ENGINE_WANTS_TURN,     /* more to do: resume after other events had theirs */
    ENGINE_WANTS_TLS,      /* gate: send the output, start TLS, then `secured` */
    ENGINE_WANTS_LOGIN,    /* gate: see `login` */
    ENGINE_WANTS_COMPRESS, /* mailbox process: send the output, compress from here on (what is
                              pending is compressed already), then `compressed` */
    ENGINE_WANTS_CLOSE,    /* send the output, then close */
};

/* Why a login failed; the words are the protocol's. */
enum engine_refusal { ENGINE_LOGIN_DENIED, ENGINE_LOGIN_UNAVAILABLE };

struct imap_group;

struct engine_options {
    const struct config *config; /* borrowed */
    const struct log *log;       /* borrowed */
    bool may_log_in;             /* TLS is on, or the client is one that needs none */
    bool is_tls;
    /* Mailbox process only. */
    struct vault *vault;        /* borrowed */
    struct imap_group *appends; /* borrowed: committed before anything else uses the vault */
    struct str login_tag;       /* as `login` gave it */
};

struct engine_kind {
    enum wire_service service;
    struct str setting, tls_setting; /* its listeners' names */
    struct str too_many;             /* the whole line for a client that gets no session */
    struct str lost; /* the same when the mailbox process went away; empty: nothing may be said */
    /* The command that asks for compression, in capitals, and the end of the line behind which everything
     * is compressed; empty: nothing ever is. */
    struct str compress, compressing;
    struct str bye;  /* begins the line after which nothing comes; empty: none does */
    size_t output_high; /* a session's output pauses above this */

    void *(*begin)(const struct engine_options *options);
    void *(*resume_authenticated)(const struct engine_options *options);
    void (*free)(void *session);
    void (*input)(void *session, struct str bytes, int64_t now_ms);
    bool (*is_input_full)(const void *session);
    /* It waits for more of something that it holds much memory for, another number for each such thing; 0:
     * it does not. NULL: it never does. */
    uint64_t (*receiving)(const void *session);
    void (*resume)(void *session, int64_t now_ms);
    enum engine_want (*wants)(const void *session);
    struct str (*output)(const void *session);
    void (*consume_output)(void *session, size_t len);
    /* The server ends the session; with these words where the protocol has room for some. */
    void (*end)(void *session, const char *words);
    /* Input that came behind the login command, or behind the one that starts compression. */
    struct str (*pending_input)(const void *session);

    /* Gate only. */
    void (*secured)(void *session);
    /* The tag is what the second half must know: IMAP's of the command that it answers. */
    void (*login)(const void *session, struct str *out_tag, struct str *out_username,
                  struct str *out_password);
    void (*login_failed)(void *session, enum engine_refusal refusal);

    /* Mailbox process only: something may be sent without input; look in the next turn. */
    void (*on_output)(void *session, void (*on_output)(void *owner), void *owner);
    void (*compressed)(void *session); /* NULL: a protocol that never wants it */

    /* Sleep (imap/hibernate.h); NULL, all of them: the protocol's sessions never do. */
    bool (*can_hibernate)(const void *session);
    void (*hibernate)(const void *session, struct buf *out);
    int64_t (*watched_folder)(const void *session);
    enum err (*resume_hibernated)(const struct engine_options *options, struct task *task,
                                  struct str state, void **out_session);
    /* Clients that nobody waits for (imap/session.h); NULL: there are none. */
    bool (*is_bulk)(const void *session);
    void (*set_bulk)(void *session, bool is_bulk);
    void (*ask_load)(void *session, bool (*is_under_load)(void *owner), void *owner);
};

extern const struct engine_kind engine_imap, engine_pop3;

/* NULL: no such protocol. */
const struct engine_kind *engine_for_service(uint64_t service);
/* By a listener's name ("imap", "imaps"). */
const struct engine_kind *engine_for_listener(struct str name);

#endif
