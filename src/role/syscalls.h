/* The part of the sandbox that is about system calls. */
#ifndef ROLE_SYSCALLS_H
#define ROLE_SYSCALLS_H

#include "role/sandbox.h"

/* Built with AddressSanitizer, whose own code needs more calls. */
#if defined(__SANITIZE_ADDRESS__)
#define SYSCALLS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SYSCALLS_SANITIZED 1
#endif
#endif
#ifndef SYSCALLS_SANITIZED
#define SYSCALLS_SANITIZED 0
#endif

/* ERR_IO where the kernel has no seccomp filters. */
MUST_CHECK enum err syscalls_enter(struct task *task, const struct sandbox_rules *rules);

#endif
