/* The user that the service's processes become when root started them. */
#ifndef ROLE_IDENTITY_H
#define ROLE_IDENTITY_H

#include "base/str.h"
#include "base/task.h"

#include <stdbool.h>
#include <sys/types.h>

struct identity {
    bool is_set; /* false: the processes stay what they are */
    uid_t uid;
    gid_t gid;
};

/* Looks `user` up; not set when it is empty or this process is not root's. ERR_NOT_FOUND. */
MUST_CHECK enum err identity_find(struct task *task, struct str user, struct identity *out);
/* Becomes it for good: user, group, no further groups. Nothing when not set. */
MUST_CHECK enum err identity_become(struct task *task, const struct identity *identity);
/* Gives an open file or folder to it. */
MUST_CHECK enum err identity_give(struct task *task, const struct identity *identity,
                                  const char *path);

#endif
