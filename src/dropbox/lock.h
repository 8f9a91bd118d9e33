/*
 * One user of a drop folder at a time: its sealer, while it has the drop file open, or its owner's
 * process, while it takes the mail over and renews the lane. The store routes so that they do not
 * meet; the lock holds when a store died in between and another one does not know.
 *
 * It is an flock(2) on the folder itself, which is there before the drop file and after it.
 */
#ifndef DROPBOX_LOCK_H
#define DROPBOX_LOCK_H

#include "base/task.h"

/*
 * Waits at most `wait_ms` (0: not at all). Closing *out_fd releases the lock, and so does the end
 * of the process. ERR_BUSY another has it; ERR_NOT_FOUND no such folder; ERR_IO.
 */
MUST_CHECK enum err dropbox_lock_take(struct task *task, const char *drop_folder, int64_t wait_ms,
                                      int *out_fd);

#endif
