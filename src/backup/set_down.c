#include "backup/set_down.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/writeback.h"
#include "secret/hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SLICE_BYTES = 256 * 1024 };

static enum err fail_errno(struct task *task, const char *path)
{
    enum err err = errno == ENOSPC || errno == EDQUOT ? ERR_LIMIT
                   : errno == EEXIST                  ? ERR_EXISTS
                                                      : ERR_IO;

    return fail(task, err, "%s: %s", path, strerror(errno));
}

static enum err copy(struct task *task, const struct backup_got *got, struct writeback *to,
                     struct hasher *hasher, char *slice)
{
    uint64_t at = 0;

    while (at < got->size_bytes) {
        ssize_t len = pread(got->fd, slice, SLICE_BYTES, (off_t)at);

        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return fail(task, ERR_IO, "what came cannot be read again: %s",
                        len < 0 ? strerror(errno) : "it has become shorter");
        TRY(fd_write_all(task, to->fd, str_make(slice, (size_t)len)));
        hasher_add(hasher, str_make(slice, (size_t)len));
        at += (uint64_t)len;
        writeback_go_on(to, at);
    }
    return ERR_OK;
}

/* `part`, whole and on the disk. */
static enum err write_part(struct task *task, const struct backup_got *got, const char *part)
{
    CLEANUP(fd_close)
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    CLEANUP(hasher_free) struct hasher *hasher = hasher_new(HASHER_SHA256);
    unsigned char digest[CRYPT_HASH_BYTES];
    struct writeback writeback;
    char *slice;
    enum err err;

    if (fd < 0)
        return fail_errno(task, part);
    writeback_init(&writeback, fd);
    slice = mem_room(SLICE_BYTES);
    err = copy(task, got, &writeback, hasher, slice);
    mem_free(&slice);
    TRY(err);
    hasher_digest(hasher, digest);
    if (memcmp(digest, got->digest, sizeof(digest)) != 0)
        return fail(task, ERR_CORRUPT, "%s: not the bytes that were backed up", part);
    return writeback_sync(&writeback) == 0 ? ERR_OK : fail_errno(task, part);
}

static enum err give_name(struct task *task, const char *part, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str folder = slash == NULL ? STR(".") : str_make(path, (size_t)(slash - path) + 1);

    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) != 0)
        return fail_errno(task, path);
    return dir_sync(task, AT_FDCWD, arena_copy(&task->arena, folder).ptr);
}

enum err backup_set_down(struct task *task, const struct backup_got *got, const char *path)
{
    const char *part = arena_printf(&task->arena, "%s.part", path).ptr;
    enum err err = ERR_OK;

    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        err = fail(task, ERR_EXISTS, "%s is there already", path);
    if (err == ERR_OK)
        err = write_part(task, got, part);
    if (err == ERR_OK)
        err = give_name(task, part, path);
    if (err != ERR_OK)
        (void)unlink(part);
    return err;
}
