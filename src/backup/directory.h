/*
 * Backups in a directory: another disk, a network mount. An object is a file of its name, with its
 * digest in a file beside it: a line "sha256:" and 64 hexadecimal digits. A line of digits alone is the
 * BLAKE2b-256 of an older object.
 *
 * A put writes both below .incoming, syncs them, and then, in one step of the loop: renames the
 * digest, renames the object, syncs their folder. What a crash leaves:
 *
 *   before the renames  files in .incoming, which nobody lists; removed at a later start, or before a
 *                       later large object
 *   between them        a digest alone: not listed; or, where an object is replaced, the old one with
 *                       a digest file that has both digests: reads as before
 *   after them          the new object
 *
 * A removal takes the digest first: what a crash leaves of it is listed, and can be removed again. The
 * last removal in a folder takes along the digests that are alone there.
 *
 * Work is done in slices of a megabyte from the loop, so that calls take turns.
 */
#ifndef BACKUP_DIRECTORY_H
#define BACKUP_DIRECTORY_H

#include "backup/destination.h"
#include "net/loop.h"

/* `path` exists. Removes what was left in .incoming and has not changed for an hour. ERR_NOT_FOUND,
 * ERR_IO. */
MUST_CHECK enum err backup_directory_open(struct net_loop *loop, struct task *task,
                                          const char *path, struct backup_destination **out);

#endif
