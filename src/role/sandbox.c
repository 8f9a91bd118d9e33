/*
 * In this order: nothing gains privileges any more, capabilities go, core dumps go, Landlock, and
 * last the system call filter, which would forbid the steps before it.
 *
 * The filter is an allow-list: what everybody needs, then groups that the rules open. Landlock (any
 * file, TCP, signals and abstract sockets of others) and the filter overlap on purpose.
 */
#include "role/sandbox.h"

#include "base/file.h"
#include "role/landlock.h"
#include "role/syscalls.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * LeakSanitizer, where it is built in, asks this at the end of a process. It would trace the
 * process from outside, which is just what a sandbox forbids. Elsewhere nobody calls it.
 */
static int is_confined;
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return is_confined;
}

void sandbox_allow_path(struct sandbox_rules *rules, const char *path, enum sandbox_access access)
{
    assert(rules->path_count < SANDBOX_PATHS_MAX);
    rules->paths[rules->path_count++] = (struct sandbox_path){path, access};
}

/* Also what a later exec or a user namespace could give back. */
static enum err drop_capabilities(struct task *task, bool keeps_reading)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[_LINUX_CAPABILITY_U32S_3] = {{0}};
    struct __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3] = {{0}};
    int has;

    if (keeps_reading && syscall(SYS_capget, &header, all) == 0)
        kept[0].effective = kept[0].permitted =
            all[0].permitted & CAP_TO_MASK(CAP_DAC_READ_SEARCH);

    for (int capability = 0; (has = prctl(PR_CAPBSET_READ, capability, 0, 0, 0)) >= 0;
         capability++) {
        if (has == 1)
            (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); /* only root may, and need */
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, kept) != 0)
        return fail(task, ERR_IO, "capset: %s", strerror(errno));
    return ERR_OK;
}

static enum err drop_privileges(struct task *task, const struct sandbox_rules *rules)
{
    struct rlimit none = {0, 0};
    int death_signal = 0;

    /* Changing credentials resets it: the process is to die with its parent also afterwards. */
    (void)prctl(PR_GET_PDEATHSIG, &death_signal);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail(task, ERR_IO, "no_new_privs: %s", strerror(errno));
    if (!rules->keeps_capabilities)
        TRY(drop_capabilities(task, rules->may_read_others));
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail(task, ERR_IO, "core dumps: %s", strerror(errno));
    (void)prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0);
    return ERR_OK;
}

enum err sandbox_enter(struct task *task, const struct sandbox_rules *rules, bool is_required,
                       const struct log *log)
{
    enum err err;

    is_confined = 1;
    TRY(drop_privileges(task, rules));
    err = landlock_enter(task, rules);
    if (err == ERR_OK)
        err = syscalls_enter(task, rules);
    if (err == ERR_OK || is_required)
        return err;
    log_warning(log, "this process is not confined: %s", task->words);
    task_forgive(task);
    return ERR_OK;
}
