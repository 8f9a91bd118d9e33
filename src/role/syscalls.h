/* The part of the sandbox that is about system calls. */
#ifndef ROLE_SYSCALLS_H
#define ROLE_SYSCALLS_H

#include "role/sandbox.h"

/* ERR_IO where the kernel has no seccomp filters. */
MUST_CHECK enum err syscalls_enter(struct task *task, const struct sandbox_rules *rules);

#endif
