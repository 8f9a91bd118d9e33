/*
 * What came from a destination becomes a file: written beside its place as NAME.part, compared with
 * the digest once more on the way, synced, and renamed where no file is. So a file of that name is
 * whole, and none that was there is touched; what a crash leaves is a .part, which the next time
 * writes anew.
 */
#ifndef BACKUP_SET_DOWN_H
#define BACKUP_SET_DOWN_H

#include "backup/ask.h"

/* The folder exists. ERR_EXISTS: there is such a file (a .part beside it is removed then);
 * ERR_CORRUPT: the bytes have another digest; ERR_LIMIT: no room; ERR_IO. */
MUST_CHECK enum err backup_set_down(struct task *task, const struct backup_got *got,
                                    const char *path);

#endif
