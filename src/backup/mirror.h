/*
 * Owners' own destinations (`sealpost backup destination`): what is put into a mailbox's part of
 * the host's destination is copied to its owner's, too, and what is let go there goes here. The
 * host's comes first and never waits for an owner's, nor hears of what is wrong with it.
 *
 *   RESTING <── nothing is left ── WORKING: comparing, then copying in the order of arrival
 *      └────── put, set ──────────────^  │ something failed
 *                                        v
 *                                     WAITING 1, 2, 4 … 900 s, then comparing
 *
 * Comparing lists both, a page at a time, and copies what is missing from the host's, manifests
 * behind what they are about. So what a process that ended had not copied, what came while a bucket
 * was away, and what was there before it was set, comes there as well. Nothing is deleted by
 * comparing: a host whose disk was lost empties no owner's bucket.
 *
 * A few work at once, a step each in turn (an object, a page of a list), so that no owner's
 * destination is in the way of others': one whose step takes too long is slow until nothing is left
 * to do, and slow ones share places of their own, which each gives up after a time if others wait
 * for one (mirror_turn.c has the picture). What waits in memory is bounded.
 */
#ifndef BACKUP_MIRROR_H
#define BACKUP_MIRROR_H

#include "backup/destination.h"
#include "base/log.h"
#include "net/loop.h"

#include <jansson.h>

struct backup_mirrors;

/* All borrowed. */
struct backup_own {
    struct id mailbox;
    struct str place; /* S3, as backup/place.h has it; empty: none */
    struct str region, key_id, secret;
};

/* Makes a destination of it. ERR_INVALID, ERR_IO. */
typedef enum err (*backup_own_open)(void *owner, struct task *task, const struct backup_own *own,
                                    struct backup_destination **out);

/* All borrowed. */
struct backup_mirrors *backup_mirrors_new(struct net_loop *loop, const struct log *log,
                                          struct backup_destination *host, backup_own_open open,
                                          void *owner);
void backup_mirrors_free(struct backup_mirrors **mirrors);

/* How many work at once of those that answer in time, and as many of slow ones. */
enum { MIRROR_PLACES = 4, MIRROR_QUICK_MS = 10 * 1000, MIRROR_SLOW_MS = 15 * 60 * 1000 };

/* For tests; else as above. */
struct backup_mirrors_limits {
    int64_t quick_ms; /* of a step; what takes longer is slow */
    int64_t slow_ms;  /* of a slow one's place, while others wait for one */
};
void backup_mirrors_set_limits(struct backup_mirrors *mirrors,
                               const struct backup_mirrors_limits *limits);

/* A mailbox has this one from now on; without a place: none. */
void backup_mirrors_set(struct backup_mirrors *mirrors, const struct backup_own *own);
/* Whoever knows of them all begins to tell (backup_mirrors_set); all_told: those that he did not
 * name are none any more. */
void backup_mirrors_tell(struct backup_mirrors *mirrors);
void backup_mirrors_all_told(struct backup_mirrors *mirrors);

/* This came to the host's; nothing happens if the mailbox has no other. Its bytes wait for their
 * turn while they are no more than these, for one mailbox and for all; what is beyond is read from
 * the host's again, when comparing finds that it is missing. What is on its way is not counted: an
 * object for each place, however large. */
enum {
    MIRROR_WAITING_OF_ONE_BYTES = 16 * 1024 * 1024,
    MIRROR_WAITING_BYTES = 128 * 1024 * 1024,
};
void backup_mirrors_put(struct backup_mirrors *mirrors, const struct backup_put *put);
/* This was let go there. While the owner's cannot be reached, so many names are remembered. */
enum { MIRROR_REMOVALS_MAX = 4096 };
void backup_mirrors_removed(struct backup_mirrors *mirrors, struct str name);

/*
 * May another name follow? False: the owner's is at work, and has as many to let go as are
 * remembered. The host waits so long with the next; for one that fails it does not.
 */
bool backup_mirrors_has_room(const struct backup_mirrors *mirrors, struct str name);
bool backup_mirrors_is_failing(const struct backup_mirrors *mirrors, struct str name);
/* Has the owner's something to let go still? */
bool backup_mirrors_is_removing(const struct backup_mirrors *mirrors, struct str name);

/* All of this mailbox's goes, here and there: nothing is copied any more, only let go. True: an
 * object is on its way to the owner's still. */
bool backup_mirrors_end_copying(struct backup_mirrors *mirrors, struct str name);

/* As backup_lost_put_ms has it, of the owner's. */
int64_t backup_mirrors_lost_put_ms(const struct backup_mirrors *mirrors, struct str name);

/* Does the object's mailbox have one? */
bool backup_mirrors_has(const struct backup_mirrors *mirrors, struct str name);

/*
 * The owner's destination, for whoever asks of it directly; it stays until it is given back, after
 * its last call. NULL: the mailbox has none, or, unless is_urgent, it does not work at present.
 * Give it back before backup_mirrors_free.
 */
struct backup_own_use {
    struct backup_destination *destination;
};
struct backup_own_use *backup_mirrors_use(struct backup_mirrors *mirrors, struct str name,
                                          bool is_urgent);
void backup_mirrors_give_back(struct backup_mirrors *mirrors, struct backup_own_use **use);
/* It did not answer whoever could not wait: until it takes something, or for MIRROR_SILENT_MS, it
 * does not work as far as use is concerned. */
enum { MIRROR_SILENT_MS = 60 * 1000 };
void backup_mirrors_was_silent(struct backup_mirrors *mirrors, struct str name);
/* For deleting all of a removed mailbox: this error came from its owner's destination. True: there
 * is no point in waiting for it; it is not a matter of time, or it has been away for a day. */
bool backup_mirrors_is_lost(struct backup_mirrors *mirrors, struct str name, enum err err);

/* Adds "state" (up to date, copying, failing), "copied", "last_copied", and of a failing one
 * "since" and "reason". */
void backup_mirrors_describe(const struct backup_mirrors *mirrors, const struct id *mailbox,
                             json_t *object);
/* How many there are, how many fail, and why the last one did ("" …). */
struct backup_mirrors_count {
    size_t all, failing;
    const char *words; /* borrowed */
};
void backup_mirrors_count(const struct backup_mirrors *mirrors, struct backup_mirrors_count *out);

/*
 * Tries one before it is set: puts a small object and deletes it again. Answers later, once, at the
 * latest after MIRROR_TRIAL_MS.
 */
enum { MIRROR_TRIAL_MS = 20 * 1000 };
struct backup_trial;
struct backup_trial *
backup_mirrors_try(struct backup_mirrors *mirrors, const struct backup_own *own,
                   void (*on_done)(void *owner, enum err err, const char *words), void *owner);
void backup_trial_cancel(struct backup_trial **trial);

#endif
