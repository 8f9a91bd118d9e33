/* The part of the sandbox that is about objects: files, TCP ports, other processes. */
#ifndef ROLE_LANDLOCK_H
#define ROLE_LANDLOCK_H

#include "role/sandbox.h"

/* ERR_IO where the kernel has no Landlock. What an older one lacks is left to seccomp. */
MUST_CHECK enum err landlock_enter(struct task *task, const struct sandbox_rules *rules);

#endif
