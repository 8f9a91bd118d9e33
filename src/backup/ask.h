/*
 * A destination, for a process that has nothing else to do meanwhile (`sealpost restore-host`):
 * each call runs the loop until its answer is there. Errors are those of destination.h.
 */
#ifndef BACKUP_ASK_H
#define BACKUP_ASK_H

#include "backup/destination.h"
#include "net/loop.h"

struct backup_ask {
    struct net_loop *loop; /* borrowed, as the next */
    struct backup_destination *destination;
};

/* An object whose bytes were compared with its digest. */
struct backup_got {
    int fd; /* own; readable from its beginning */
    uint64_t size_bytes;
    unsigned char digest[CRYPT_HASH_BYTES];
};

MUST_CHECK enum err backup_ask_get(const struct backup_ask *ask, struct task *task, struct str name,
                                   struct backup_got *out);
void backup_got_done(struct backup_got *got);
/* A small one. ERR_LIMIT: it is larger. */
MUST_CHECK enum err backup_ask_read(const struct backup_ask *ask, struct task *task,
                                    struct str name, size_t limit_bytes, struct buf *out);
/* Every name that begins with `prefix`, in the order of their bytes, each good for the call. */
MUST_CHECK enum err backup_ask_list(const struct backup_ask *ask, struct task *task,
                                    struct str prefix,
                                    void (*on_name)(void *owner, struct str name), void *owner);

#endif
