#include "backup/kept.h"

#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    HOUR_AT = 11,  /* "2026-11-22T", of a year with four digits */
    TIME_LEN = 22, /* "2026-11-22T050000.000Z" */
};

const char *kept_name(struct task *task, const struct id *mailbox, int64_t ms)
{
    char iso[CLOCK_ISO_ROOM];
    size_t len = 0;

    clock_format_iso(ms, iso);
    for (size_t i = 0; iso[i] != '\0'; i++)
        if (iso[i] != ':')
            iso[len++] = iso[i];
    return arena_printf(&task->arena, "%s.before-%.*s", mailbox->text, (int)len, iso).ptr;
}

static bool is_beside(struct str rest)
{
    return rest.len == 0 || str_equal(rest, STR("-wal")) || str_equal(rest, STR("-shm")) ||
           str_equal(rest, STR("-journal"));
}

bool kept_parse(struct str name, const struct id *mailbox, int64_t *out_ms)
{
    static const struct str before = {".before-", 8};
    char iso[CLOCK_ISO_ROOM];
    size_t len = 0;

    if (!str_starts_with(name, id_str(mailbox)) ||
        !str_starts_with(str_from(name, ID_TEXT_LEN), before))
        return false;
    name = str_from(name, ID_TEXT_LEN + before.len);
    if (name.len < TIME_LEN || !is_beside(str_from(name, TIME_LEN)))
        return false;
    for (size_t i = 0; i < TIME_LEN; i++) {
        if (i == HOUR_AT + 2 || i == HOUR_AT + 4)
            iso[len++] = ':';
        iso[len++] = name.ptr[i];
    }
    return clock_parse_iso(str_make(iso, len), out_ms);
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
    DIR *folder;
    enum err err;

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
    err = remove_in(task, folder, mailbox, until_ms, out_removed);
    closedir(folder);
    return err;
}
