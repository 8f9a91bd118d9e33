#include "role/nursery.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *mailbox_folder(const struct config *config, struct task *task, const char *part,
                           const struct id *mailbox)
{
    return arena_printf(&task->arena, "%.*s/%s/%s/%s", STR_ARG(config->data), part,
                        mailbox->text + ID_TEXT_LEN - 2, mailbox->text)
        .ptr;
}

/* Unlinks the files of the folder `fd`; `levels` of folders below it too. */
static enum err empty_folder(struct task *task, int fd, int levels)
{
    DIR *folder = fdopendir(fd);
    struct dirent *entry;
    enum err err = ERR_OK;

    if (folder == NULL) {
        close(fd);
        return fail(task, ERR_IO, "fdopendir: %s", strerror(errno));
    }
    while (err == ERR_OK && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(folder), entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno == EISDIR && levels > 0) {
            int below = openat(dirfd(folder), entry->d_name,
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            if (below >= 0 && empty_folder(task, below, levels - 1) == ERR_OK &&
                unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR) == 0)
                continue;
        }
        err = fail(task, ERR_IO, "unlink: %s", strerror(errno));
    }
    closedir(folder);
    return err;
}

enum err mailbox_folder_remove(struct task *task, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const char *slash = strrchr(path, '/');
    struct str parent = arena_copy(&task->arena, str_make(path, (size_t)(slash - path)));

    if (fd < 0 && errno == ENOENT)
        return ERR_OK;
    if (fd < 0)
        return fail(task, ERR_IO, "open folder: %s", strerror(errno));
    TRY(empty_folder(task, fd, 1));
    if (rmdir(path) != 0)
        return fail(task, ERR_IO, "rmdir: %s", strerror(errno));
    return dir_sync(task, AT_FDCWD, parent.ptr);
}
