#include "base/file.h"

#include "base/memory.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void folder_close(DIR **folder)
{
    if (*folder != NULL)
        (void)closedir(*folder);
    *folder = NULL;
}

enum err fd_read_all(struct task *task, int fd, size_t limit_bytes, struct buf *out)
{
    off_t position = 0;

    for (;;) {
        char *room;
        ssize_t got;

        TRY(buf_reserve(out, 16384, &room));
        got = pread(fd, room, 16384, position);
        if (got < 0 && errno == ESPIPE)
            got = read(fd, room, 16384);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(task, ERR_IO, "read: %s", strerror(errno));
        if (got == 0)
            return ERR_OK;
        buf_commit(out, (size_t)got);
        position += got;
        if (out->len > limit_bytes)
            return fail(task, ERR_LIMIT, "file larger than %zu bytes", limit_bytes);
    }
}

enum err file_read(struct task *task, int dir_fd, const char *path, size_t limit_bytes,
                   struct buf *out)
{
    CLEANUP(fd_close) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return fail(task, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s: %s", path,
                    strerror(errno));
    return fd_read_all(task, fd, limit_bytes, out);
}

enum err fd_write_all(struct task *task, int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(task, errno == ENOSPC || errno == EDQUOT ? ERR_LIMIT : ERR_IO, "write: %s",
                        strerror(errno));
        bytes = str_from(bytes, (size_t)put);
    }
    return ERR_OK;
}

/* The folder part of a path, "." where there is none. */
static void parent_of(const char *path, char *out, size_t room)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        snprintf(out, room, ".");
    else
        snprintf(out, room, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

enum err dir_sync(struct task *task, int dir_fd, const char *path)
{
    CLEANUP(fd_close) int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return fail(task, ERR_IO, "sync folder: %s", strerror(errno));
    return ERR_OK;
}

static enum err write_new(struct task *task, int dir_fd, const char *path, struct str content)
{
    CLEANUP(fd_close) int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail(task, ERR_IO, "create %s: %s", path, strerror(errno));
    TRY(fd_write_all(task, fd, content));
    if (fsync(fd) != 0)
        return fail(task, ERR_IO, "sync %s: %s", path, strerror(errno));
    return ERR_OK;
}

enum err file_replace(struct task *task, int dir_fd, const char *path, struct str content)
{
    char temporary[4096], parent[4096];
    uint64_t unique;
    enum err err;

    random_bytes(&unique, sizeof(unique));
    if (snprintf(temporary, sizeof(temporary), "%s.%016" PRIx64, path, unique) >=
        (int)sizeof(temporary))
        return fail(task, ERR_INVALID, "path too long");
    err = write_new(task, dir_fd, temporary, content);
    if (err == ERR_OK && renameat(dir_fd, temporary, dir_fd, path) != 0)
        err = fail(task, ERR_IO, "rename to %s: %s", path, strerror(errno));
    if (err != ERR_OK) {
        unlinkat(dir_fd, temporary, 0);
        return err;
    }
    parent_of(path, parent, sizeof(parent));
    return dir_sync(task, dir_fd, parent);
}

enum err dir_make(struct task *task, int dir_fd, const char *path, bool with_parents)
{
    char parent[4096];

    if (mkdirat(dir_fd, path, 0700) == 0) {
        parent_of(path, parent, sizeof(parent));
        return dir_sync(task, dir_fd, parent);
    }
    if (errno == EEXIST)
        return ERR_OK;
    if (errno == ENOENT && with_parents) {
        parent_of(path, parent, sizeof(parent));
        TRY(dir_make(task, dir_fd, parent, strcmp(parent, path) != 0));
        return dir_make(task, dir_fd, path, false);
    }
    return fail(task, ERR_IO, "create folder %s: %s", path, strerror(errno));
}

enum err memfd_new(struct task *task, int *out_fd)
{
    int fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return fail(task, ERR_IO, "memfd: %s", strerror(errno));
    *out_fd = fd;
    return ERR_OK;
}

enum err memfd_seal(struct task *task, int fd)
{
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return fail(task, ERR_IO, "memfd seals: %s", strerror(errno));
    return ERR_OK;
}

enum err memfd_from(struct task *task, struct str bytes, int *out_fd)
{
    CLEANUP(fd_close) int fd = -1;

    TRY(memfd_new(task, &fd));
    TRY(fd_write_all(task, fd, bytes));
    TRY(memfd_seal(task, fd));
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}
