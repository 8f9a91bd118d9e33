/*
 * What the files of log shipping share: shipper.c has what is put and when, shipper_begin.c how a
 * generation begins, shipper_read.c how the log is read into the next segment.
 */
#ifndef BACKUP_SHIPPER_INTERNAL_H
#define BACKUP_SHIPPER_INTERNAL_H

#include "backup/manifest.h"
#include "backup/segment.h"
#include "backup/shipper.h"
#include "backup/shipping.h"
#include "backup/snapshot.h"
#include "backup/walfile.h"

enum { SHIPPER_NAME_ROOM = 96, SHIPPER_PATH_ROOM = 4096 };

/* shipper.h has the picture. */
enum shipper_state {
    SHIPPER_STATE_OFF,
    SHIPPER_STATE_NONE,
    SHIPPER_STATE_COPYING,
    SHIPPER_STATE_BASE,
    SHIPPER_STATE_CATCHING_UP,
    SHIPPER_STATE_READY,
    SHIPPER_STATE_MANIFEST,
    SHIPPER_STATE_RUNNING
};

/* An object on its way, or to be sent again. */
struct shipper_flight {
    int fd;     /* own; -1: none */
    int own_fd; /* own; of a base, to empty it with (backup/nameless.h); -1 */
    char name[SHIPPER_NAME_ROOM];
    uint64_t size_bytes;
    unsigned char digest[CRYPT_HASH_BYTES];
    bool is_asked;         /* an answer will come */
    struct shipping after; /* what holds when it is stored: of a segment */
};

/* A commit in the log that is not read yet: what the log does not say of it. */
struct shipper_unread {
    uint32_t frames; /* of the log, up to it */
    int64_t time_ms;
    uint64_t change_counter;
};

struct shipper {
    struct shipper_options options;
    struct secret *key;           /* own: of segments and manifests */
    struct vault *vault;          /* borrowed; NULL: not open */
    char path[SHIPPER_PATH_ROOM]; /* the mailbox's file */
    enum shipper_state state;
    struct shipping shipped; /* what the destination has; number and MAC of the next segment */
    struct shipping sealed;  /* the same, the segment on its way included */
    struct walfile wal;
    bool has_wal;
    struct shipper_unread
        unread[SHIPPER_UNREAD_MAX];   /* in their order: each has a frame at least */
    size_t unread_count, unread_next; /* the second: while they are read */
    bool may_begin_anew;              /* the log, with the next commit */
    int pending_fd;                   /* own; -1: none */
    bool is_pending_on_disk;
    struct segment_writer *pending; /* own */
    int64_t pending_since_ms;
    int64_t last_ms; /* of the last commit; times never go back within a generation */
    struct shipper_flight flight;
    struct snapshot *copy; /* own */
    struct manifest manifest;
    int64_t retry_at_ms, retry_ms; /* 0: at once */
    bool is_held_up;               /* a generation begins when a full backup has been made */
    bool has_left;                 /* the file is another shipper's */
    struct shipper *before;        /* borrowed; NULL: it follows none, or has taken over */
    struct shipper *next;          /* borrowed; what follows, and hears of the log by this one */
};

/* --- shipper.c --- */

/* A file of the mailbox's, beside it. */
void shipper_path(const struct shipper *shipper, const char *suffix, char out[SHIPPER_PATH_ROOM]);
/* Notes for the next process what the destination has; nothing where that one does not go on with
 * it. */
void shipper_save(const struct shipper *shipper, const struct shipping *shipping);
/* All of the generation goes, what was noted of it, too. */
void shipper_forget(struct shipper *shipper);
/* The generation ends, with what the task says; the next does not begin at once. */
void shipper_give_up(struct shipper *shipper, const struct task *task, const char *what);
/* As after a failure: what is to be done next is not done at once. */
void shipper_put_off(struct shipper *shipper, int64_t now_ms);
/* No checkpoint runs while the base is copied. */
void shipper_hold(struct shipper *shipper, bool is_held);
/* Puts what is in `flight`, perhaps once more. */
void shipper_send(struct shipper *shipper);

/* --- shipper_begin.c --- */

/* NONE -> COPYING, unless a full backup is under way: then later. */
MUST_CHECK enum err shipper_begin(struct shipper *shipper, struct task *task);
/* The child that copies has something to say. */
bool shipper_begin_is_copied(const struct shipper *shipper);
/* COPYING -> BASE: the copy is put. */
MUST_CHECK enum err shipper_begin_base(struct shipper *shipper, struct task *task);
/* The base, or a segment of one that follows, is stored: BASE, CATCHING_UP -> CATCHING_UP, READY or
 * MANIFEST. */
MUST_CHECK enum err shipper_begin_on(struct shipper *shipper, struct task *task);
/* -> MANIFEST: it is put, and no note leads to an older generation any more. */
MUST_CHECK enum err shipper_begin_manifest(struct shipper *shipper, struct task *task);

/* --- shipper_read.c --- */

/* The vault's log reader (vault_set_log_reader), for this one and what follows it. */
void shipper_hear(void *owner, int pages, bool may_wait);
/* Reads the commits that were heard of and left in the log; the generation ends if it cannot. */
void shipper_read_heard(struct shipper *shipper, int64_t now_ms);
/* What the log has when a generation begins: as one with the base, which may have some of it. */
MUST_CHECK enum err shipper_read_so_far(struct shipper *shipper, struct task *task);
/* The commits since the last answer, from the log that a dead process left. */
MUST_CHECK enum err shipper_read_left(struct shipper *shipper, struct task *task);
/* What opening the mailbox wrote itself. */
MUST_CHECK enum err shipper_read_opening(struct shipper *shipper, struct task *task);
bool shipper_has_log(const struct shipper *shipper);

#endif
