/* A command line, checked against the table of commands. Touches nothing but its own memory. */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include "account/admin/command.h"
#include "base/buf.h"
#include "base/task.h"

#include <jansson.h>
#include <stdbool.h>

enum { CLI_SECRETS_MAX = 2 };

struct cli_line {
    const struct admin_command *command; /* NULL: only help was asked for */
    const char *noun;                    /* help for this group of commands; NULL: for all */
    json_t *arguments;                   /* own; for the service */
    json_t *paths; /* own; by the names of their options, what the command reads itself */
    bool wants_help, is_json, is_yes;
    const char *config;                  /* --config; NULL: not given */
    const char *outgoing_ca; /* the setting, once the configuration was read; NULL: not set */
    bool is_sandbox_optional; /* likewise: sandbox_required is not */
    struct cli_secret {
        const struct admin_argument *argument; /* an ADMIN_SECRET */
        const char *file;                      /* its option's value; NULL: to be asked for */
    } secrets[CLI_SECRETS_MAX]; /* that are required, or were given; the required one first */
    size_t secret_count;
    const char *file;                    /* the command's ADMIN_FILE */
    bool is_forced; /* --force: an output file that is there is replaced */
    struct cli_file {
        const struct admin_argument *argument;
        const char *name; /* or "-" */
    } files[ADMIN_DESCRIPTORS_MAX]; /* what stands for a descriptor, as in the command's row */
    size_t file_count;
};

/* ERR_INVALID: `words` says what is wrong and how it is written. Strings are borrowed from argv. */
MUST_CHECK enum err cli_parse(int argc, char *const *argv, struct buf *words,
                              struct cli_line *out_line);
/* The value of an ADMIN_PATH, ADMIN_HINT or ADMIN_KEY option; NULL: not given. */
const char *cli_line_path(const struct cli_line *line, const char *option);
void cli_line_done(struct cli_line *line);

#endif
