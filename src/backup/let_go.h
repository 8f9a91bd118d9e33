/*
 * What was let go at the host's destination, and owners' own (backup/mirror.h) may still have: kept
 * in a folder, a file for each mailbox with a name a line, until its owner's has none to let go any
 * more. The mirrors remember it themselves while this process lives; the files are for the next one.
 *
 * A name is written before the object goes at the host's; where that does not work, on a full disk,
 * the object stays until it does. What a crash leaves is told to the mirrors once more: to delete
 * what is gone is nothing, and what is still at the host's is copied again. Names are synced when a
 * series is through: a power cut may forget the last ones, whose objects then stay with their
 * owner. So do those that are too many for a file, of an owner's that fails all the time.
 */
#ifndef BACKUP_LET_GO_H
#define BACKUP_LET_GO_H

#include "backup/mirror.h"

struct let_go;

enum { LET_GO_LOOK_MS = 60 * 1000 };

/* The folder is made where it is missing. `mirrors` and the rest are borrowed for its life. */
MUST_CHECK enum err let_go_new(struct task *task, struct net_loop *loop, const struct log *log,
                               const char *folder, struct backup_mirrors *mirrors,
                               struct let_go **out);
void let_go_free(struct let_go **let_go);

/* This object goes next. False: it must not, for now: its name could not be kept. */
bool let_go_note(struct let_go *let_go, struct str name);
/* No other goes for now. */
void let_go_sync(struct let_go *let_go);
/* The mirrors know of all owners' destinations: they hear of what is to go there. */
void let_go_told(struct let_go *let_go);

#endif
