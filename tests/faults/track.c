/* Which descriptor is which file below the folder. A table for each process; fork copies it. */
#include "interpose.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FD_MAX = 65536 };

static struct tracked table[FD_MAX];

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return len > 0 && strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* Takes out "//", "/./" and a trailing slash, in place; ".." does not occur in what we test. */
static void tidy(char *path)
{
    char *in = path, *out = path;

    while (*in != '\0') {
        if (in[0] == '/' && in[1] == '/')
            in++;
        else if (in[0] == '/' && in[1] == '.' && (in[2] == '/' || in[2] == '\0'))
            in += 2;
        else
            *out++ = *in++;
    }
    while (out > path + 1 && out[-1] == '/')
        out--;
    *out = '\0';
}

bool track_path(int dir_fd, const char *path, char out[4096])
{
    int len;

    if (control() == NULL || path == NULL)
        return false;
    if (path[0] == '/') {
        len = snprintf(out, 4096, "%s", path);
    } else if (dir_fd != AT_FDCWD) {
        const struct tracked *folder = track_find(dir_fd);

        if (folder == NULL)
            return false;
        len = snprintf(out, 4096, "%s/%s", folder->path, path);
    } else {
        char here[2048];

        if (getcwd(here, sizeof(here)) == NULL)
            return false;
        len = snprintf(out, 4096, "%s/%s", here, path);
    }
    if (len < 0 || len >= 4096)
        return false;
    tidy(out);
    return is_below(out, control()->folder);
}

void track_add(int fd, const char *path, uint64_t inode, bool is_folder)
{
    if (fd < 0 || fd >= FD_MAX)
        return;
    track_remove(fd);
    table[fd].path = strdup(path);
    if (table[fd].path == NULL)
        abort();
    table[fd].inode = inode;
    table[fd].is_folder = is_folder;
}

void track_copy(int fd, int new_fd)
{
    const struct tracked *from = track_find(fd);

    if (new_fd < 0 || fd == new_fd)
        return;
    if (from == NULL)
        track_remove(new_fd);
    else
        track_add(new_fd, from->path, from->inode, from->is_folder);
}

void track_remove(int fd)
{
    if (fd < 0 || fd >= FD_MAX || table[fd].path == NULL)
        return;
    free(table[fd].path);
    table[fd].path = NULL;
}

void track_remove_range(unsigned first, unsigned last)
{
    for (unsigned fd = first; fd <= last && fd < FD_MAX; fd++)
        track_remove((int)fd);
}

const struct tracked *track_find(int fd)
{
    if (fd < 0 || fd >= FD_MAX || table[fd].path == NULL)
        return NULL;
    return &table[fd];
}
