/*
 * For tests: folders of their own. ./check puts them below folders that it takes away in the end,
 * with all that tests which failed or were killed have left there.
 */
#ifndef BASE_SCRATCH_H
#define BASE_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SCRATCH_MEMORY_MIN = 256 }; /* MB */

/* A new, empty folder, whose path is `out`; the caller removes it. */
static inline void scratch_folder_at(const char *parent, char *out, size_t room, const char *name)
{
    int len = snprintf(out, room, "%s/%s-XXXXXX", parent, name);

    if (len < 0 || (size_t)len >= room || mkdtemp(out) == NULL)
        abort();
}

/* Below TMPDIR, or /tmp. */
static inline void scratch_folder(char *out, size_t room, const char *name)
{
    const char *parent = getenv("TMPDIR");

    scratch_folder_at(parent == NULL ? "/tmp" : parent, out, room, name);
}

/* In memory where that has room (SEALPOST_TMPFS, /dev/shm): for tests that commit often. */
static inline void scratch_folder_in_memory(char *out, size_t room, const char *name)
{
    const char *given = getenv("SEALPOST_TMPFS"), *parent = given == NULL ? "/dev/shm" : given;
    struct statvfs space;

    if (access(parent, W_OK) == 0 && statvfs(parent, &space) == 0 &&
        space.f_bavail * space.f_frsize >> 20 >= SCRATCH_MEMORY_MIN)
        scratch_folder_at(parent, out, room, name);
    else
        scratch_folder(out, room, name);
}

#endif
