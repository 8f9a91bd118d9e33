#include "role/landlock.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian 12's headers; the kernel's numbers. */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#define NET_BIND_TCP (UINT64_C(1) << 0)  /* ABI 4 */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

/* struct landlock_ruleset_attr as of ABI 6. */
struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

static const uint64_t on_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                 LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE | FS_IOCTL_DEV;
static const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t writing = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                                LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER |
                                FS_TRUNCATE;

/* Every right that this kernel knows is handled, which means denied unless a rule grants it. */
static struct ruleset everything(long abi)
{
    struct ruleset ruleset = {.handled_access_fs = (UINT64_C(1) << 13) - 1};

    if (abi >= 2)
        ruleset.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        ruleset.handled_access_fs |= FS_TRUNCATE;
    if (abi >= 5)
        ruleset.handled_access_fs |= FS_IOCTL_DEV;
    if (abi >= 4)
        ruleset.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (abi >= 6)
        ruleset.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
    return ruleset;
}

static size_t ruleset_size(long abi)
{
    if (abi >= 6)
        return sizeof(struct ruleset);
    return abi >= 4 ? offsetof(struct ruleset, scoped)
                    : offsetof(struct ruleset, handled_access_net);
}

static enum err allow_path(struct task *task, int ruleset_fd, const struct ruleset *ruleset,
                           const struct sandbox_path *path)
{
    CLEANUP(fd_close) int fd = open(path->path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.parent_fd = fd};
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0)
        return fail(task, ERR_IO, "sandbox: %s: %s", path->path, strerror(errno));
    rule.allowed_access = ruleset->handled_access_fs &
                          (path->access == SANDBOX_READ ? reading : writing);
    if (!S_ISDIR(status.st_mode))
        rule.allowed_access &= on_files;
    /* EBADFD: a file in no folder (memfd_create), over which Landlock has no power. */
    if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 &&
        errno != EBADFD)
        return fail(task, ERR_IO, "Landlock rule for %s: %s", path->path, strerror(errno));
    return ERR_OK;
}

enum err landlock_enter(struct task *task, const struct sandbox_rules *rules)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    CLEANUP(fd_close) int fd = -1;
    struct ruleset ruleset;

    if (abi < 1)
        return fail(task, ERR_IO, "this kernel has no Landlock (%s)", strerror(errno));
    ruleset = everything(abi);
    if (rules->may_bind)
        ruleset.handled_access_net &= ~NET_BIND_TCP;
    if (rules->may_connect)
        ruleset.handled_access_net &= ~NET_CONNECT_TCP;
    fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, ruleset_size(abi), 0);
    if (fd < 0)
        return fail(task, ERR_IO, "Landlock: %s", strerror(errno));
    for (size_t i = 0; i < rules->path_count; i++)
        TRY(allow_path(task, fd, &ruleset, &rules->paths[i]));
    if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        return fail(task, ERR_IO, "Landlock: %s", strerror(errno));
    return ERR_OK;
}
