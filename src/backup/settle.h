/*
 * Writing a mailbox's log back into its file from a process beside the one that has the mailbox open,
 * so that this one need not: while a long reader goes on, the log cannot be written back and grows,
 * and whoever commits next would wait for all of it.
 *
 * Only while the other process holds its own checkpoints, and nobody copies the file's bytes
 * (vault_hold_checkpoints). It is SQLite's passive checkpoint, synced as ever; a death on the way
 * leaves the log as it is. The pages go to the disk in pieces (base/writeback.h has the reason).
 */
#ifndef BACKUP_SETTLE_H
#define BACKUP_SETTLE_H

#include "base/task.h"
#include "secret/secret.h"

#include <stdbool.h>

/* `key`: MAILBOX_KEY_BYTES. What cannot be written back now is no error. `is_over` is asked every
 * megabyte or so; then, too, the log stays as it is. ERR_IO, ERR_LIMIT. */
MUST_CHECK enum err settle_log(struct task *task, const char *path, const struct secret *key,
                               bool (*is_over)(void *owner), void *owner);

#endif
