/* The control page: which call fails, whether the power is off, how far the clock jumped. */
#include "interpose.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct control *page;

/* By number: our own open and close are in front of the C library's. */
__attribute__((constructor(101))) static void map_page(void)
{
    const char *path = getenv("SEALPOST_FAULTS_CONTROL");
    long fd;

    if (path == NULL || page != NULL)
        return;
    fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    syscall(SYS_close, fd);
    if (page == MAP_FAILED || page->magic != CONTROL_MAGIC) {
        fprintf(stderr, "interpose: %s is not a control file\n", path);
        abort();
    }
}

struct control *control(void)
{
    return page;
}

bool control_fails(enum call_kind kind, int *out_error)
{
    int64_t left;

    if (page == NULL)
        return false;
    atomic_fetch_add(&page->calls[kind], 1);
    if (atomic_load(&page->kind) != (uint32_t)kind || atomic_load(&page->countdown) <= 0)
        return false;
    if (atomic_load(&page->is_lasting) != 0 && atomic_load(&page->countdown) == 1) {
        left = 0;
    } else {
        left = atomic_fetch_sub(&page->countdown, 1) - 1;
        if (left == 0 && atomic_load(&page->is_lasting) != 0)
            atomic_store(&page->countdown, 1);
    }
    if (left != 0)
        return false;
    atomic_fetch_add(&page->given, 1);
    *out_error = atomic_load(&page->error);
    if (*out_error == CONTROL_KILL)
        __builtin_trap(); /* the end at once, without a system call that a sandbox could refuse */
    return true;
}

_Noreturn void control_stop_here(void)
{
    for (;;)
        poll(NULL, 0, 1000);
}

void control_wait_if_cut(void)
{
    if (page != NULL && atomic_load(&page->is_cut) != 0)
        control_stop_here();
}
