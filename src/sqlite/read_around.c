#include "sqlite/read_around.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { AROUND_BYTES = 64 * 1024 };

static uint64_t misses;

/*
 * In place of SQLite's pread. The first call reads what is in memory and tells when something is not;
 * failures and short reads are those of the second.
 */
static ssize_t read_around(int fd, void *room, size_t len, off_t offset)
{
    static bool is_told = true; /* not every file system tells */

    if (is_told) {
        struct iovec vector = {room, len};
        ssize_t got = preadv2(fd, &vector, 1, offset, RWF_NOWAIT);

        if (got == (ssize_t)len)
            return got;
        if (got < 0 && errno == EAGAIN) {
            misses++;
            (void)posix_fadvise(fd, offset - offset % AROUND_BYTES, AROUND_BYTES,
                                POSIX_FADV_WILLNEED);
        } else if (got < 0 && errno != EINTR) {
            is_told = false;
        }
    }
    return pread(fd, room, len, offset);
}

uint64_t read_around_misses(void)
{
    return misses;
}

void read_around_init(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

    if (vfs == NULL ||
        vfs->xSetSystemCall(vfs, "pread", (sqlite3_syscall_ptr)read_around) != SQLITE_OK)
        abort();
}
