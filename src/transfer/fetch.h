/*
 * A source: another server, over IMAP. Folder by folder, what was not taken yet (by UIDVALIDITY and
 * UID, which the mailbox remembers), in the order of UIDs, with flags and dates. A dialog that waits;
 * for a process that does nothing else, and that holds no mailbox's key.
 */
#ifndef TRANSFER_FETCH_H
#define TRANSFER_FETCH_H

#include "transfer/stream.h"

/* A connection to the server. */
struct transfer_line {
    /* Some bytes, at least one; 0 in *out_len: the server closed. */
    enum err (*read)(void *owner, struct task *task, char *room, size_t len, size_t *out_len);
    enum err (*write)(void *owner, struct task *task, struct str bytes);
    /* TLS from here on; the server is who it should be. */
    enum err (*start_tls)(void *owner, struct task *task);
    void *owner;
};

struct transfer_server {
    struct str user, password;
    struct str name;       /* "imap://user@host": under it, what came from there is remembered */
    struct str folder;     /* this one and those below it; empty: all */
    bool needs_tls;        /* STARTTLS before the password; else it is secure already, or local */
};

/* What stayed behind, and must be told; texts in the task's arena. */
struct transfer_fetched {
    size_t refused_count; /* folders that the server lists but does not give */
    struct str refused;   /* the first of them */
    size_t lost_count;    /* messages that it lists but does not give */
    struct str lost_in;   /* the folder of the first of them */
    uint32_t lost_uid;
    struct str view; /* a view of other folders (RFC 6154 \All, \Flagged), taken only by its name */
};

/*
 * ERR_DENIED: the server refuses the login, or TLS; ERR_INVALID: it does not speak IMAP; ERR_BUSY:
 * it hung up, so that another try goes on where this one ended.
 */
MUST_CHECK enum err transfer_fetch(struct task *task, const struct transfer_line *line,
                                   const struct transfer_server *server, struct transfer_feed *feed,
                                   struct transfer_fetched *out_fetched);

#endif
