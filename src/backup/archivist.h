/*
 * What the archivist does with the messages that roles send it (wire/messages.h, BACKUP_…): checks who
 * may name what, waits its turn, tries again, answers, and lets old backups go.
 *
 * Who may name what: the store speaks for mailbox processes, of which it knows that each named its own;
 * the sealer puts below a mailbox's drop/; the keeper may do everything, and alone has the host's own
 * objects.
 *
 * Turns: small things (segments of a log, lists), large ones and reading have lanes of their own, so
 * that a log is not behind in time for a mailbox of gigabytes. What waits is bounded, for all and for
 * each mailbox; beyond that the answer is UNAVAILABLE at once. What may have to wait for an owner's own
 * destination (backup/mirror.h) has a lane of its own, too.
 *
 * Trying again: what fails with ERR_BUSY, after 1, 2, 4, 8 and 16 seconds; once that was in vain,
 * nothing is tried twice for half a minute, so that all who wait hear soon that the destination is
 * away.
 *
 * A removed mailbox: the keeper lists the objects of no other, to delete them. Its puts that wait
 * are dropped then, and nothing is copied to its owner's destination any more; while one is under
 * way, to either place, the answer is DEFERRED: it would come behind a list that had nothing. So it
 * is before the keeper has told of all owners' destinations, for one would not be looked at. Where
 * there is nothing, uploads that were begun are abandoned, so that they do not end any more; and the
 * answer is DEFERRED, too, while a server may have one that nobody waits for: late_ms from the start
 * on, for the process before this one may have left some, and from each that was given up on.
 */
#ifndef BACKUP_ARCHIVIST_H
#define BACKUP_ARCHIVIST_H

#include "backup/mirror.h"
#include "backup/retention.h"
#include "base/log.h"
#include "net/loop.h"
#include "wire/channel.h"

enum {
    ARCHIVIST_ORDERS_MAX = 1024,
    ARCHIVIST_ORDERS_PER_MAILBOX_MAX = 32,
    ARCHIVIST_SMALL_BYTES = 1024 * 1024,
    ARCHIVIST_LIST_MAX = 400, /* objects in one LIST_REPLY: what a frame holds */
};

struct archivist;

struct archivist *archivist_new(struct net_loop *loop, const struct log *log);
void archivist_free(struct archivist **archivist);
void archivist_set_policy(struct archivist *archivist, const struct backup_policy *policy);
/* Takes the destination over. NULL: there is none, and `words` (copied) are what askers are told;
 * `status` DISABLED where none is configured, UNAVAILABLE where it could not be had. Once. */
void archivist_set_destination(struct archivist *archivist, struct backup_destination *destination,
                               enum wire_status status, struct str words);

/* With a destination: owners may have their own, which `open` makes; `owner` is its. */
void archivist_allow_own(struct archivist *archivist, backup_own_open open, void *owner);
/* Behind it: what owners' own are to let go is remembered in this folder (backup/let_go.h). */
MUST_CHECK enum err archivist_remember(struct archivist *archivist, struct task *task,
                                       const char *folder);
/*
 * How long a server may take to end a put that was given up on; 0, as at the start: no longer. It has
 * no limit that S3 would promise; a request that is signed is refused by a server that begins with it
 * more than 15 minutes later, and to put an upload's parts together may take it minutes.
 */
enum { ARCHIVIST_LATE_MS = 20 * 60 * 1000 };
void archivist_set_late(struct archivist *archivist, int64_t late_ms);
/* A keeper came: it tells of all of them (BACKUP_OWN). */
void archivist_keeper_came(struct archivist *archivist);

void archivist_message(struct archivist *archivist, struct wire_channel *from,
                       struct wire_message *message);
/* Nobody there waits for answers any more; what was being put is put all the same. */
void archivist_asker_gone(struct archivist *archivist, struct wire_channel *asker);

#endif
