/* `sealpost alias import`: sends a file in portions and tells how far it is. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "account/admin/command.h"
#include "base/task.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * Portions go through `call`; wrong lines are told on the standard error as they are found. The
 * answer has the totals; its status is not ok when a line was wrong.
 */
struct cli_import_portion {
    enum err (*call)(void *owner, struct task *task, json_t *arguments, json_t **out_answer);
    void *owner;
};
MUST_CHECK enum err cli_import(struct task *task, const char *file, bool is_quiet,
                               const struct cli_import_portion *portion, json_t **out_answer);

#endif
