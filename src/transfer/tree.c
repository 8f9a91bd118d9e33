/* Archives through libarchive, folders through the kernel. */
#include "transfer/tree.h"

#include "base/file.h"
#include "base/memory.h"
#include "transfer/names.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024, BLOCK_OF_ONE = 16 * 1024, GROWTH_FREE = 256 * 1024 * 1024 };

struct tree {
    int fd;
    struct str head; /* borrowed */
    size_t head_taken;
    bool is_folder, can_seek;
    uint64_t packed_bytes, unpacked_bytes; /* read so far */
    size_t file_count;
    struct archive *archive; /* own; NULL: none is open */
    struct archive_entry *entry; /* of it */
    char block[BLOCK];
    size_t block_len; /* of it that is used: little is wanted after a jump */
    /* A folder. */
    DIR *levels[TREE_DEPTH_MAX]; /* own; those up to `depth` are open */
    size_t prefixes[TREE_DEPTH_MAX]; /* the length of each one's path */
    size_t depth;
    char path[TREE_PATH_MAX + 1];
    int file_fd; /* own; the file that came last */
    char *name;  /* own; an archive's */
};

/* --- An archive --- */

static la_ssize_t on_read(struct archive *archive, void *owner, const void **out)
{
    struct tree *tree = owner;
    ssize_t got;

    *out = tree->block;
    if (tree->head_taken < tree->head.len) {
        struct str part = str_upto(str_from(tree->head, tree->head_taken), BLOCK);

        memcpy(tree->block, part.ptr, part.len);
        tree->head_taken += part.len;
        tree->packed_bytes += part.len;
        return (la_ssize_t)part.len;
    }
    do
        got = read(tree->fd, tree->block, tree->block_len);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        archive_set_error(archive, errno, "it cannot be read");
    else
        tree->packed_bytes += (uint64_t)got;
    return got;
}

static la_int64_t on_seek(struct archive *archive, void *owner, la_int64_t offset, int whence)
{
    struct tree *tree = owner;
    off_t place = lseek(tree->fd, offset, whence);

    if (place < 0) {
        archive_set_error(archive, errno, "it cannot be read");
        return ARCHIVE_FATAL;
    }
    return place;
}

static la_int64_t on_skip(struct archive *archive, void *owner, la_int64_t request)
{
    struct tree *tree = owner;

    (void)archive;
    return lseek(tree->fd, request, SEEK_CUR) < 0 ? 0 : request;
}

static enum err archive_fail(struct tree *tree, struct task *task)
{
    const char *words = archive_error_string(tree->archive);

    return fail(task, ERR_INVALID, "the archive cannot be read: %s",
                words != NULL ? words : "it is none");
}

static void close_archive(struct tree *tree)
{
    if (tree->archive != NULL)
        (void)archive_read_free(tree->archive);
    tree->archive = NULL;
    tree->entry = NULL;
}

static enum err open_archive(struct tree *tree, struct task *task)
{
    struct archive *archive;

    close_archive(tree);
    archive = tree->archive = archive_read_new();
    if (archive == NULL)
        return fail(task, ERR_IO, "no memory for an archive");
    (void)archive_read_support_filter_gzip(archive);
    (void)archive_read_support_filter_bzip2(archive);
    (void)archive_read_support_filter_xz(archive);
    (void)archive_read_support_filter_zstd(archive);
    (void)archive_read_support_format_tar(archive);
    (void)archive_read_support_format_zip(archive);
    (void)archive_read_set_options(archive, "hdrcharset=UTF-8");
    (void)archive_read_set_read_callback(archive, on_read);
    if (tree->can_seek) {
        (void)archive_read_set_seek_callback(archive, on_seek);
        (void)archive_read_set_skip_callback(archive, on_skip);
    }
    (void)archive_read_set_callback_data(archive, tree);
    return archive_read_open1(archive) == ARCHIVE_OK ? ERR_OK : archive_fail(tree, task);
}

/* The bytes of the name as they are; libarchive converts by locale, of which we have none. */
static const char *name_of(struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);

    if (name == NULL)
        name = archive_entry_pathname(entry);
    return name == NULL ? "" : name;
}

/* libarchive takes a tar that was cut between two files for whole; but a tar ends with zeros. */
static enum err check_end(struct tree *tree, struct task *task)
{
    char tail[1024];
    struct stat found;
    bool is_whole = true;

    if (!tree_can_jump(tree))
        return ERR_OK;
    if (fstat(tree->fd, &found) != 0 || found.st_size < (off_t)sizeof(tail) ||
        pread(tree->fd, tail, sizeof(tail), found.st_size - (off_t)sizeof(tail)) !=
            (ssize_t)sizeof(tail))
        is_whole = false;
    for (size_t i = 0; i < sizeof(tail) && is_whole; i++)
        is_whole = tail[i] == 0;
    return is_whole ? ERR_OK : fail(task, ERR_INVALID, "the archive was cut: its end is missing");
}

static enum err next_in_archive(struct tree *tree, struct task *task, struct tree_file *out,
                                bool *out_has_file)
{
    for (;;) {
        int status = archive_read_next_header(tree->archive, &tree->entry);
        const char *name;

        if (status == ARCHIVE_EOF) {
            *out_has_file = false;
            return check_end(tree, task);
        }
        if (status < ARCHIVE_WARN)
            return archive_fail(tree, task);
        if (++tree->file_count > TREE_FILES_MAX)
            return fail(task, ERR_LIMIT, "the archive has too many files");
        name = name_of(tree->entry);
        while (name[0] == '/' || (name[0] == '.' && name[1] == '/'))
            name++;
        if (archive_entry_filetype(tree->entry) != AE_IFREG ||
            archive_entry_hardlink(tree->entry) != NULL || strlen(name) > TREE_PATH_MAX)
            continue;
        mem_free(&tree->name);
        tree->name = mem_copy_text(name, strlen(name));
        *out = (struct tree_file){
            .path = str_from_c(tree->name),
            .size_bytes = archive_entry_size_is_set(tree->entry)
                              ? (uint64_t)archive_entry_size(tree->entry)
                              : 0,
            .mtime_ms = (int64_t)archive_entry_mtime(tree->entry) * 1000 +
                        archive_entry_mtime_nsec(tree->entry) / 1000000,
            .place = archive_read_header_position(tree->archive),
        };
        *out_has_file = true;
        return ERR_OK;
    }
}

static enum err check_growth(struct tree *tree, struct task *task, size_t len)
{
    tree->unpacked_bytes += len;
    if (tree->unpacked_bytes > GROWTH_FREE &&
        tree->unpacked_bytes / TREE_GROWTH_MAX > tree->packed_bytes)
        return fail(task, ERR_LIMIT, "the archive grows beyond all measure when it is unpacked");
    return ERR_OK;
}

/* --- A folder --- */

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* The path of an entry of the innermost folder; false: too long, it is not looked at. */
static bool set_path(struct tree *tree, const char *name)
{
    size_t prefix = tree->prefixes[tree->depth - 1], len = strlen(name);

    if (prefix + 1 + len > TREE_PATH_MAX)
        return false;
    if (prefix > 0)
        tree->path[prefix++] = '/';
    memcpy(tree->path + prefix, name, len + 1);
    return true;
}

/* What is in a folder that cannot be read must not be missed in silence. */
static enum err enter(struct tree *tree, struct task *task, const char *name)
{
    struct str shown = transfer_clean_name(&task->arena, str_from_c(tree->path));
    DIR *level;
    int fd;

    if (tree->depth == TREE_DEPTH_MAX)
        return fail(task, ERR_LIMIT, "the folder has too many levels: \"%.*s\"", STR_ARG(shown));
    fd = openat(dirfd(tree->levels[tree->depth - 1]), name,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    level = fd < 0 ? NULL : fdopendir(fd);
    if (level == NULL && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return ERR_OK; /* it went, or became something else, in this moment */
    if (level == NULL) {
        int saved_errno = errno;

        fd_close(&fd);
        return fail(task, ERR_IO, "the folder \"%.*s\" cannot be read: %s", STR_ARG(shown),
                    strerror(saved_errno));
    }
    tree->prefixes[tree->depth] = strlen(tree->path);
    tree->levels[tree->depth++] = level;
    return ERR_OK;
}

static enum err next_in_folder(struct tree *tree, struct task *task, struct tree_file *out,
                               bool *out_has_file)
{
    fd_close(&tree->file_fd);
    *out_has_file = false;
    while (tree->depth > 0) {
        DIR *level = tree->levels[tree->depth - 1];
        const struct dirent *entry = readdir(level);
        struct stat found;

        if (entry == NULL) {
            (void)closedir(level);
            tree->depth--;
            continue;
        }
        if (is_dots(entry->d_name) || !set_path(tree, entry->d_name) ||
            fstatat(dirfd(level), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(found.st_mode))
            TRY(enter(tree, task, entry->d_name));
        if (!S_ISREG(found.st_mode))
            continue;
        if (++tree->file_count > TREE_FILES_MAX)
            return fail(task, ERR_LIMIT, "the folder has too many files");
        *out = (struct tree_file){
            .path = str_from_c(tree->path),
            .size_bytes = (uint64_t)found.st_size,
            .mtime_ms = (int64_t)found.st_mtim.tv_sec * 1000 + found.st_mtim.tv_nsec / 1000000,
        };
        *out_has_file = true;
        return ERR_OK;
    }
    return ERR_OK;
}

/* The folder that `path` is in, level by level: none of them may have become a link meanwhile,
 * which would lead whoever reads for somebody else (root) to what is not his. */
static int open_parent(const struct tree *tree, struct task *task, struct str path)
{
    int fd = openat(tree->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct str rest = path, level;

    while (fd >= 0 && str_index(rest, '/') >= 0 && str_split(&rest, '/', &level)) {
        int below = openat(fd, arena_copy(&task->arena, level).ptr,
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved_errno = errno;

        fd_close(&fd);
        errno = saved_errno;
        fd = below;
    }
    return fd;
}

static enum err open_in_folder(struct tree *tree, struct task *task, struct str path)
{
    CLEANUP(fd_close) int folder_fd = open_parent(tree, task, path);
    struct stat found;

    fd_close(&tree->file_fd);
    /* O_NONBLOCK: it may have become a FIFO meanwhile. */
    if (folder_fd >= 0)
        tree->file_fd = openat(
            folder_fd,
            arena_copy(&task->arena, str_from(path, (size_t)(str_last_index(path, '/') + 1))).ptr,
            O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (tree->file_fd < 0)
        return fail(task, ERR_NOT_FOUND, "a file of the folder cannot be opened: %s",
                    strerror(errno));
    if (fstat(tree->file_fd, &found) != 0 || !S_ISREG(found.st_mode))
        return fail(task, ERR_NOT_FOUND, "a file of the folder is none any more");
    return ERR_OK;
}

static enum err start_folder(struct tree *tree, struct task *task)
{
    int fd = openat(tree->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    tree->levels[0] = fd < 0 ? NULL : fdopendir(fd);
    if (tree->levels[0] == NULL) {
        fd_close(&fd);
        return fail(task, ERR_IO, "the folder cannot be read: %s", strerror(errno));
    }
    tree->prefixes[0] = 0;
    tree->depth = 1;
    return ERR_OK;
}

/* --- Both --- */

enum err tree_open(struct task *task, int fd, struct str head, struct tree **out_tree)
{
    CLEANUP(tree_close) struct tree *tree = NEW(struct tree);
    struct stat found;

    tree->fd = fd;
    tree->file_fd = -1;
    tree->head = head;
    if (fstat(fd, &found) != 0)
        return fail(task, ERR_IO, "it cannot be read: %s", strerror(errno));
    tree->is_folder = S_ISDIR(found.st_mode);
    tree->can_seek = S_ISREG(found.st_mode) && head.len == 0;
    TRY(tree_rewind(tree, task));
    *out_tree = tree;
    tree = NULL;
    return ERR_OK;
}

void tree_close(struct tree **tree)
{
    struct tree *old = *tree;

    if (old == NULL)
        return;
    close_archive(old);
    while (old->depth > 0)
        (void)closedir(old->levels[--old->depth]);
    fd_close(&old->file_fd);
    mem_free(&old->name);
    mem_free(tree);
}

bool tree_can_rewind(const struct tree *tree)
{
    return tree->is_folder || tree->can_seek;
}

enum err tree_rewind(struct tree *tree, struct task *task)
{
    tree->file_count = 0;
    tree->unpacked_bytes = tree->packed_bytes = 0;
    tree->block_len = BLOCK;
    if (tree->is_folder) {
        while (tree->depth > 0)
            (void)closedir(tree->levels[--tree->depth]);
        return start_folder(tree, task);
    }
    if (tree->can_seek && lseek(tree->fd, 0, SEEK_SET) < 0)
        return fail(task, ERR_IO, "it cannot be read: %s", strerror(errno));
    return open_archive(tree, task);
}

enum err tree_next(struct tree *tree, struct task *task, struct tree_file *out, bool *out_has_file)
{
    return tree->is_folder ? next_in_folder(tree, task, out, out_has_file)
                           : next_in_archive(tree, task, out, out_has_file);
}

bool tree_can_jump(const struct tree *tree)
{
    if (tree->is_folder)
        return true;
    return tree->can_seek && tree->archive != NULL &&
           archive_filter_code(tree->archive, 0) == ARCHIVE_FILTER_NONE &&
           (archive_format(tree->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
}

enum err tree_jump(struct tree *tree, struct task *task, const struct tree_file *file)
{
    struct tree_file found;
    bool has_file;

    if (tree->is_folder)
        return open_in_folder(tree, task, file->path);
    tree->block_len = BLOCK_OF_ONE;
    if (lseek(tree->fd, file->place, SEEK_SET) < 0)
        return fail(task, ERR_IO, "it cannot be read: %s", strerror(errno));
    TRY(open_archive(tree, task));
    TRY(next_in_archive(tree, task, &found, &has_file));
    if (!has_file || !str_equal(found.path, file->path))
        return fail(task, ERR_INVALID, "the archive changed while it was read");
    return ERR_OK;
}

enum err tree_read(struct tree *tree, struct task *task, size_t len, struct buf *out)
{
    char *room;
    ssize_t got;

    if (tree->is_folder && tree->file_fd < 0)
        TRY(open_in_folder(tree, task, str_from_c(tree->path)));
    TRY(buf_reserve(out, len, &room));
    if (tree->is_folder) {
        do
            got = read(tree->file_fd, room, len);
        while (got < 0 && errno == EINTR);
        if (got < 0)
            return fail(task, ERR_IO, "a file cannot be read: %s", strerror(errno));
    } else {
        got = archive_read_data(tree->archive, room, len);
        if (got < 0)
            return archive_fail(tree, task);
        TRY(check_growth(tree, task, (size_t)got));
    }
    buf_commit(out, (size_t)got);
    return ERR_OK;
}
