#include "backup/directory.h"

#include "backup/walk.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/writeback.h"
#include "secret/hasher.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

static const char incoming[] = ".incoming";

#define KIND "sha256:" /* of a line with a digest */

enum {
    SLICE_BYTES = 1024 * 1024,
    DIGEST_LINE_LEN = sizeof(KIND) - 1 + 2 * CRYPT_HASH_BYTES + 1,
    DIGEST_FILE_MAX = 1024,
    LEFT_OVER_MS = 60 * 60 * 1000,
};

enum kind { KIND_PUT, KIND_GET, KIND_LIST, KIND_DELETE };

LIST_HEAD(directory_calls, directory_call);

struct directory {
    struct backup_destination base;
    struct net_loop *loop; /* borrowed */
    char *path;            /* own */
    char *slice;           /* own; room that a slice of any call is copied through */
    struct directory_calls calls;
};

struct directory_call {
    struct backup_call base;
    struct directory *directory; /* borrowed */
    enum kind kind;
    struct net_timer *timer; /* own; the next slice */
    char *name;              /* own; of the object; for a list its prefix */
    char *after;             /* own; list */
    size_t count_max;
    enum backup_gone gone; /* delete */
    int root_fd;        /* own; the directory, as it is mounted now */
    int from_fd, to_fd; /* own; -1: none */
    uint64_t offset, size_bytes;
    struct writeback writeback; /* put: of to_fd */
    struct hasher *hasher, *old_hasher; /* own; get: the second where the digest may be an old one */
    struct buf wanted;                  /* get: the lines of its digest's file */
    unsigned char digest[CRYPT_HASH_BYTES];
    char temporary[48]; /* below the directory; "": none */
    backup_on_done on_done;
    void *owner; /* borrowed */
    LIST_ENTRY(directory_call) in_calls;
};

/* ---- Beginning and end of a call ---- */

static void call_free(struct directory_call **pointer)
{
    struct directory_call *call = *pointer;

    if (call->temporary[0] != '\0')
        (void)unlinkat(call->root_fd, call->temporary, 0);
    LIST_REMOVE(call, in_calls);
    net_timer_free(&call->timer);
    fd_close(&call->from_fd);
    fd_close(&call->to_fd);
    fd_close(&call->root_fd);
    hasher_free(&call->hasher);
    hasher_free(&call->old_hasher);
    buf_free(&call->wanted);
    mem_free(&call->name);
    mem_free(&call->after);
    mem_free(pointer);
}

static void cancel(struct backup_call *base)
{
    struct directory_call *call = CONTAINER_OF(base, struct directory_call, base);

    call_free(&call);
}

static void finish(struct directory_call *call, struct backup_result *result)
{
    call->on_done(call->owner, result);
    fd_close(&result->fd);
    call_free(&call);
}

static void finish_with(struct directory_call *call, const struct task *task, enum err err)
{
    struct backup_result result = {.err = err, .words = task->words, .fd = -1};

    finish(call, &result);
}

/* What errno says of a file in the directory. */
static enum err fail_errno(struct task *task, const char *what, const char *name)
{
    enum err err = ERR_IO;

    if (errno == ENOENT || errno == ENOTDIR)
        err = ERR_NOT_FOUND;
    else if (errno == ENOSPC || errno == EDQUOT)
        err = ERR_LIMIT;
    else if (errno == EACCES || errno == EPERM || errno == EROFS)
        err = ERR_DENIED;
    return fail(task, err, "%s %s: %s", what, name, strerror(errno));
}

/* ---- Digests beside objects ---- */

static void digest_name(const char *name, char out[static BACKUP_NAME_MAX + 16])
{
    (void)snprintf(out, BACKUP_NAME_MAX + 16, "%s%s", name, BACKUP_DIGEST_SUFFIX);
}

static void put_hex(struct buf *out, const unsigned char *digest)
{
    if (encode_hex(out, str_make(digest, CRYPT_HASH_BYTES)) != ERR_OK)
        assert(false);
}

static void put_line(struct buf *out, const unsigned char *digest)
{
    buf_put(out, STR(KIND));
    put_hex(out, digest);
    buf_put(out, STR("\n"));
}

static bool is_old(struct str line)
{
    return line.len > 0 && !str_starts_with(line, STR(KIND));
}

/* What its digest's file says now, and what is needed to compare it. */
static enum err read_digest(struct directory_call *call, struct task *task)
{
    char name[BACKUP_NAME_MAX + 16];
    struct str rest, line;
    enum err err;

    digest_name(call->name, name);
    err = file_read(task, call->root_fd, name, DIGEST_FILE_MAX, &call->wanted);
    if (err != ERR_OK)
        return fail(task, err == ERR_IO ? ERR_IO : ERR_CORRUPT, "%s: its digest cannot be read",
                    call->name);
    call->hasher = hasher_new(HASHER_SHA256);
    rest = buf_str(&call->wanted);
    while (call->old_hasher == NULL && str_split(&rest, '\n', &line)) {
        if (is_old(str_trim(line)))
            call->old_hasher = hasher_new(HASHER_BLAKE2B);
    }
    return ERR_OK;
}

/* One of its lines is this digest. */
static enum err check_digest(struct directory_call *call, struct task *task)
{
    unsigned char old[CRYPT_HASH_BYTES];
    CLEANUP(buf_free) struct buf found, old_found;
    struct str rest = buf_str(&call->wanted), line;

    buf_init(&found, SIZE_MAX);
    buf_init(&old_found, SIZE_MAX);
    hasher_digest(call->hasher, call->digest);
    put_line(&found, call->digest);
    if (call->old_hasher != NULL) {
        hasher_digest(call->old_hasher, old);
        put_hex(&old_found, old);
    }
    while (str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.len > 0 && str_equal(line, str_trim(buf_str(is_old(line) ? &old_found : &found))))
            return ERR_OK;
    }
    return fail(task, ERR_CORRUPT, "%s: not the bytes that were put here", call->name);
}

/* ---- Put ---- */

static enum err write_synced(struct task *task, int dir_fd, const char *name, struct str content)
{
    CLEANUP(fd_close) int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_errno(task, "create", name);
    TRY(fd_write_all(task, fd, content));
    return fsync(fd) == 0 ? ERR_OK : fail_errno(task, "sync", name);
}

/* The new digest; behind it what the file of an older object says, which may be there until the
 * rename and after a crash. */
static enum err write_digest(struct directory_call *call, struct task *task, const char *temporary,
                             bool *out_is_replacing)
{
    char name[BACKUP_NAME_MAX + 16];
    CLEANUP(buf_free) struct buf text, old;

    buf_init(&text, SIZE_MAX);
    buf_init(&old, DIGEST_FILE_MAX + 16384);
    put_line(&text, call->digest);
    digest_name(call->name, name);
    *out_is_replacing = file_read(task, call->root_fd, name, DIGEST_FILE_MAX, &old) == ERR_OK;
    if (*out_is_replacing)
        buf_put(&text, str_upto(buf_str(&old), 4 * DIGEST_LINE_LEN));
    else
        task_forgive(task);
    return write_synced(task, call->root_fd, temporary, buf_str(&text));
}

/* A name's folder, "." where it has none. */
static void folder_of(const char *name, char out[static BACKUP_NAME_MAX + 1])
{
    const char *slash = strrchr(name, '/');

    if (slash == NULL)
        (void)snprintf(out, BACKUP_NAME_MAX + 1, ".");
    else
        (void)snprintf(out, BACKUP_NAME_MAX + 1, "%.*s", (int)(slash - name), name);
}

/* The names: from here on a crash leaves what the header says. */
static enum err publish(struct directory_call *call, struct task *task)
{
    int root = call->root_fd;
    char folder[BACKUP_NAME_MAX + 1], name[BACKUP_NAME_MAX + 16], temporary[64];
    bool is_replacing;
    enum err err;

    folder_of(call->name, folder);
    digest_name(call->name, name);
    (void)snprintf(temporary, sizeof(temporary), "%s.d", call->temporary);
    if (strcmp(folder, ".") != 0)
        TRY(dir_make(task, root, folder, true));
    err = write_digest(call, task, temporary, &is_replacing);
    if (err == ERR_OK && renameat(root, temporary, root, name) != 0)
        err = fail_errno(task, "rename to", name);
    if (err != ERR_OK) {
        (void)unlinkat(root, temporary, 0);
        return err;
    }
    if (renameat(root, call->temporary, root, call->name) != 0)
        return fail_errno(task, "rename to", call->name);
    call->temporary[0] = '\0';
    TRY(dir_sync(task, root, folder));
    if (is_replacing) {
        CLEANUP(buf_free) struct buf text;

        buf_init(&text, SIZE_MAX);
        put_line(&text, call->digest);
        TRY(file_replace(task, root, name, buf_str(&text)));
    }
    return ERR_OK;
}

static enum err put_end(struct directory_call *call, struct task *task)
{
    unsigned char digest[CRYPT_HASH_BYTES];

    hasher_digest(call->hasher, digest);
    if (memcmp(digest, call->digest, sizeof(digest)) != 0)
        return fail(task, ERR_INVALID, "%s: the bytes are not those of its digest", call->name);
    if (writeback_sync(&call->writeback) != 0)
        return fail_errno(task, "sync", call->name);
    return publish(call, task);
}

/* What puts that did not end have left; those of another process may be under way here. */
static void sweep(int root)
{
    int fd = openat(root, incoming, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    CLEANUP(folder_close) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    struct stat status;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' &&
            fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            clock_now_ms() - (int64_t)status.st_mtim.tv_sec * 1000 > LEFT_OVER_MS)
            (void)unlinkat(fd, entry->d_name, 0);
    }
}

static enum err put_begin(struct directory_call *call, struct task *task)
{
    uint64_t unique;

    TRY(dir_make(task, call->root_fd, incoming, false));
    if (call->size_bytes > SLICE_BYTES) /* what large ones left takes the room that this one needs */
        sweep(call->root_fd);
    random_bytes(&unique, sizeof(unique));
    (void)snprintf(call->temporary, sizeof(call->temporary), "%s/%016" PRIx64, incoming, unique);
    call->to_fd = openat(call->root_fd, call->temporary,
                         O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (call->to_fd < 0) {
        call->temporary[0] = '\0';
        return fail_errno(task, "create", call->name);
    }
    writeback_init(&call->writeback, call->to_fd);
    return ERR_OK;
}

/* ---- Slices, for put and get ---- */

/* Reads, hashes and, with a put, writes the next slice. */
static enum err copy_slice(struct directory_call *call, struct task *task)
{
    uint64_t left = call->size_bytes - call->offset;
    size_t want = left < SLICE_BYTES ? (size_t)left : SLICE_BYTES;
    ssize_t got = pread(call->from_fd, call->directory->slice, want, (off_t)call->offset);
    struct str bytes;

    if (got < 0)
        return fail(task, ERR_IO, "read %s: %s", call->name, strerror(errno));
    if (got == 0)
        return fail(task, call->kind == KIND_PUT ? ERR_INVALID : ERR_CORRUPT,
                    "%s: shorter than its size", call->name);
    bytes = str_make(call->directory->slice, (size_t)got);
    hasher_add(call->hasher, bytes);
    if (call->old_hasher != NULL)
        hasher_add(call->old_hasher, bytes);
    if (call->kind == KIND_PUT) {
        TRY(fd_write_all(task, call->to_fd, bytes));
        writeback_go_on(&call->writeback, call->offset + (uint64_t)got);
    }
    call->offset += (uint64_t)got;
    return ERR_OK;
}

static void put_slice(struct directory_call *call, struct task *task)
{
    enum err err = ERR_OK;

    if (call->to_fd < 0)
        err = put_begin(call, task);
    else if (call->offset < call->size_bytes)
        err = copy_slice(call, task);
    if (err == ERR_OK && call->offset < call->size_bytes) {
        net_timer_start(call->timer, 0);
        return;
    }
    if (err == ERR_OK)
        err = put_end(call, task);
    finish_with(call, task, err);
}

static enum err get_begin(struct directory_call *call, struct task *task)
{
    struct stat status;

    call->from_fd =
        openat(call->root_fd, call->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (call->from_fd < 0 || fstat(call->from_fd, &status) != 0)
        return fail_errno(task, "open", call->name);
    if (!S_ISREG(status.st_mode))
        return fail(task, ERR_NOT_FOUND, "%s is no file", call->name);
    call->size_bytes = (uint64_t)status.st_size;
    return read_digest(call, task); /* in the same step: both of one object */
}

static void get_slice(struct directory_call *call, struct task *task)
{
    enum err err = ERR_OK;
    struct backup_result result = {.words = ""};

    if (call->from_fd < 0)
        err = get_begin(call, task);
    else if (call->offset < call->size_bytes)
        err = copy_slice(call, task);
    if (err == ERR_OK && call->offset < call->size_bytes) {
        net_timer_start(call->timer, 0);
        return;
    }
    if (err == ERR_OK)
        err = check_digest(call, task);
    if (err != ERR_OK) {
        finish_with(call, task, err);
        return;
    }
    /* What it was put under a name stays as it is: a new object of this name is another file. */
    result.fd = call->from_fd;
    result.size_bytes = call->size_bytes;
    result.digest = call->digest;
    call->from_fd = -1;
    finish(call, &result);
}

/* ---- List and delete ---- */

static void list_all(struct directory_call *call, struct task *task)
{
    CLEANUP(backup_page_free)
    struct backup_page *page =
        backup_page_new(str_from_c(call->name), str_from_c(call->after), call->count_max);
    struct backup_result result = {.words = "", .fd = -1};
    enum err err = backup_walk(task, call->root_fd, page);

    if (err != ERR_OK) {
        finish_with(call, task, err);
        return;
    }
    result.objects = backup_page_objects(page, &result.object_count);
    result.is_last = !backup_page_is_cut(page);
    finish(call, &result);
}

/* A folder with nothing but digests: puts that were killed between their two renames left them. */
static void drop_lone_digests(int root, const char *path)
{
    int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    CLEANUP(folder_close) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' &&
            !str_ends_with(str_from_c(entry->d_name), STR(BACKUP_DIGEST_SUFFIX)))
            return;
    }
    if (folder != NULL)
        rewinddir(folder);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.')
            (void)unlinkat(fd, entry->d_name, 0);
    }
}

/* What went from this folder is gone for good; folders that are empty now go with it. */
static enum err sync_removed(struct task *task, int root, const char *name)
{
    char folder[BACKUP_NAME_MAX + 1], parent[BACKUP_NAME_MAX + 1];

    folder_of(name, folder);
    if (strcmp(folder, ".") != 0)
        drop_lone_digests(root, folder);
    while (strcmp(folder, ".") != 0 &&
           (unlinkat(root, folder, AT_REMOVEDIR) == 0 || errno == ENOENT)) {
        folder_of(folder, parent);
        memcpy(folder, parent, sizeof(folder));
    }
    return dir_sync(task, root, folder);
}

/* The digest first: an object without one is still listed, and so can be removed once more, by
 * whoever comes after a crash in between. */
static enum err remove_object(struct directory_call *call, struct task *task)
{
    int root = call->root_fd;
    char name[BACKUP_NAME_MAX + 16];

    digest_name(call->name, name);
    if (unlinkat(root, name, 0) != 0 && errno != ENOENT)
        return fail_errno(task, "remove", name);
    if (unlinkat(root, call->name, 0) != 0 && errno != ENOENT)
        return fail_errno(task, "remove", call->name);
    return call->gone == BACKUP_GONE_LATER ? ERR_OK : sync_removed(task, root, call->name);
}

static void on_slice(void *owner)
{
    struct directory_call *call = owner;
    struct task task;

    task_init(&task, clock_now_ms());
    /* Not before the sandbox, and not kept: a disk can be unmounted between two calls. */
    if (call->root_fd < 0)
        call->root_fd = open(call->directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (call->root_fd < 0) {
        finish_with(call, &task, fail_errno(&task, "open", call->directory->path));
        task_done(&task);
        return;
    }
    switch (call->kind) {
    case KIND_PUT:
        put_slice(call, &task);
        break;
    case KIND_GET:
        get_slice(call, &task);
        break;
    case KIND_LIST:
        list_all(call, &task);
        break;
    case KIND_DELETE:
        finish_with(call, &task, remove_object(call, &task));
        break;
    }
    task_done(&task);
}

/* ---- The interface ---- */

static const struct backup_destination_kind kind;

static struct directory_call *call_new(struct backup_destination *destination, enum kind what,
                                       struct str name, backup_on_done on_done, void *owner)
{
    struct directory *directory = CONTAINER_OF(destination, struct directory, base);
    struct directory_call *call = NEW(struct directory_call);

    call->base.kind = &kind;
    call->directory = directory;
    call->kind = what;
    call->name = mem_copy_text(name.ptr, name.len);
    call->root_fd = -1;
    call->from_fd = -1;
    call->to_fd = -1;
    buf_init(&call->wanted, DIGEST_FILE_MAX + 16384);
    call->on_done = on_done;
    call->owner = owner;
    call->timer = net_timer_new(directory->loop, on_slice, call);
    net_timer_start(call->timer, 0);
    LIST_INSERT_HEAD(&directory->calls, call, in_calls);
    return call;
}

static struct backup_call *put(struct backup_destination *destination, const struct backup_put *put,
                               backup_on_done on_done, void *owner)
{
    struct directory_call *call = call_new(destination, KIND_PUT, put->name, on_done, owner);

    call->from_fd = fcntl(put->fd, F_DUPFD_CLOEXEC, 3);
    call->size_bytes = put->size_bytes;
    call->hasher = hasher_new(HASHER_SHA256);
    memcpy(call->digest, put->digest, sizeof(call->digest));
    return &call->base;
}

static struct backup_call *get(struct backup_destination *destination, struct str name,
                               backup_on_done on_done, void *owner)
{
    return &call_new(destination, KIND_GET, name, on_done, owner)->base;
}

static struct backup_call *list(struct backup_destination *destination, struct str prefix,
                                struct str after, size_t count_max, backup_on_done on_done,
                                void *owner)
{
    struct directory_call *call = call_new(destination, KIND_LIST, prefix, on_done, owner);

    call->after = mem_copy_text(after.ptr, after.len);
    call->count_max = count_max;
    return &call->base;
}

static struct backup_call *remove_call(struct backup_destination *destination, struct str name,
                                       enum backup_gone gone, backup_on_done on_done, void *owner)
{
    struct directory_call *call = call_new(destination, KIND_DELETE, name, on_done, owner);

    call->gone = gone;
    return &call->base;
}

static void free_directory(struct backup_destination *destination)
{
    struct directory *directory = CONTAINER_OF(destination, struct directory, base);

    assert(LIST_EMPTY(&directory->calls));
    mem_free(&directory->path);
    mem_free(&directory->slice);
    mem_free(&directory);
}

static const struct backup_destination_kind kind = {
    .put = put,
    .get = get,
    .list = list,
    .remove = remove_call,
    .cancel = cancel,
    .free = free_directory,
};

enum err backup_directory_open(struct net_loop *loop, struct task *task, const char *path,
                               struct backup_destination **out)
{
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct directory *directory;

    if (fd < 0)
        return fail_errno(task, "open", path);
    sweep(fd);
    directory = NEW(struct directory);
    directory->base.kind = &kind;
    directory->loop = loop;
    directory->path = mem_copy_text(path, strlen(path));
    directory->slice = mem_room(SLICE_BYTES);
    LIST_INIT(&directory->calls);
    *out = &directory->base;
    return ERR_OK;
}
