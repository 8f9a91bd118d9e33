/* Both names of each call are defined here, so none may be turned into the other. */
#undef _FILE_OFFSET_BITS

#include "dropbox/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static struct {
    enum faults_kind kind;
    long at, seen;
    bool is_lasting;
    void (*hook)(void *owner);
    void *owner;
} faults;

void faults_set(enum faults_kind kind, long at, bool is_lasting)
{
    faults.kind = kind;
    faults.at = at;
    faults.seen = 0;
    faults.is_lasting = is_lasting;
}

void faults_set_hook(void (*hook)(void *owner), void *owner, long at)
{
    faults_set(FAULTS_HOOK, at, false);
    faults.hook = hook;
    faults.owner = owner;
}

void faults_clear(void)
{
    faults_set(FAULTS_NONE, 0, false);
}

long faults_seen(void)
{
    return faults.seen;
}

/* True when this call is to fail; errno is set. */
static bool strikes(bool is_sync)
{
    faults.seen++;
    if (faults.kind == FAULTS_NONE || faults.seen < faults.at ||
        (faults.seen > faults.at && !faults.is_lasting))
        return false;
    if (faults.kind == FAULTS_KILL)
        kill(getpid(), SIGKILL);
    if (faults.kind == FAULTS_HOOK) {
        faults.kind = FAULTS_NONE;
        faults.hook(faults.owner);
        return false;
    }
    errno = faults.kind == FAULTS_ENOSPC && !is_sync ? ENOSPC : EIO;
    return true;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return strikes(false) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
    return strikes(false) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, bytes, len, offset);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (fd > STDERR_FILENO && strikes(false))
        return -1;
    return (ssize_t)syscall(SYS_write, fd, bytes, len);
}

int fdatasync(int fd)
{
    return strikes(true) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return strikes(true) ? -1 : (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t len)
{
    return strikes(false) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    return strikes(false) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int rename(const char *from, const char *to)
{
    return strikes(false) ? -1 : (int)syscall(SYS_rename, from, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return strikes(false) ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int unlink(const char *path)
{
    return strikes(false) ? -1 : (int)syscall(SYS_unlink, path);
}
