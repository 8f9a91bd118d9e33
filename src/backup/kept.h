/*
 * What a restore replaced stays in the mailbox's folder for a while (setting restore_keep), as
 * <id>.before-<UTC>, and with it, where the file could not be closed in order, its log:
 *
 *   kept  = id ".before-" time ["-wal" / "-shm" / "-journal"]
 *   time  = 2026-11-22T050000.000Z
 *
 * All of it is ciphertext, under the key that the mailbox had then.
 */
#ifndef BACKUP_KEPT_H
#define BACKUP_KEPT_H

#include "base/id.h"
#include "base/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the task's arena. */
const char *kept_name(struct task *task, const struct id *mailbox, int64_t ms);
/* False: it is not one of this mailbox's. */
bool kept_parse(struct str name, const struct id *mailbox, int64_t *out_ms);
/*
 * Removes those of a mailbox's folder that are of `until_ms` or earlier; a folder that is not there
 * has none. ERR_IO: not all of them could be removed.
 */
MUST_CHECK enum err kept_remove(struct task *task, int dir_fd, const char *folder,
                                const struct id *mailbox, int64_t until_ms, size_t *out_removed);

#endif
