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

/*
 * A password that a person chose for a mailbox file of its own: the key that SQLite3 Multiple Ciphers
 * derives from it and a new salt (MAILBOX_KEY_BYTES), in a pipe that ends behind it. ERR_INVALID: it
 * is shorter than CLI_KEY_PASSWORD_MIN.
 */
enum { CLI_KEY_PASSWORD_MIN = 12 };
MUST_CHECK enum err cli_secret_key(struct task *task, const char *file, int *out_fd);

#endif
