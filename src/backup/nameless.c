#include "backup/nameless.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum err nameless_take(struct task *task, const char *path, int *out_fd, int *out_own_fd)
{
    CLEANUP(fd_close) int own_fd = open(path, O_WRONLY | O_CLOEXEC);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    int saved = errno;

    (void)unlink(path);
    if (own_fd < 0 || fd < 0)
        return fail(task, ERR_IO, "the copy is gone: %s", strerror(saved));
    *out_fd = fd;
    *out_own_fd = own_fd;
    fd = own_fd = -1;
    return ERR_OK;
}

void nameless_empty(int own_fd)
{
    bool is_empty = own_fd >= 0 && ftruncate(own_fd, 0) == 0;

    (void)is_empty; /* if not, its room is free when the last one has closed it */
}
