/*
 * Mail that a command brings along: read in a process of its own, which has nothing but it, and
 * passed on in one form (transfer/stream.h) through a socket whose other end the service gets.
 */
#ifndef CLI_FEED_H
#define CLI_FEED_H

#include "base/task.h"
#include "cli/parse.h"

#include <sys/types.h>

struct cli_feed {
    pid_t pid; /* 0: none was started */
};

/*
 * `name` is what the user wrote: another server (cli/remote.h), whose password is the first line of
 * the line's "server-password-file"; or what is open as `source_fd`, which is borrowed. The line's
 * secret, and all other descriptors, stay behind. `*out_fd` is for the service.
 */
MUST_CHECK enum err cli_feed_start(struct task *task, struct cli_feed *feed,
                                   const struct cli_line *line, const char *name, int source_fd,
                                   int *out_fd);
/* Waits for its end. ERR_INVALID: it could not read all of it; it said why on the standard error. */
MUST_CHECK enum err cli_feed_end(struct task *task, struct cli_feed *feed);

#endif
