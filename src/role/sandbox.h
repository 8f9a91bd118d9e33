/*
 * Confinement of a process: no_new_privs, no capabilities, Landlock, seccomp, resource limits. What
 * is not named here is forbidden; a forbidden system call fails with EPERM and is logged by the
 * kernel, so that a test can see it, and network or exec attempts never succeed.
 */
#ifndef ROLE_SANDBOX_H
#define ROLE_SANDBOX_H

#include "base/log.h"
#include "base/task.h"

#include <stdbool.h>
#include <stddef.h>

enum { SANDBOX_PATHS_MAX = 8 };

enum sandbox_access {
    SANDBOX_READ,       /* files below it may be read */
    SANDBOX_READ_WRITE, /* and written, created, renamed and removed */
};

struct sandbox_path {
    const char *path; /* a folder or file that exists; borrowed for the call */
    enum sandbox_access access;
};

struct sandbox_rules {
    struct sandbox_path paths[SANDBOX_PATHS_MAX];
    size_t path_count;
    bool may_accept;  /* take connections from listening sockets that it was given */
    bool may_connect; /* make TCP connections of its own, and send datagrams (IPv4 and IPv6) */
    bool may_connect_local; /* connect to local sockets by their path */
    bool may_bind;    /* listen on new sockets (nobody after start) */
    bool may_fork;    /* nursery and master */
    bool may_fork_helper; /* children of the same kind, which die with it and share nothing */
    bool may_exec;    /* nobody after start */
    bool may_set_alarm; /* have itself ended when something takes too long */
    bool may_send_descriptors; /* make socket pairs, whose ends it hands out */
    bool keeps_capabilities;   /* master, when its children are to become another user */
    /* Read what its paths allow, whoever's it is, where root started it (CAP_DAC_READ_SEARCH). */
    bool may_read_others;
};

/* A folder with all below it, or a file. `path` is borrowed until the sandbox is entered. */
void sandbox_allow_path(struct sandbox_rules *rules, const char *path, enum sandbox_access access);

/*
 * Confines this process for good. Where the kernel lacks Landlock or seccomp: ERR_IO, unless the
 * configuration allows to go on without (then a warning).
 */
MUST_CHECK enum err sandbox_enter(struct task *task, const struct sandbox_rules *rules,
                                  bool is_required, const struct log *log);

#endif
