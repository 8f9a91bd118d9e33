#include "dropbox/damaged.h"

#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 1000 };

static const char *path_in(struct task *task, const char *folder, const char *name,
                           const char *suffix)
{
    return arena_printf(&task->arena, "%s/%s%s", folder, name, suffix).ptr;
}

/* <id>.drop.damaged-2026-11-22T050000.000Z */
static const char *name_at(struct task *task, const struct id *mailbox, int64_t ms)
{
    char time[CLOCK_ISO_ROOM];

    clock_format_name(ms, time);
    return arena_printf(&task->arena, "%s.drop.damaged-%s", mailbox->text, time).ptr;
}

static enum err move(struct task *task, const char *from, const char *to)
{
    if (rename(from, to) != 0 && errno != ENOENT)
        return fail(task, errno == ENOSPC ? ERR_LIMIT : ERR_IO, "set a drop file aside: %s",
                    strerror(errno));
    return ERR_OK;
}

/*
 * The log first: without its file it is never read, while a log that stayed would be taken for the
 * fresh file's.
 */
enum err damaged_set_aside(struct task *task, const char *drop_folder, const struct id *mailbox,
                           const char **out_name)
{
    const char *name = arena_printf(&task->arena, "%s.drop.sqlite", mailbox->text).ptr;
    int64_t ms = task->now_ms;
    const char *aside;

    do {
        aside = name_at(task, mailbox, ms++);
    } while (access(path_in(task, drop_folder, aside, ""), F_OK) == 0);
    TRY(move(task, path_in(task, drop_folder, name, "-wal"),
             path_in(task, drop_folder, aside, "-wal")));
    if (unlink(path_in(task, drop_folder, name, "-shm")) != 0 && errno != ENOENT)
        return fail(task, ERR_IO, "set a drop file aside: %s", strerror(errno));
    TRY(move(task, path_in(task, drop_folder, name, ""), path_in(task, drop_folder, aside, "")));
    *out_name = aside;
    return dir_sync(task, AT_FDCWD, drop_folder);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_damaged_name(struct str name, struct str prefix)
{
    return str_starts_with(name, prefix) && !str_ends_with(name, STR("-wal")) &&
           !str_ends_with(name, STR("-shm"));
}

enum err damaged_list(struct task *task, const char *drop_folder, const struct id *mailbox,
                      const char ***out_names, size_t *out_count)
{
    CLEANUP(folder_close) DIR *folder = opendir(drop_folder);
    struct str prefix = arena_printf(&task->arena, "%s.drop.damaged-", mailbox->text);
    const struct dirent *entry;
    const char **names = NULL;
    size_t count = 0;

    *out_count = 0;
    if (folder == NULL && errno == ENOENT)
        return ERR_OK;
    if (folder == NULL)
        return fail(task, ERR_IO, "read drop folder: %s", strerror(errno));
    while ((entry = readdir(folder)) != NULL) {
        struct str name = str_from_c(entry->d_name);

        if (!is_damaged_name(name, prefix) || count == NAMES_MAX)
            continue;
        if (names == NULL)
            names = ARENA_ARRAY(&task->arena, const char *, NAMES_MAX);
        names[count++] = arena_copy(&task->arena, name).ptr;
    }
    if (count > 0)
        qsort(names, count, sizeof(*names), compare_names);
    *out_names = names;
    *out_count = count;
    return ERR_OK;
}
