/*
 * Lets old backups go: of one series (a mailbox's full/ or drop/, a host's in account/) what its
 * policy does not keep, and with a mailbox's full backups those generations of its log of which
 * every moment is older than the oldest one kept, and than policy's days.
 *
 * A backup goes manifest first, so that a half-removed one is none, and whoever reads one meanwhile
 * can tell (mailbox/job_restore.c): while the manifest is there, so is all that it had. The copy
 * goes last: by it the next one finds what an interruption left, a generation's segments too.
 */
#ifndef BACKUP_PRUNE_H
#define BACKUP_PRUNE_H

#include "backup/destination.h"
#include "backup/retention.h"
#include "base/log.h"

struct backup_prune;

struct backup_prune_events {
    /* Before it goes. False: it must not, for now; it and the rest stay for the next one. */
    bool (*on_removing)(void *owner, struct str name);
    void (*on_removed)(void *owner, struct str name);
    void (*on_done)(void *owner);
};

/* `newest` is the object that was just put and is good: nothing goes unless it is the series' newest
 * ("<mailbox>/full/<stamp>-<counter>.json", "<mailbox>/drop/<stamp>.drop.sqlite", …), but for those of
 * the future, and the destination lists it (of full/: the copy) with size_bytes. */
struct backup_prune *backup_prune_start(struct backup_destination *destination,
                                        const struct backup_policy *policy, struct str newest,
                                        uint64_t size_bytes, const struct log *log,
                                        const struct backup_prune_events *events, void *owner);
void backup_prune_cancel(struct backup_prune **prune);

#endif
