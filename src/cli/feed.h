/*
 * Mail that a command brings along: read in a process of its own, which has nothing but it, and
 * passed on in one form (transfer/stream.h) through a socket whose other end the service gets.
 */
#ifndef CLI_FEED_H
#define CLI_FEED_H

#include "base/task.h"
#include "cli/parse.h"
#include "role/sandbox.h"

#include <sys/types.h>

struct cli_feed {
    pid_t pid; /* 0: none was started */
};

struct cli_feed_source {
    const char *name; /* what the user wrote: another server (cli/remote.h), or a file */
    int fd;           /* that file, open; -1: it is a server */
    /* Files with a password in their first line; NULL: it is asked for, once it is needed. */
    const char *file_password_file, *server_password_file;
    const char *server_ca_file;  /* NULL: what the system trusts */
    const char *uidl;            /* of POP3 there (transfer/uidl.h); NULL: not told */
    const struct cli_line *line; /* its secret stays behind, as all other descriptors do */
};

/*
 * What the process that reads is confined to, once passwords are read and the connection stands: that
 * file or folder, whoever's it is, for reading; or of another server the certificates that it may lead
 * back to. No other connection, no program, nothing that is written. Paths are in the arena.
 */
void cli_feed_sandbox(struct task *task, const struct cli_feed_source *source,
                      struct sandbox_rules *out);

/* All of the source is borrowed for the call. `*out_fd` is for the service. */
MUST_CHECK enum err cli_feed_start(struct task *task, struct cli_feed *feed,
                                   const struct cli_feed_source *source, int *out_fd);
/* Waits for its end. ERR_INVALID: it could not read all of it; it said why on the standard error. */
MUST_CHECK enum err cli_feed_end(struct task *task, struct cli_feed *feed);

#endif
