/*
 * A child of this process, for one piece of work beside it, on a second processor: like its parent
 * in all, which it dies with. Secrets are inherited only where secret_set_inherited says so.
 */
#ifndef BASE_HELPER_H
#define BASE_HELPER_H

#include "base/task.h"

#include <sys/types.h>

struct helper {
    pid_t pid;   /* 0: none */
    int channel; /* own; what is written at one end is read at the other, in both directions */
};

/* `work` is called in the child, with the other end; when it returns the child ends. ERR_IO: no
 * process. */
MUST_CHECK enum err helper_start(struct task *task, void (*work)(void *owner, int channel),
                                 void *owner, struct helper *out);
/* It reads the end of the channel, and ends when it likes; waits for that. NULL work is fine: none
 * there. */
void helper_end(struct helper *helper);

#endif
