/*
 * System calls by what they are for. A group is opened by a flag of the rules; what stands in no
 * open group fails with EPERM and is logged by the kernel.
 */
#include "role/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Memory, time, the loop, descriptors that are open already, the end. */
static const int calls_of_everybody[] = {
    SCMP_SYS(read),          SCMP_SYS(write),         SCMP_SYS(readv),
    SCMP_SYS(writev),        SCMP_SYS(pread64),       SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),        SCMP_SYS(pwritev),       SCMP_SYS(preadv2),
    SCMP_SYS(pwritev2),      SCMP_SYS(close),         SCMP_SYS(close_range),
    SCMP_SYS(fstat),         SCMP_SYS(lseek),         SCMP_SYS(munmap),
    SCMP_SYS(mremap),        SCMP_SYS(madvise),       SCMP_SYS(brk),
    SCMP_SYS(mlock),         SCMP_SYS(mlock2),        SCMP_SYS(munlock),
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),     SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),   SCMP_SYS(epoll_pwait2),  SCMP_SYS(poll),
    SCMP_SYS(ppoll),         SCMP_SYS(futex),         SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres),  SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),     SCMP_SYS(gettimeofday),  SCMP_SYS(time),
    SCMP_SYS(getpid),        SCMP_SYS(getppid),       SCMP_SYS(gettid),
    SCMP_SYS(getuid),        SCMP_SYS(geteuid),       SCMP_SYS(getgid),
    SCMP_SYS(getegid),       SCMP_SYS(exit),          SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),   SCMP_SYS(restart_syscall), SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),       SCMP_SYS(sendto),        SCMP_SYS(recvfrom),
    SCMP_SYS(shutdown),      SCMP_SYS(getsockopt),    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),   SCMP_SYS(getpeername),   SCMP_SYS(fcntl),
    SCMP_SYS(dup),           SCMP_SYS(memfd_create),  SCMP_SYS(ftruncate),
    SCMP_SYS(fsync),         SCMP_SYS(fdatasync),     SCMP_SYS(sysinfo),
    SCMP_SYS(sched_yield),   SCMP_SYS(sched_getaffinity), SCMP_SYS(getrusage),
    SCMP_SYS(uname),         SCMP_SYS(eventfd2),      SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime), SCMP_SYS(pipe2),       SCMP_SYS(sendfile),
    SCMP_SYS(splice),        SCMP_SYS(tee),           SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),          SCMP_SYS(membarrier),    SCMP_SYS(memfd_secret),
};

/* Names in the file system; Landlock says which. */
static const int calls_for_files[] = {
    SCMP_SYS(open),       SCMP_SYS(openat),     SCMP_SYS(newfstatat), SCMP_SYS(stat),
    SCMP_SYS(lstat),      SCMP_SYS(statx),      SCMP_SYS(access),     SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(readlink),   SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),     SCMP_SYS(flock),      SCMP_SYS(fallocate),  SCMP_SYS(fadvise64),
    SCMP_SYS(unlink),     SCMP_SYS(unlinkat),   SCMP_SYS(rename),     SCMP_SYS(renameat),
    SCMP_SYS(renameat2),  SCMP_SYS(mkdir),      SCMP_SYS(mkdirat),    SCMP_SYS(rmdir),
    SCMP_SYS(fchmod),     SCMP_SYS(fchown),     SCMP_SYS(umask),      SCMP_SYS(utimensat),
    SCMP_SYS(statfs),     SCMP_SYS(fstatfs),    SCMP_SYS(sync_file_range),
    SCMP_SYS(copy_file_range),
};

static const int calls_for_accepting[] = {SCMP_SYS(accept4), SCMP_SYS(accept)};

/* socket() itself is allowed for the families that the rules open. */
static const int calls_for_connecting[] = {SCMP_SYS(connect)};

/* alarm(3) is one or the other. */
static const int calls_for_alarms[] = {SCMP_SYS(alarm), SCMP_SYS(setitimer)};

static const int calls_for_binding[] = {SCMP_SYS(socket), SCMP_SYS(bind), SCMP_SYS(listen)};

/* For a parent, and for a child on its way into a sandbox of its own. */
static const int calls_for_forking[] = {
    SCMP_SYS(clone),        SCMP_SYS(fork),        SCMP_SYS(vfork),
    SCMP_SYS(wait4),        SCMP_SYS(waitid),      SCMP_SYS(kill),
    SCMP_SYS(tgkill),       SCMP_SYS(prctl),       SCMP_SYS(seccomp),
    SCMP_SYS(capset),       SCMP_SYS(capget),      SCMP_SYS(prlimit64),
    SCMP_SYS(setrlimit),    SCMP_SYS(getrlimit),   SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),    SCMP_SYS(setgroups),   SCMP_SYS(dup2),
    SCMP_SYS(dup3),         SCMP_SYS(setsid),      SCMP_SYS(landlock_create_ruleset),
    SCMP_SYS(landlock_add_rule), SCMP_SYS(landlock_restrict_self),
    SCMP_SYS(fchownat),     SCMP_SYS(chown),       SCMP_SYS(lchown),
    SCMP_SYS(chmod),        SCMP_SYS(fchmodat),    SCMP_SYS(signalfd4),
};

/* What the sanitizers' own code does: their memory, and the places that a report names. */
static const int calls_for_sanitizers[] = {
    SCMP_SYS(open),     SCMP_SYS(openat),    SCMP_SYS(readlink),  SCMP_SYS(readlinkat),
    SCMP_SYS(stat),     SCMP_SYS(newfstatat), SCMP_SYS(access),   SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),   SCMP_SYS(mmap),      SCMP_SYS(mprotect),  SCMP_SYS(mincore),
    SCMP_SYS(prlimit64), SCMP_SYS(getrlimit), SCMP_SYS(tgkill),   SCMP_SYS(arch_prctl),
};

#define FORK_FLAGS (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int status = 0;

    for (size_t i = 0; i < count && status == 0; i++) {
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
        if (status == -EDOM || status == -EEXIST)
            status = 0; /* another architecture's, or named in two groups */
    }
    return status;
}

#define ALLOW(filter, calls) allow_all((filter), (calls), ARRAY_LEN(calls))

/* Calls whose arguments matter. */
static int allow_conditionally(scmp_filter_ctx filter, const struct sandbox_rules *rules)
{
    const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    const struct scmp_arg_cmp not_writable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE, 0);
    const struct scmp_arg_cmp local = SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0);
    const struct scmp_arg_cmp itself = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
    const struct scmp_arg_cmp only_asking = SCMP_A2(SCMP_CMP_EQ, 0, 0);
    int status = 0;

    /* Memory that was written is never executed; a converter of iconv may still be loaded. */
    status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_executable);
    status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_writable);
    status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_executable);
    /* Is this a terminal, how much is there to read, do not block: nothing else. */
    status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_EQ, TCGETS, 0));
    status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0));
    status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_EQ, FIONBIO, 0));
    /* fstat() is made of it in today's C library. */
    status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                               SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    if (rules->may_connect) {
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                   SCMP_A0(SCMP_CMP_EQ, AF_INET, 0));
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                   SCMP_A0(SCMP_CMP_EQ, AF_INET6, 0));
    }
    if (rules->may_connect_local)
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, local);
    if (rules->may_fork_helper) {
        /* fork() as the C library does it, and no thread or namespace; what the child says of its
         * parent's death; how far it steps back behind others; the parent's look at how it ended. */
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                   SCMP_A0(SCMP_CMP_EQ, FORK_FLAGS, 0));
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2,
                                   SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG, 0),
                                   SCMP_A1(SCMP_CMP_EQ, SIGKILL, 0));
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setpriority), 3,
                                   SCMP_A0(SCMP_CMP_EQ, PRIO_PROCESS, 0),
                                   SCMP_A1(SCMP_CMP_EQ, 0, 0), SCMP_A2(SCMP_CMP_LT, PRIO_MAX, 0));
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(wait4), 0);
    }
    if (rules->may_send_descriptors)
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, local);
    if (!rules->may_fork) {
        /* abort() */
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, itself);
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, only_asking);
    }
    /* With ENOSYS the C library uses what it had before them. */
    status |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return status;
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox_rules *rules)
{
    int status = ALLOW(filter, calls_of_everybody);

    if (IS_SANITIZED)
        status |= ALLOW(filter, calls_for_sanitizers);
    if (rules->path_count > 0)
        status |= ALLOW(filter, calls_for_files);
    if (rules->may_accept)
        status |= ALLOW(filter, calls_for_accepting);
    if (rules->may_connect || rules->may_connect_local)
        status |= ALLOW(filter, calls_for_connecting);
    if (rules->may_set_alarm)
        status |= ALLOW(filter, calls_for_alarms);
    if (rules->may_bind)
        status |= ALLOW(filter, calls_for_binding);
    if (rules->may_fork)
        status |= ALLOW(filter, calls_for_forking);
    if (rules->may_exec)
        status |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(execve), 0);
    return status | allow_conditionally(filter, rules);
}

enum err syscalls_enter(struct task *task, const struct sandbox_rules *rules)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int status;

    if (filter == NULL)
        return fail(task, ERR_IO, "seccomp: no filter could be made");
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    status = add_rules(filter, rules);
    if (status == 0)
        status = seccomp_load(filter);
    seccomp_release(filter);
    return status == 0 ? ERR_OK : fail(task, ERR_IO, "seccomp: %s", strerror(-status));
}
