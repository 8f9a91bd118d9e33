/* The connection to the running service. */
#ifndef CLI_SERVICE_H
#define CLI_SERVICE_H

#include "account/admin/command.h"
#include "base/task.h"

#include <jansson.h>

/*
 * Connects to the socket that the configuration names. ERR_NOT_FOUND: nothing answers there (words
 * say what to do); ERR_INVALID: the configuration is wrong; ERR_DENIED: the socket refuses us.
 */
struct cli_service_settings {
    const char *outgoing_ca; /* in the task's arena; NULL: not set */
    bool sandbox_required;
};
MUST_CHECK enum err cli_service_connect(struct task *task, const char *config_path, int *out_fd,
                                        struct cli_service_settings *out_settings);

/* What goes with a command, and how far it is; zeroed: nothing. */
struct cli_service_job {
    const int *fds;
    size_t fd_count;
    void (*on_progress)(void *owner, const json_t *progress); /* NULL: not wanted */
    void *owner;
};

/* Asks and waits, for each message at most a minute. ERR_IO: the connection broke. */
MUST_CHECK enum err cli_service_call(struct task *task, int fd, const struct admin_command *command,
                                     json_t *arguments, const struct cli_service_job *job,
                                     json_t **out_answer);

#endif
