/*
 * The administrator's commands that the keeper passes on: `sealpost backup list`, `backup status`,
 * `backup destination …`.
 *
 * Those that take their time are few at once; so where nobody waits for one any more, the keeper
 * says "cancel" with its tag: it ends, and is not answered, nor is this.
 */
#ifndef BACKUP_ARCHIVIST_ADMIN_H
#define BACKUP_ARCHIVIST_ADMIN_H

#include "backup/archivist.h"

struct archivist_admin;

/* What the archivist can tell of itself. */
struct archivist_state {
    struct backup_destination *destination; /* borrowed; NULL: none */
    struct backup_mirrors *mirrors;         /* owners' own; borrowed; NULL: not here */
    const char *words;                      /* why there is none; borrowed */
    size_t running, waiting;
    uint64_t put_count, put_bytes, failed_count; /* since the start */
    int64_t last_put_ms, last_failure_ms;        /* 0: none */
    const char *failure;                         /* the last one's words; borrowed */
    struct backup_policy policy;
};

struct archivist_admin *archivist_admin_new(const struct log *log);
void archivist_admin_free(struct archivist_admin **admin);
/* An ADMIN message; answered with ADMIN_REPLY, at once or later. */
void archivist_admin_message(struct archivist_admin *admin, const struct archivist_state *state,
                             struct wire_channel *from, const struct wire_message *message);
/* Nobody there waits any more. */
void archivist_admin_gone(struct archivist_admin *admin, const struct wire_channel *asker);

#endif
