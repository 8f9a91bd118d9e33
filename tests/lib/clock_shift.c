/*
 * For LD_PRELOAD: the wall clock of a program is off by what the file says that CLOCK_SHIFT names:
 * milliseconds, 8 bytes in the machine's order. The file is mapped before any sandbox, and shared with all
 * children; a test writes into it while they run. The clock that never jumps is left alone, and so is
 * time(), by which OpenSSL judges certificates.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_ms;

__attribute__((constructor)) static void map_shift(void)
{
    const char *path = getenv("CLOCK_SHIFT");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *mapped;

    if (fd < 0)
        return;
    mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED)
        shift_ms = mapped;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int status = (int)syscall(SYS_clock_gettime, clock, out);

    if (status == 0 && clock == CLOCK_REALTIME && shift_ms != NULL)
        out->tv_sec += (time_t)(*shift_ms / 1000);
    return status;
}
