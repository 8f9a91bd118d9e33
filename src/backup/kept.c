#include "backup/kept.h"

#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const char *kept_name(struct task *task, const struct id *mailbox, int64_t ms)
{
    char time[CLOCK_ISO_ROOM];

    clock_format_name(ms, time);
    return arena_printf(&task->arena, "%s.before-%s", mailbox->text, time).ptr;
}

static bool is_beside(struct str rest)
{
    return rest.len == 0 || str_equal(rest, STR("-wal")) || str_equal(rest, STR("-shm")) ||
           str_equal(rest, STR("-journal"));
}

bool kept_parse(struct str name, const struct id *mailbox, int64_t *out_ms)
{
    static const struct str before = {".before-", 8};

    if (!str_starts_with(name, id_str(mailbox)) ||
        !str_starts_with(str_from(name, ID_TEXT_LEN), before))
        return false;
    name = str_from(name, ID_TEXT_LEN + before.len);
    return name.len >= CLOCK_NAME_LEN && is_beside(str_from(name, CLOCK_NAME_LEN)) &&
           clock_parse_name(str_upto(name, CLOCK_NAME_LEN), out_ms);
}

static enum err remove_in(struct task *task, DIR *folder, const struct id *mailbox,
                          int64_t until_ms, size_t *out_removed)
{
    struct dirent *entry;
    enum err err = ERR_OK;
    int64_t ms;

    while ((entry = readdir(folder)) != NULL) {
        if (!kept_parse(str_from_c(entry->d_name), mailbox, &ms) || ms > until_ms)
            continue;
        if (unlinkat(dirfd(folder), entry->d_name, 0) == 0)
            ++*out_removed;
        else if (errno != ENOENT)
            err = fail(task, ERR_IO, "what a restore replaced cannot be removed: %s",
                       strerror(errno));
    }
    return err;
}

enum err kept_remove(struct task *task, int dir_fd, const char *path, const struct id *mailbox,
                     int64_t until_ms, size_t *out_removed)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(folder_close) DIR *folder = NULL;

    *out_removed = 0;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return ERR_OK;
    if (fd < 0)
        return fail(task, ERR_IO, "a mailbox's folder cannot be read: %s", strerror(errno));
    folder = fdopendir(fd);
    if (folder == NULL) {
        (void)close(fd);
        return fail(task, ERR_IO, "a mailbox's folder cannot be read: %s", strerror(errno));
    }
    return remove_in(task, folder, mailbox, until_ms, out_removed);
}
