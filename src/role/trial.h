/*
 * One role's process without the service, for its tests and for programs that try it: whoever uses
 * this is its master and, over the channels that it would have, its peers.
 *
 *   role_trial_fork, role_trial_configure, role_trial_connect …, role_trial_start,
 *   role_trial_ask_stop, role_trial_wait
 *
 * What cannot be done (a process that is gone, or does not start) ends the program, and says why.
 */
#ifndef ROLE_TRIAL_H
#define ROLE_TRIAL_H

#include "role/role.h"
#include "wire/messages.h"

#include <sys/types.h>

struct role_trial {
    const struct role *role; /* static */
    pid_t pid;
    int master; /* own; our end, as its master */
};

/* A child that runs `role`, and dies with us. It has been told nothing yet. */
void role_trial_fork(struct role_trial *trial, const struct role *role);
/* Its configuration, and behind it the files that it gets (role_files): each a text. */
void role_trial_configure(const struct role_trial *trial, const struct str *texts, size_t count);
/* A process of the role `peer` is there; gives its end, in which waits are bounded. */
int role_trial_connect(const struct role_trial *trial, enum wire_role peer);
/* It has got all that it needs: waits until it is ready. */
void role_trial_start(const struct role_trial *trial);
/* It is to stop in an orderly manner. */
void role_trial_ask_stop(const struct role_trial *trial);
/* Waits for its end; the status is waitpid's. */
int role_trial_wait(struct role_trial *trial);

/* One message over a channel of it, waited for until it is on its way. */
void role_trial_send(int fd, enum wire_type type, uint64_t tag, const void *body, const int *fds,
                     size_t fd_count);
/* Who waits there for a lost answer gets an error, instead of hanging. */
void role_trial_bound_waits(int fd);

#endif
