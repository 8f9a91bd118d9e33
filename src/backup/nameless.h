/*
 * A copy of a mailbox on its way: it has no name any more, so that it goes with those who have it
 * open. One of them is the archivist, who may have it for long; so that what nobody wants any more
 * takes no room, whoever made it can empty it. Whoever reads it then finds it too short, which no
 * destination takes.
 */
#ifndef BACKUP_NAMELESS_H
#define BACKUP_NAMELESS_H

#include "base/task.h"

/* Takes its name from it. `*out_fd` is for reading, and may be given away, `*out_own_fd` is not. */
MUST_CHECK enum err nameless_take(struct task *task, const char *path, int *out_fd,
                                  int *out_own_fd);
/* Nobody is to have it any more. -1: there is none. */
void nameless_empty(int own_fd);

#endif
