/*
 * The functions put in front of the C library's. Each one: is it about our folder? is the power
 * off? must it fail? else the real call, and what it changed into the journal. A change is recorded
 * after it was made and before the caller hears of it.
 */
#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The next definition of this function, found once. The type of `name` is the header's. */
#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (real == NULL)                                                                              \
    *(void **)(&real) = find_real(#name)

static void *find_real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (found == NULL) {
        fprintf(stderr, "interpose: no %s\n", name);
        abort();
    }
    return found;
}

/* glibc's checked variants, which fortified programs call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir_fd, const char *path, int flags);
int __openat64_2(int dir_fd, const char *path, int flags);

/* ---- opening and closing ---- */

static int real_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    REAL(openat);
    return real(dir_fd, path, flags, mode);
}

static void note_opened(int fd, const char *full, int flags, bool existed)
{
    int access_mode = flags & O_ACCMODE;
    struct stat status;

    /* With O_EXCL it never gets a name, and is gone with the power. */
    if ((flags & O_TMPFILE) == O_TMPFILE && (flags & O_EXCL) != 0) {
        track_remove(fd);
        return;
    }
    if (fstat(fd, &status) != 0)
        return;
    track_add(fd, full, status.st_ino, S_ISDIR(status.st_mode));
    if ((flags & O_TMPFILE) == O_TMPFILE)
        journal_add(RECORD_UNSEEN, 0, 0, full, NULL, 0);
    else if ((flags & O_CREAT) != 0 && !existed)
        journal_add(RECORD_CREATE, status.st_ino, 0, full, NULL, 0);
    else if (access_mode == O_WRONLY || access_mode == O_RDWR)
        journal_add(RECORD_OPEN, status.st_ino, 0, full, NULL, 0);
    if ((flags & O_TRUNC) != 0 && existed)
        journal_add(RECORD_TRUNCATE, status.st_ino, 0, full, NULL, 0);
}

static int open_any(int dir_fd, const char *path, int flags, mode_t mode)
{
    char full[4096];
    struct stat status;
    bool existed;
    int fd, error;

    if (!track_path(dir_fd, path, full)) {
        fd = real_openat(dir_fd, path, flags, mode);
        track_remove(fd);
        return fd;
    }
    control_wait_if_cut();
    if (control_fails(CALL_OPEN, &error)) {
        errno = error;
        return -1;
    }
    existed = stat(full, &status) == 0;
    fd = real_openat(dir_fd, path, flags, mode);
    if (fd >= 0) {
        int kept = errno;

        note_opened(fd, full, flags, existed);
        errno = kept;
    }
    return fd;
}

static mode_t mode_of(int flags, va_list list)
{
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE)
        return (mode_t)va_arg(list, unsigned);
    return 0;
}

#define WITH_MODE(call)                                                                            \
    va_list list;                                                                                  \
    mode_t mode;                                                                                   \
    va_start(list, flags);                                                                         \
    mode = mode_of(flags, list);                                                                   \
    va_end(list);                                                                                  \
    return call

int open(const char *path, int flags, ...)
{
    WITH_MODE(open_any(AT_FDCWD, path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
    WITH_MODE(open_any(AT_FDCWD, path, flags, mode));
}

int openat(int dir_fd, const char *path, int flags, ...)
{
    WITH_MODE(open_any(dir_fd, path, flags, mode));
}

int openat64(int dir_fd, const char *path, int flags, ...)
{
    WITH_MODE(open_any(dir_fd, path, flags, mode));
}

int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir_fd, const char *path, int flags)
{
    return open_any(dir_fd, path, flags, 0);
}

int __openat64_2(int dir_fd, const char *path, int flags)
{
    return open_any(dir_fd, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    REAL(close);
    track_remove(fd);
    return real(fd);
}

/* What a child does not need: a number that is used again is another file. */
int close_range(unsigned first, unsigned last, int flags)
{
    REAL(close_range);
    int result = real(first, last, flags);

    if (result == 0 && flags == 0)
        track_remove_range(first, last);
    return result;
}

/* ---- descriptors that are not files of ours ---- */

static bool no_descriptor(void)
{
    int error;

    if (!control_fails(CALL_DESCRIPTOR, &error))
        return false;
    errno = error;
    return true;
}

int dup(int fd)
{
    REAL(dup);
    int copy;

    if (no_descriptor())
        return -1;
    copy = real(fd);
    track_copy(fd, copy);
    return copy;
}

int dup2(int fd, int new_fd)
{
    REAL(dup2);
    int copy = real(fd, new_fd);

    track_copy(fd, copy);
    return copy;
}

int dup3(int fd, int new_fd, int flags)
{
    REAL(dup3);
    int copy = real(fd, new_fd, flags);

    track_copy(fd, copy);
    return copy;
}

static int fcntl_any(int fd, int command, void *argument)
{
    REAL(fcntl);
    int result;

    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && no_descriptor())
        return -1;
    result = real(fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        track_copy(fd, result);
    return result;
}

int fcntl(int fd, int command, ...)
{
    va_list list;
    void *argument;

    va_start(list, command);
    argument = va_arg(list, void *);
    va_end(list);
    return fcntl_any(fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list list;
    void *argument;

    va_start(list, command);
    argument = va_arg(list, void *);
    va_end(list);
    return fcntl_any(fd, command, argument);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict size, int flags)
{
    REAL(accept4);
    return no_descriptor() ? -1 : real(fd, address, size, flags);
}

int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict size)
{
    REAL(accept);
    return no_descriptor() ? -1 : real(fd, address, size);
}

int memfd_create(const char *name, unsigned flags)
{
    REAL(memfd_create);
    return no_descriptor() ? -1 : real(name, flags);
}

int socketpair(int domain, int type, int protocol, int pair[2])
{
    REAL(socketpair);
    return no_descriptor() ? -1 : real(domain, type, protocol, pair);
}

/* ---- writing ---- */

static ssize_t pwrite_real(int fd, const void *bytes, size_t size, off_t offset)
{
    REAL(pwrite64);
    return real(fd, bytes, size, offset);
}

static ssize_t write_real(int fd, const void *bytes, size_t size)
{
    REAL(write);
    return real(fd, bytes, size);
}

/* 0 and *size made shorter, or -1 with errno. */
static int write_fault(size_t *size)
{
    int error;

    control_wait_if_cut();
    if (!control_fails(CALL_WRITE, &error))
        return 0;
    if (error != 0) {
        errno = error;
        return -1;
    }
    if (*size > 1)
        *size /= 2;
    return 0;
}

static ssize_t pwrite_any(int fd, const void *bytes, size_t size, off_t offset)
{
    const struct tracked *file = track_find(fd);
    ssize_t done;

    if (file == NULL)
        return pwrite_real(fd, bytes, size, offset);
    if (write_fault(&size) != 0)
        return -1;
    done = pwrite_real(fd, bytes, size, offset);
    if (done > 0)
        journal_add(RECORD_WRITE, file->inode, (uint64_t)offset, NULL, bytes, (size_t)done);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    const struct tracked *file = track_find(fd);
    ssize_t done;

    if (file == NULL)
        return write_real(fd, bytes, size);
    if (write_fault(&size) != 0)
        return -1;
    done = write_real(fd, bytes, size);
    if (done > 0 && journal_is_on()) {
        off_t end = lseek(fd, 0, SEEK_CUR);

        journal_add(RECORD_WRITE, file->inode, (uint64_t)(end - done), NULL, bytes, (size_t)done);
    }
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite_any(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    return pwrite_any(fd, bytes, size, offset);
}

/* One piece after the other: to a file that is the same. */
ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    REAL(writev);
    ssize_t total = 0;

    if (track_find(fd) == NULL)
        return real(fd, pieces, count);
    for (int i = 0; i < count; i++) {
        ssize_t done = write(fd, pieces[i].iov_base, pieces[i].iov_len);

        if (done < 0)
            return total > 0 ? total : -1;
        total += done;
        if ((size_t)done < pieces[i].iov_len)
            break;
    }
    return total;
}

static ssize_t pwritev_any(int fd, const struct iovec *pieces, int count, off_t offset)
{
    ssize_t total = 0;

    for (int i = 0; i < count; i++) {
        ssize_t done = pwrite_any(fd, pieces[i].iov_base, pieces[i].iov_len, offset + total);

        if (done < 0)
            return total > 0 ? total : -1;
        total += done;
        if ((size_t)done < pieces[i].iov_len)
            break;
    }
    return total;
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    REAL(pwritev);
    if (track_find(fd) == NULL)
        return real(fd, pieces, count, offset);
    return pwritev_any(fd, pieces, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
    REAL(pwritev64);
    if (track_find(fd) == NULL)
        return real(fd, pieces, count, offset);
    return pwritev_any(fd, pieces, count, offset);
}

/* ---- syncing ---- */

static int sync_any(int fd, int (*real)(int))
{
    const struct tracked *file = track_find(fd);
    uint64_t position;
    int error, result;

    if (file == NULL)
        return real(fd);
    control_wait_if_cut();
    if (control_fails(CALL_SYNC, &error)) {
        errno = error == 0 ? EIO : error;
        return -1;
    }
    position = journal_position();
    /* With a journal the disk is simulated: waiting for the real one would only take time. */
    result = journal_is_on() ? 0 : real(fd);
    if (result == 0)
        journal_add(file->is_folder ? RECORD_SYNC_FOLDER : RECORD_SYNC, file->inode, position,
                    file->is_folder ? file->path : NULL, NULL, 0);
    return result;
}

int fsync(int fd)
{
    REAL(fsync);
    return sync_any(fd, real);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return sync_any(fd, real);
}

/* ---- sizes ---- */

static bool size_fault(int *out_error)
{
    control_wait_if_cut();
    return control_fails(CALL_TRUNCATE, out_error);
}

static int ftruncate_any(int fd, off_t size)
{
    REAL(ftruncate64);
    const struct tracked *file = track_find(fd);
    int error, result;

    if (file == NULL)
        return real(fd, size);
    if (size_fault(&error)) {
        errno = error == 0 ? EIO : error;
        return -1;
    }
    result = real(fd, size);
    if (result == 0)
        journal_add(RECORD_TRUNCATE, file->inode, (uint64_t)size, NULL, NULL, 0);
    return result;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate_any(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate_any(fd, size);
}

static int fallocate_any(int fd, int mode, off_t offset, off_t size)
{
    REAL(fallocate64);
    const struct tracked *file = track_find(fd);
    int error, result;

    if (file == NULL)
        return real(fd, mode, offset, size);
    if (size_fault(&error)) {
        errno = error == 0 ? EIO : error;
        return -1;
    }
    result = real(fd, mode, offset, size);
    if (result != 0)
        return result;
    if (mode == 0)
        journal_add(RECORD_EXTEND, file->inode, (uint64_t)(offset + size), NULL, NULL, 0);
    else
        journal_add(RECORD_UNSEEN, 0, 0, file->path, NULL, 0);
    return 0;
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fallocate_any(fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return fallocate_any(fd, mode, offset, size);
}

/* Gives the error back instead of setting errno. */
int posix_fallocate(int fd, off_t offset, off_t size)
{
    return fallocate_any(fd, 0, offset, size) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    return fallocate_any(fd, 0, offset, size) == 0 ? 0 : errno;
}

/* ---- names ---- */

static bool name_fault(void)
{
    int error;

    control_wait_if_cut();
    if (!control_fails(CALL_NAME, &error))
        return false;
    errno = error == 0 ? EIO : error;
    return true;
}

static int rename_any(int old_fd, const char *old_path, int new_fd, const char *new_path,
                      unsigned flags)
{
    REAL(renameat2);
    char old_full[4096], new_full[4096];
    bool is_old = track_path(old_fd, old_path, old_full);
    bool is_new = track_path(new_fd, new_path, new_full);
    int result;

    if ((is_old || is_new) && name_fault())
        return -1;
    result = real(old_fd, old_path, new_fd, new_path, flags);
    if (result != 0)
        return result;
    if (is_old && is_new && (flags & (unsigned)~RENAME_NOREPLACE) == 0)
        journal_add(RECORD_RENAME, 0, 0, old_full, new_full, strlen(new_full));
    else if (is_old && is_new && flags == RENAME_EXCHANGE)
        journal_add(RECORD_EXCHANGE, 0, 0, old_full, new_full, strlen(new_full));
    else if (is_old || is_new)
        journal_add(RECORD_UNSEEN, 0, 0, is_old ? old_full : new_full, NULL, 0);
    return 0;
}

int rename(const char *old_path, const char *new_path)
{
    return rename_any(AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
}

int renameat(int old_fd, const char *old_path, int new_fd, const char *new_path)
{
    return rename_any(old_fd, old_path, new_fd, new_path, 0);
}

int renameat2(int old_fd, const char *old_path, int new_fd, const char *new_path, unsigned flags)
{
    return rename_any(old_fd, old_path, new_fd, new_path, flags);
}

static int unlink_any(int dir_fd, const char *path, int flags)
{
    REAL(unlinkat);
    char full[4096];
    int result;

    if (!track_path(dir_fd, path, full))
        return real(dir_fd, path, flags);
    if (name_fault())
        return -1;
    result = real(dir_fd, path, flags);
    if (result == 0)
        journal_add((flags & AT_REMOVEDIR) != 0 ? RECORD_RMDIR : RECORD_UNLINK, 0, 0, full, NULL,
                    0);
    return result;
}

int unlink(const char *path)
{
    return unlink_any(AT_FDCWD, path, 0);
}

int unlinkat(int dir_fd, const char *path, int flags)
{
    return unlink_any(dir_fd, path, flags);
}

int rmdir(const char *path)
{
    return unlink_any(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    if (unlink_any(AT_FDCWD, path, 0) == 0)
        return 0;
    return errno == EISDIR || errno == EPERM ? unlink_any(AT_FDCWD, path, AT_REMOVEDIR) : -1;
}

static int mkdir_any(int dir_fd, const char *path, mode_t mode)
{
    REAL(mkdirat);
    char full[4096];
    int result;

    if (!track_path(dir_fd, path, full))
        return real(dir_fd, path, mode);
    if (name_fault())
        return -1;
    result = real(dir_fd, path, mode);
    if (result == 0)
        journal_add(RECORD_MKDIR, 0, 0, full, NULL, 0);
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdir_any(AT_FDCWD, path, mode);
}

int mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return mkdir_any(dir_fd, path, mode);
}

static int link_any(int old_fd, const char *old_path, int new_fd, const char *new_path, int flags)
{
    REAL(linkat);
    char old_full[4096], new_full[4096];
    bool is_old = track_path(old_fd, old_path, old_full);
    bool is_new = track_path(new_fd, new_path, new_full);
    int result;

    if ((is_old || is_new) && name_fault())
        return -1;
    result = real(old_fd, old_path, new_fd, new_path, flags);
    if (result != 0)
        return result;
    if (is_old && is_new)
        journal_add(RECORD_LINK, 0, 0, old_full, new_full, strlen(new_full));
    else if (is_old || is_new)
        journal_add(RECORD_UNSEEN, 0, 0, is_old ? old_full : new_full, NULL, 0);
    return 0;
}

int link(const char *old_path, const char *new_path)
{
    return link_any(AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
}

int linkat(int old_fd, const char *old_path, int new_fd, const char *new_path, int flags)
{
    return link_any(old_fd, old_path, new_fd, new_path, flags);
}

/* ---- what the journal cannot follow is at least reported ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void *mmap_any(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap64);
    const struct tracked *file = fd < 0 ? NULL : track_find(fd);

    /* SQLite's shared index of the log is rebuilt after a crash: its loss is part of the plan. */
    if (file != NULL && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0 &&
        !ends_with(file->path, "-shm"))
        journal_add(RECORD_UNSEEN, 0, 0, file->path, NULL, 0);
    return real(address, size, protection, flags, fd, offset);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mmap_any(address, size, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset)
{
    return mmap_any(address, size, protection, flags, fd, offset);
}

/* ---- the clock ---- */

static int64_t jump(void)
{
    return control() == NULL ? 0 : atomic_load(&control()->clock_offset);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    REAL(clock_gettime);
    int result = real(clock, out);
    int64_t offset = jump();

    if (result == 0 && offset != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t total = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec + offset;

        out->tv_sec = total / 1000000000;
        out->tv_nsec = total % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
