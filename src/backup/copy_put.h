/*
 * A copy of a database, made by the role that has it (the account database, a drop box), on its way
 * to the archivist: hashed a slice at a time, with others' turns between, then put; its owner hears
 * what became of it.
 */
#ifndef BACKUP_COPY_PUT_H
#define BACKUP_COPY_PUT_H

#include "net/loop.h"
#include "wire/channel.h"

struct copy_put;

struct copy_put_options {
    struct net_loop *loop; /* borrowed */
    int fd;                /* of the copy, all of it; taken over */
    struct id mailbox;     /* whose; unset: the host's own */
    const char *name;      /* the object's, as BACKUP_PUT has it; copied */
    size_t slice_bytes;
    int64_t pause_ms; /* between two slices */
    uint64_t tag;     /* of the request; no other of the role's has it */
    /* The archivist's channel now; NULL: it is away. */
    struct wire_channel *(*archivist)(void *owner);
    /* Once, later; the copy_put is gone by then. */
    void (*on_done)(void *owner, enum err err, const char *words);
    void *owner; /* borrowed */
};

struct copy_put *copy_put_start(const struct copy_put_options *options);
/* Without on_done. NULL in it is fine. */
void copy_put_free(struct copy_put **put);
/* A BACKUP_PUT_REPLY came; it may be another's. NULL is fine. */
void copy_put_answered(struct copy_put *put, const struct wire_message *message);
/* The archivist's channel is gone, and with it the answer. NULL is fine. */
void copy_put_archivist_gone(struct copy_put *put);

#endif
