/* How far a job is, on the standard error: a bar that moves on a terminal, else a line now and then. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cli_progress {
    bool is_silent, is_terminal;
    bool has_bar;     /* the cursor stands behind one */
    char what[32];    /* of the last line */
    uint64_t percent; /* likewise */
};

/* is_silent: nothing is shown. */
void cli_progress_init(struct cli_progress *progress, bool is_silent);
/* {"what", "done", "total"}; `progress` is a struct cli_progress. */
void cli_progress_show(void *progress, const json_t *report);
/* Before anything else is written. */
void cli_progress_end(struct cli_progress *progress);

#endif
