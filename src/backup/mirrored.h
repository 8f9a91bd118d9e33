/*
 * The host's destination together with the owners' own (backup/mirror.h), as one: what is read is
 * looked for in both.
 *
 *   get      the host's; if that has it not, or not as it was put, the owner's
 *   list     both, each name once. An owner's that does not work at present, or does not answer in
 *            own_patience_ms, is left out where the host's was listed
 *   delete   in both. The owner's fails alone: ERR_IO, for the host's is done then
 *   abandon  in both, as delete
 *   put      into the host's; copying is backup_mirrors_put's
 *
 * With needs_own, for deleting all of a removed mailbox, nothing is left out: an owner's that
 * cannot be listed fails the list (ERR_IO), unless it is lost (backup_mirrors_is_lost).
 *
 * However an owner's hangs, what is asked of it ends: deleting and abandoning in own_patience_ms,
 * too, and a list of its alone in BACKUP_OWN_ALONE_MS. A get takes as long as bytes come.
 */
#ifndef BACKUP_MIRRORED_H
#define BACKUP_MIRRORED_H

#include "backup/mirror.h"

enum { BACKUP_OWN_PATIENCE_MS = 10 * 1000, BACKUP_OWN_ALONE_MS = 60 * 1000 };

/* All borrowed; they outlive it. */
struct backup_destination *backup_mirrored_new(struct net_loop *loop,
                                               struct backup_destination *host,
                                               struct backup_mirrors *mirrors,
                                               const struct log *log, int64_t own_patience_ms,
                                               bool needs_own);

#endif
