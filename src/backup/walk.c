#include "backup/walk.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct backup_page {
    struct arena arena;
    struct str prefix, after; /* in the arena */
    struct backup_object *objects; /* own */
    size_t count, count_max;
    bool is_cut;
};

struct backup_page *backup_page_new(struct str prefix, struct str after, size_t count_max)
{
    struct backup_page *page = NEW(struct backup_page);

    page->prefix = arena_copy(&page->arena, prefix);
    page->after = arena_copy(&page->arena, after);
    page->count_max = count_max;
    page->objects = NEW_ARRAY(struct backup_object, count_max);
    return page;
}

void backup_page_free(struct backup_page **page)
{
    if (*page == NULL)
        return;
    arena_free(&(*page)->arena);
    mem_free(&(*page)->objects);
    mem_free(page);
}

static bool is_wanted(const struct backup_page *page, struct str name)
{
    return str_starts_with(name, page->prefix) && str_compare(name, page->after) > 0;
}

void backup_page_add(struct backup_page *page, struct str name, uint64_t size_bytes,
                     int64_t modified_ms)
{
    if (!is_wanted(page, name))
        return;
    if (page->count == page->count_max) {
        page->is_cut = true;
        return;
    }
    page->objects[page->count++] = (struct backup_object){
        .name = arena_copy(&page->arena, name),
        .size_bytes = size_bytes,
        .modified_ms = modified_ms,
    };
}

const struct backup_object *backup_page_objects(const struct backup_page *page, size_t *out_count)
{
    *out_count = page->count;
    return page->objects;
}

bool backup_page_is_cut(const struct backup_page *page)
{
    return page->is_cut;
}

void backup_page_set_cut(struct backup_page *page)
{
    page->is_cut = true;
}

/* ---- Folders ---- */

/* One folder's entries: names of folders end in a slash, so that they sort as what is in them. */
struct entries {
    struct arena arena;
    struct str *names; /* own */
    size_t count, room;
};

static void entries_free(struct entries *entries)
{
    arena_free(&entries->arena);
    mem_free(&entries->names);
}

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static void entries_add(struct entries *entries, struct str name)
{
    if (entries->count == entries->room) {
        entries->room = entries->room == 0 ? 64 : 2 * entries->room;
        entries->names = mem_resize(entries->names, entries->room, sizeof(*entries->names));
    }
    entries->names[entries->count++] = arena_copy(&entries->arena, name);
}

/* Some names below this folder ("…/") are looked for. */
static bool may_have(const struct backup_page *page, struct str folder)
{
    struct str after = page->after;

    if (!str_starts_with(folder, page->prefix) && !str_starts_with(page->prefix, folder))
        return false;
    /* All names below it sort before `after`, unless that is one of them. */
    return str_compare(folder, after) > 0 || str_starts_with(after, folder);
}

/* One name of the folder at `path`, if it is one of ours and looked for. */
static void consider(struct entries *entries, const struct backup_page *page, int fd,
                     struct str path, const struct dirent *entry)
{
    char text[BACKUP_NAME_MAX + 2];
    size_t name_len = strlen(entry->d_name);
    struct str whole;
    struct stat status;
    bool is_folder = entry->d_type == DT_DIR;

    if (path.len + name_len > BACKUP_NAME_MAX || entry->d_name[0] == '.')
        return;
    if (entry->d_type == DT_UNKNOWN) {
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            return;
        is_folder = S_ISDIR(status.st_mode);
    }
    memcpy(text, path.ptr, path.len);
    memcpy(text + path.len, entry->d_name, name_len);
    text[path.len + name_len] = '/';
    whole = str_make(text, path.len + name_len);
    if (!backup_name_is_valid(whole))
        return;
    if (is_folder)
        whole.len++;
    if (is_folder ? may_have(page, whole) : is_wanted(page, whole))
        entries_add(entries, str_from(whole, path.len));
}

static enum err read_folder(struct task *task, int dir_fd, struct str path,
                            const struct backup_page *page, struct entries *entries, int *out_fd)
{
    const char *name = path.len == 0 ? "." : arena_copy(&task->arena, path).ptr;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (folder == NULL) {
        fd_close(&fd);
        /* It may go while we look. */
        return errno == ENOENT && path.len > 0 ? ERR_OK
                                               : fail(task, ERR_IO, "read %s: %s", name,
                                                      strerror(errno));
    }
    while (errno = 0, (entry = readdir(folder)) != NULL)
        consider(entries, page, fd, path, entry);
    if (errno != 0) {
        closedir(folder);
        return fail(task, ERR_IO, "read %s: %s", name, strerror(errno));
    }
    *out_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    closedir(folder);
    qsort(entries->names, entries->count, sizeof(*entries->names), compare_names);
    return ERR_OK;
}

/* Depth: the names of the directory, which backup_name_is_valid bounds. */
static enum err walk(struct task *task, int dir_fd, struct str path, struct backup_page *page)
{
    CLEANUP(entries_free) struct entries entries = {.count = 0};
    CLEANUP(fd_close) int fd = -1;
    struct stat status;

    TRY(read_folder(task, dir_fd, path, page, &entries, &fd));
    for (size_t i = 0; i < entries.count && !page->is_cut; i++) {
        struct str name = entries.names[i];
        struct str whole =
            arena_printf(&task->arena, "%.*s%.*s", STR_ARG(path), STR_ARG(name));

        if (str_ends_with(name, STR("/"))) {
            TRY(walk(task, dir_fd, whole, page));
            continue;
        }
        if (fstatat(fd, name.ptr, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
            backup_page_add(page, whole, (uint64_t)status.st_size,
                            (int64_t)status.st_mtim.tv_sec * 1000 +
                                status.st_mtim.tv_nsec / 1000000);
    }
    return ERR_OK;
}

enum err backup_walk(struct task *task, int dir_fd, struct backup_page *page)
{
    return walk(task, dir_fd, STR(""), page);
}
