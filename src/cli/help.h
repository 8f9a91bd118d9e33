/* Help texts, made from the table of commands. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "account/admin/command.h"
#include "base/buf.h"

/* "Usage: sealpost alias add ADDRESS [--to ADDRESS] …" */
void cli_help_usage(struct buf *out, const struct admin_command *command);
/* Everything about one command. */
void cli_help_command(struct buf *out, const struct admin_command *command);
/* The commands that begin with `noun`; all, with the global options and exit codes, when NULL. */
void cli_help_overview(struct buf *out, const char *noun);

#endif
