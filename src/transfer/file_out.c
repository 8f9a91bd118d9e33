/* The mailbox's own file, out (file_out.h). */
#include "transfer/file_out.h"

#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"
#include "sqlite/cipher.h"
#include "sqlite/db.h"
#include "vault/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SUFFIX ".export"

enum {
    PIECE_BYTES = 256 * 1024,
    LOOK_INSTRUCTIONS = 200 * 1000, /* of SQLite's machine: some milliseconds */
    SPARE_BYTES = 16 * 1024 * 1024, /* that the mailbox's disk must have left */
    HEADER_WRITE_VERSION_AT = 18,
    HEADER_READ_VERSION_AT = 19, /* 1: no log, 2: a write-ahead log */
};

struct copying {
    const struct transfer_file_out *request;
    int from_fd;          /* own; <id>.export */
    unsigned char *piece; /* own; PIECE_BYTES, wiped at the end */
    size_t page_bytes;
    uint64_t size_bytes;
    off_t start; /* in the file that is written; -1: it cannot be read back */
    struct page_cipher *cipher, *copy_cipher; /* own */
    unsigned char
        digest[CRYPT_HASH_BYTES]; /* of the pages' nonces and tags, as they were written */
};

static const char *path_of(struct task *task, const struct vault_options *options,
                           const char *suffix)
{
    return arena_printf(&task->arena, "%s/%s%s", options->folder, options->id.text, suffix).ptr;
}

void transfer_file_out_remove_rest(struct task *task, const struct vault_options *options)
{
    static const char *const suffixes[] = {SUFFIX, SUFFIX "-wal", SUFFIX "-shm", SUFFIX "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        (void)unlink(path_of(task, options, suffixes[i]));
}

/* --- <id>.export ------------------------------------------------------------------------------ */

/* Told beforehand, so that deliveries to this mailbox and others do not meet a full disk first. */
static enum err check_room(const struct transfer_file_out *request, struct task *task)
{
    struct stat file;
    struct statvfs disk;
    uint64_t needed, room;

    if (stat(path_of(task, &request->vault, ".sqlite"), &file) != 0 ||
        statvfs(request->vault.folder, &disk) != 0)
        return fail(task, ERR_IO, "the mailbox's folder: %s", strerror(errno));
    needed = (uint64_t)file.st_size + SPARE_BYTES;
    room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (room < needed)
        return fail(
            task, ERR_LIMIT,
            "while a copy is made, the disk with the mailboxes needs %llu MB of free room, and "
            "has %llu",
            (unsigned long long)(needed >> 20), (unsigned long long)(room >> 20));
    return ERR_OK;
}

static int on_progress(void *owner)
{
    const struct transfer_events *events = owner;

    return events->is_wanted(events->owner) ? 0 : 1;
}

static enum err vacuum(const struct transfer_file_out *request, struct task *task)
{
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    enum err err;

    TRY(db_open(task, path_of(task, &request->vault, ".sqlite"), DB_READ_BESIDE, request->key,
                &db));
    sqlite3_progress_handler(db_handle(db), LOOK_INSTRUCTIONS, on_progress,
                             (void *)(uintptr_t)&request->events);
    /* The copy counts as a change; nothing else here makes one. */
    TRY(db_execute(db, task, "PRAGMA query_only=OFF"));
    TRY(db_prepare(db, task, "VACUUM INTO ?1", &statement));
    db_bind_text(statement, 1, str_from_c(path_of(task, &request->vault, SUFFIX)));
    err = db_run(db, task, statement);
    if (err != ERR_LIMIT)
        return err;
    task_forgive(task);
    return fail(task, ERR_LIMIT, "the disk with the mailboxes has no room for a copy");
}

static enum err forget_waiting(const struct transfer_file_out *request, struct task *task)
{
    CLEANUP(db_close) struct db *db = NULL;

    TRY(db_open(task, path_of(task, &request->vault, SUFFIX), DB_OPEN, request->key, &db));
    TRY(db_execute(db, task, "DELETE FROM lane_root"));
    db_close(&db);
    if (access(path_of(task, &request->vault, SUFFIX "-wal"), F_OK) == 0)
        return fail(task, ERR_LIMIT, "the disk with the mailboxes has no room for a copy");
    return ERR_OK;
}

static enum err check_copy(const struct transfer_file_out *request, struct task *task,
                           struct transfer_totals *out)
{
    const struct vault_check_events events = {request->events.on_progress,
                                              request->events.is_wanted, request->events.owner};
    struct vault_options options = request->vault;
    struct vault_checked checked = {0};

    options.suffix = SUFFIX;
    TRY(vault_check_file(task, &options, request->key, &events, &checked));
    out->messages = checked.messages;
    return ERR_OK;
}

/* --- Its pages -------------------------------------------------------------------------------- */

static void copying_done(struct copying *copying)
{
    fd_close(&copying->from_fd);
    if (copying->piece != NULL)
        mem_wipe(copying->piece, PIECE_BYTES);
    mem_free(&copying->piece);
    cipher_pages_free(&copying->cipher);
    cipher_pages_free(&copying->copy_cipher);
}

static enum err open_copy(struct copying *copying, struct task *task)
{
    const struct transfer_file_out *request = copying->request;
    unsigned char head[HEADER_READ_VERSION_AT + 1];
    struct stat status;
    int flags = fcntl(request->fd, F_GETFL);

    copying->from_fd = open(path_of(task, &request->vault, SUFFIX), O_RDONLY | O_CLOEXEC);
    if (copying->from_fd < 0 || fstat(copying->from_fd, &status) != 0 ||
        pread(copying->from_fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
        return fail(task, ERR_IO, "the copy cannot be read: %s", strerror(errno));
    copying->page_bytes = (size_t)head[16] << 8 | head[17];
    if (copying->page_bytes == 1)
        copying->page_bytes = 65536;
    copying->size_bytes = (uint64_t)status.st_size;
    if (copying->page_bytes < 512 || copying->size_bytes % copying->page_bytes != 0)
        return fail(task, ERR_CORRUPT, "the copy has no whole pages");
    copying->start =
        flags < 0 || (flags & O_ACCMODE) == O_WRONLY ? -1 : lseek(request->fd, 0, SEEK_CUR);
    copying->piece = mem_new(PIECE_BYTES, 1);
    copying->cipher = cipher_pages_new(request->key);
    copying->copy_cipher = cipher_pages_new(request->copy_key);
    return ERR_OK;
}

static enum err read_piece(struct copying *copying, struct task *task, int fd, off_t at, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t more = pread(fd, copying->piece + got, len - got, at + (off_t)got);

        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            return fail(task, ERR_IO, "reading it back: %s",
                        more == 0 ? "it is shorter than it was written" : strerror(errno));
        got += (size_t)more;
    }
    return ERR_OK;
}

/* How much of the file from here on is one piece, in whole pages. */
static size_t piece_at(const struct copying *copying, uint64_t offset)
{
    uint64_t rest = copying->size_bytes - offset;
    size_t most = PIECE_BYTES / copying->page_bytes * copying->page_bytes;

    return rest < most ? (size_t)rest : most;
}

static enum err decrypt_piece(struct copying *copying, struct task *task,
                              struct page_cipher *cipher, uint64_t offset, size_t len)
{
    for (size_t at = 0; at < len; at += copying->page_bytes) {
        uint32_t number = (uint32_t)((offset + at) / copying->page_bytes) + 1;

        if (!cipher_pages_decrypt(cipher, number, copying->piece + at, copying->page_bytes))
            return fail(task, ERR_CORRUPT, "page %u is not as it was written", (unsigned)number);
    }
    return ERR_OK;
}

/* A page that its tag authenticates is the one that was written if nonce and tag are those. */
static void add_tags(const struct copying *copying, struct hasher *hash, size_t len)
{
    for (size_t at = copying->page_bytes; at <= len; at += copying->page_bytes)
        hasher_add(hash, str_make((const char *)copying->piece + at - CIPHER_RESERVED_BYTES,
                                  CIPHER_RESERVED_BYTES));
}

static enum err report(const struct copying *copying, struct task *task, const char *what,
                       uint64_t done)
{
    const struct transfer_events *events = &copying->request->events;

    events->on_progress(events->owner, what, done / copying->page_bytes,
                        copying->size_bytes / copying->page_bytes);
    if (!events->is_wanted(events->owner))
        return fail(task, ERR_BUSY, "nobody waits for it any more");
    return ERR_OK;
}

static enum err write_piece(struct copying *copying, struct task *task, uint64_t offset, size_t len)
{
    struct str bytes = str_make((const char *)copying->piece, len);
    enum err err;

    for (size_t at = 0; at < len; at += copying->page_bytes)
        cipher_pages_encrypt(copying->copy_cipher,
                             (uint32_t)((offset + at) / copying->page_bytes) + 1,
                             copying->piece + at, copying->page_bytes);
    err = fd_write_all(task, copying->request->fd, bytes);
    if (err != ERR_LIMIT)
        return err;
    task_forgive(task);
    return fail(task, ERR_LIMIT, "there is no room for it on the disk where it is written");
}

static enum err write_pages(struct copying *copying, struct task *task)
{
    CLEANUP(hasher_free) struct hasher *hash = hasher_new(HASHER_BLAKE2B);
    size_t len;

    for (uint64_t offset = 0; offset < copying->size_bytes; offset += len) {
        len = piece_at(copying, offset);
        TRY(report(copying, task, "pages", offset));
        TRY(read_piece(copying, task, copying->from_fd, (off_t)offset, len));
        TRY(decrypt_piece(copying, task, copying->cipher, offset, len));
        if (offset == 0) /* one file, for whoever opens it where nothing may be written beside it */
            copying->piece[HEADER_WRITE_VERSION_AT] = copying->piece[HEADER_READ_VERSION_AT] = 1;
        TRY(write_piece(copying, task, offset, len));
        add_tags(copying, hash, len);
    }
    hasher_digest(hash, copying->digest);
    return report(copying, task, "pages", copying->size_bytes);
}

static enum err read_back(struct copying *copying, struct task *task)
{
    CLEANUP(hasher_free) struct hasher *hash = hasher_new(HASHER_BLAKE2B);
    unsigned char digest[CRYPT_HASH_BYTES];
    int fd = copying->request->fd;
    size_t len;

    if (copying->start < 0)
        return ERR_OK;
    if (fsync(fd) != 0)
        return fail(task, errno == ENOSPC || errno == EDQUOT ? ERR_LIMIT : ERR_IO,
                    "it cannot be brought onto the disk: %s", strerror(errno));
    /* From the disk, where the kernel can be had to forget it. */
    (void)posix_fadvise(fd, copying->start, (off_t)copying->size_bytes, POSIX_FADV_DONTNEED);
    for (uint64_t offset = 0; offset < copying->size_bytes; offset += len) {
        len = piece_at(copying, offset);
        TRY(report(copying, task, "read back", offset));
        TRY(read_piece(copying, task, fd, copying->start + (off_t)offset, len));
        add_tags(copying, hash, len);
        TRY(decrypt_piece(copying, task, copying->copy_cipher, offset, len));
    }
    hasher_digest(hash, digest);
    if (memcmp(digest, copying->digest, sizeof(digest)) != 0)
        return fail(task, ERR_CORRUPT, "what was read back is not what was written");
    return report(copying, task, "read back", copying->size_bytes);
}

static enum err make(const struct transfer_file_out *request, struct task *task,
                     struct transfer_totals *out)
{
    CLEANUP(copying_done) struct copying copying = {.request = request, .from_fd = -1};

    TRY(check_room(request, task));
    TRY(vacuum(request, task));
    TRY(forget_waiting(request, task));
    TRY(check_copy(request, task, out));
    TRY(open_copy(&copying, task));
    TRY(write_pages(&copying, task));
    out->bytes = copying.size_bytes;
    return read_back(&copying, task);
}

enum err transfer_file_out(struct task *task, const struct transfer_file_out *request,
                           struct transfer_totals *out_totals)
{
    struct transfer_totals totals = {0};
    enum err err;

    transfer_file_out_remove_rest(task, &request->vault);
    err = make(request, task, &totals);
    transfer_file_out_remove_rest(task, &request->vault);
    if (err == ERR_IO && !request->events.is_wanted(request->events.owner))
        return ERR_BUSY;
    TRY(err);
    *out_totals = totals;
    return ERR_OK;
}
