/*
 * The files of a command that is done elsewhere: opened here, with the rights of who called, and
 * passed on. What is made is written as NAME.part and gets its name when it is whole and on the
 * disk; a failure leaves neither.
 */
#ifndef CLI_FILES_H
#define CLI_FILES_H

#include "base/task.h"
#include "cli/feed.h"
#include "cli/parse.h"

struct cli_files {
    int fds[ADMIN_DESCRIPTORS_MAX];           /* own */
    const char *parts[ADMIN_DESCRIPTORS_MAX]; /* in the task's arena; NULL: no file is made */
    size_t count;
    struct cli_feed feed; /* reads what one of them is about */
    bool has_taken_output; /* one of them is the standard output */
};

/* ERR_EXISTS: the output, or its NAME.part, is there, and not --force. */
MUST_CHECK enum err cli_files_open(struct task *task, const struct cli_line *line,
                                   struct cli_files *out_files);
/* It worked: outputs get their names. ERR_INVALID: not all of what was to be read came
 * (cli/feed.h). */
MUST_CHECK enum err cli_files_keep(struct task *task, const struct cli_line *line,
                                   struct cli_files *files);
/* Closes; what was not kept is removed. */
void cli_files_done(struct cli_files *files);

#endif
