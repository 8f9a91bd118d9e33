#include "dropbox/lock.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

enum { STEP_MS = 10 };

enum err dropbox_lock_take(struct task *task, const char *drop_folder, int64_t wait_ms, int *out_fd)
{
    static const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    CLEANUP(fd_close) int fd = open(drop_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return fail(task, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open drop folder: %s",
                    strerror(errno));
    /* Never blocking in flock(2) itself: nothing could bound that. */
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return fail(task, ERR_IO, "lock drop folder: %s", strerror(errno));
        if (wait_ms <= 0)
            return fail(task, ERR_BUSY, "another process has the drop box");
        (void)nanosleep(&step, NULL);
        wait_ms -= STEP_MS;
    }
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}
