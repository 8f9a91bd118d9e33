/* Passwords that the administrator brings: from a file, the standard input or the terminal. */
#ifndef CLI_SECRET_INPUT_H
#define CLI_SECRET_INPUT_H

#include "base/task.h"
#include "secret/secret.h"

/*
 * The first line of `file` ("-": the standard input); without a file, what is typed at the
 * terminal, unseen. ERR_INVALID: no terminal, or nothing in it.
 */
MUST_CHECK enum err cli_secret_input(struct task *task, const char *file, const char *prompt,
                                     struct secret **out_secret);

#endif
