/*
 * Where backups are kept: one interface, of which directory.c and s3.c are the two kinds. An object
 * is there whole or not at all; its SHA-256 is kept beside it and compared whenever it is read.
 * Older objects have a BLAKE2b-256 there instead: which of the two it is, is said with it.
 *
 * Every call answers later, from the loop, once. None takes memory by an object's size. A call that
 * failed with ERR_BUSY may do next time (backup/archivist.h tries again); S3 goes on there with the
 * parts that were sent already.
 *
 *   ERR_NOT_FOUND  no such object; put: the bucket or directory is gone
 *   ERR_CORRUPT    get: not the bytes that were put
 *   ERR_LIMIT      no room, at the destination or (get) on this host
 *   ERR_DENIED     credentials or certificate are not good
 *   ERR_INVALID    the request, or what a server says, makes no sense; put: the bytes are not those
 *                  of the digest
 *   ERR_BUSY       not reached, or it says to come back
 *   ERR_IO         a disk failed
 */
#ifndef BACKUP_DESTINATION_H
#define BACKUP_DESTINATION_H

#include "backup/name.h"
#include "base/task.h"
#include "secret/crypt.h"

enum { BACKUP_PAGE_MAX = 1000 };

struct backup_destination;
struct backup_call; /* one that is under way */

struct backup_object {
    struct str name;
    uint64_t size_bytes;
    int64_t modified_ms;
};

struct backup_result {
    enum err err;
    const char *words; /* why it failed, for a log and an operator; "" */
    /* get: readable from its beginning, of this size; own unless taken (set to -1) */
    int fd;
    uint64_t size_bytes;
    const unsigned char *digest; /* get: SHA-256 of its bytes, whatever lies beside it */
    /* list: in the order of their bytes; is_last: no more follow */
    const struct backup_object *objects;
    size_t object_count;
    bool is_last;
};

/* `result` holds during the call; the backup_call is gone when it returns. */
typedef void (*backup_on_done)(void *owner, struct backup_result *result);

struct backup_put {
    struct str name;
    int fd; /* duplicated; a file or memfd whose first size_bytes are the object */
    uint64_t size_bytes;
    const unsigned char *digest; /* SHA-256 (CRYPT_HASH_BYTES), copied */
};

/* Replaces an object of that name. */
struct backup_call *backup_put(struct backup_destination *destination, const struct backup_put *put,
                               backup_on_done on_done, void *owner);
struct backup_call *backup_get(struct backup_destination *destination, struct str name,
                               backup_on_done on_done, void *owner);
/* Names that begin with `prefix` and sort after `after`, at most `count_max` (BACKUP_PAGE_MAX). */
struct backup_call *backup_list(struct backup_destination *destination, struct str prefix,
                                struct str after, size_t count_max, backup_on_done on_done,
                                void *owner);
/* Gone already is fine. LATER: whoever asks deletes others of the same folder next, and this one
 * need not be gone for good, should the power fail, before one of them was deleted NOW. */
enum backup_gone { BACKUP_GONE_NOW, BACKUP_GONE_LATER };
struct backup_call *backup_delete(struct backup_destination *destination, struct str name,
                                  enum backup_gone gone, backup_on_done on_done, void *owner);
/* Puts of names that begin with `prefix`, which were begun and are not ended, by whomever: what is
 * there of them goes, and they cannot be ended any more. NULL: nothing of that kind is ever there,
 * and on_done is not called. */
struct backup_call *backup_abandon(struct backup_destination *destination, struct str prefix,
                                   backup_on_done on_done, void *owner);
/* When a request of a put of this mailbox ("<mailbox>/…") was last given up before it was answered:
 * the server may have it, and end it whenever it likes. Monotonic; 0: never, or it cannot be. */
int64_t backup_lost_put_ms(const struct backup_destination *destination, struct str name);
/* Not inside its own on_done. Sets the caller's pointer to NULL; NULL is fine. */
void backup_cancel(struct backup_call **call);
/* No call is under way. */
void backup_destination_free(struct backup_destination **destination);

/* ---- What the kinds bring ---- */

struct backup_destination_kind {
    struct backup_call *(*put)(struct backup_destination *destination, const struct backup_put *put,
                               backup_on_done on_done, void *owner);
    struct backup_call *(*get)(struct backup_destination *destination, struct str name,
                               backup_on_done on_done, void *owner);
    struct backup_call *(*list)(struct backup_destination *destination, struct str prefix,
                                struct str after, size_t count_max, backup_on_done on_done,
                                void *owner);
    struct backup_call *(*remove)(struct backup_destination *destination, struct str name,
                                  enum backup_gone gone, backup_on_done on_done, void *owner);
    /* NULL in the next two: as none is. */
    struct backup_call *(*abandon)(struct backup_destination *destination, struct str prefix,
                                   backup_on_done on_done, void *owner);
    int64_t (*lost_put_ms)(const struct backup_destination *destination, struct str name);
    void (*cancel)(struct backup_call *call);
    void (*free)(struct backup_destination *destination);
};

/* The first member of each kind's own structure. */
struct backup_destination {
    const struct backup_destination_kind *kind;
};
struct backup_call {
    const struct backup_destination_kind *kind;
};

#endif
