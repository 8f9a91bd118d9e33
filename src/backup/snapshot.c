#include "backup/snapshot.h"

#include "backup/settle.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/helper.h"
#include "base/memory.h"
#include "base/writeback.h"
#include "secret/hasher.h"
#include "sqlite/db.h"
#include "sqlite/page_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 256 * 1024,
    LOOK_INSTRUCTIONS = 2000, /* of SQLite's machine, between two looks at the pipe */
    COPY_INSTRUCTIONS = 16,   /* the same while it copies: a few rows, each at most a chunk's size */
    LOOK_MS = 20,
};

struct snapshot {
    pid_t pid;
    int fd;       /* own: the pipe's reading end */
    char *target; /* own */
    struct vault *vault; /* borrowed; its checkpoints are held. NULL: none */
    bool is_check;
    bool is_collected;
};

/* --- The work --- */

struct work {
    const struct snapshot_request *request;
    int fd; /* the pipe's writing end; -1: none */
    int64_t end_ms, looked_ms; /* monotonic */
    bool is_late;
    struct writeback writeback; /* of the target; or, where this is a child already, */
    struct writeback_beside beside;
    int64_t paced_ms;           /* monotonic */
    struct db *source;          /* borrowed, while it is copied, and */
    struct page_writer *writer; /* borrowed; NULL: SQLite writes the target itself */
    bool may_settle;            /* nobody else writes the mailbox's log back, or copies its file */
};

/* A pipe whose reader went says POLLERR, a helper's channel POLLHUP. */
static bool is_over(struct work *work)
{
    struct pollfd pipe_end = {.fd = work->fd};
    int64_t now_ms = clock_monotonic_ms();

    if (now_ms - work->looked_ms < LOOK_MS)
        return work->is_late;
    work->looked_ms = now_ms;
    if (now_ms >= work->end_ms ||
        (work->request->is_wanted != NULL && !work->request->is_wanted(work->request->owner)) ||
        (work->fd >= 0 && poll(&pipe_end, 1, 0) > 0 &&
         (pipe_end.revents & (POLLERR | POLLHUP)) != 0))
        work->is_late = true;
    return work->is_late;
}

static bool work_is_over(void *owner)
{
    return is_over(owner);
}

static int on_progress(void *owner)
{
    return is_over(owner) ? 1 : 0;
}

static void watch(struct work *work, struct db *db)
{
    sqlite3_progress_handler(db_handle(db), LOOK_INSTRUCTIONS, on_progress, work);
}

static enum err too_long(struct task *task)
{
    return fail(task, ERR_BUSY, "backup: it took too long, or was given up");
}

/* What SQLite has written so far goes to the disk meanwhile. */
static int on_copying(void *owner)
{
    struct work *work = owner;
    int64_t now_ms = clock_monotonic_ms();
    struct stat status;

    if (work->writer != NULL) {
        page_writer_attach(work->writer, work->source);
        return is_over(work) ? 1 : 0;
    }
    if (now_ms != work->paced_ms && fstat(work->writeback.fd, &status) == 0)
        writeback_go_on(&work->writeback, (uint64_t)status.st_size);
    work->paced_ms = now_ms;
    return is_over(work) ? 1 : 0;
}

static enum err create_target(const struct work *work, struct task *task, int *out_fd)
{
    *out_fd = open(work->request->target, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (*out_fd < 0)
        return fail(task, errno == ENOSPC || errno == EDQUOT ? ERR_LIMIT : ERR_IO,
                    "backup: create: %s", strerror(errno));
    return ERR_OK;
}

/*
 * Into a file that is there already, and empty. Nothing is synced: the copy is for the archivist, who
 * syncs what he puts, and a crash leaves one that is removed. (The connection is for nothing else: with
 * synchronous=OFF it must never write the log back.)
 */
static enum err vacuum_into(struct work *work, struct task *task, int fd)
{
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    writeback_init(&work->writeback, fd);
    TRY(db_open(task, work->request->path, DB_READ_BESIDE, work->request->key, &db));
    work->source = db;
    sqlite3_progress_handler(db_handle(db), COPY_INSTRUCTIONS, on_copying, work);
    /* The copy counts as a change; nothing else here makes one. */
    TRY(db_execute(db, task, "PRAGMA query_only=OFF"));
    TRY(db_execute(db, task, "PRAGMA synchronous=OFF"));
    TRY(db_prepare(db, task, "VACUUM INTO ?1", &statement));
    db_bind_text(statement, 1, str_from_c(work->request->target));
    return db_run(db, task, statement);
}

/* Where this is a child already, another one encrypts and writes (sqlite/page_writer.h). */
static enum err vacuum(struct work *work, struct task *task)
{
    CLEANUP(fd_close) int fd = -1; /* closed last: with it the file's locks go */
    CLEANUP(page_writer_free) struct page_writer *writer = NULL;
    enum err err;

    TRY(create_target(work, task, &fd));
    if (work->fd >= 0) {
        TRY(writeback_beside_start(&work->beside, task, fd));
        TRY(page_writer_start(task, fd, work->request->key, &work->beside, &writer));
    }
    work->writer = writer;
    err = vacuum_into(work, task, fd);
    work->writer = NULL;
    writeback_beside_finish(&work->beside);
    TRY(err);
    return writer == NULL ? ERR_OK : page_writer_finish(writer, task);
}

static enum err read_inside(struct db *db, struct task *task, struct snapshot_result *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    CLEANUP(db_release) sqlite3_stmt *version = NULL;
    bool has_row;

    TRY(db_prepare(db, task, "SELECT mailbox_id, epoch, change_counter FROM mailbox", &statement));
    TRY(db_step(db, task, statement, &has_row));
    if (!has_row || !id_parse(db_column_text(statement, 0), &out->mailbox))
        return fail(task, ERR_CORRUPT, "backup: the copy is not a mailbox");
    out->epoch = (uint64_t)db_column_int(statement, 1);
    out->change_counter = (uint64_t)db_column_int(statement, 2);
    TRY(db_prepare(db, task, "PRAGMA user_version", &version));
    TRY(db_step(db, task, version, &has_row));
    out->schema = has_row ? (uint64_t)db_column_int(version, 0) : 0;
    return ERR_OK;
}

static enum err check_integrity(struct db *db, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(db, task, "PRAGMA integrity_check(1)", &statement));
    TRY(db_step(db, task, statement, &has_row));
    if (!has_row || !str_equal(db_column_text(statement, 0), STR("ok")))
        return fail(task, ERR_CORRUPT, "backup: the copy is damaged");
    return ERR_OK;
}

static enum err read_piece(struct task *task, int fd, char *room, size_t *out_len)
{
    ssize_t got;

    do {
        got = read(fd, room, PIECE_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail(task, ERR_IO, "backup: read: %s", strerror(errno));
    *out_len = (size_t)got;
    return ERR_OK;
}

/* To `to_fd` where it is not -1, and into the digest. */
static enum err pass_through(struct work *work, struct task *task, const char *path, int to_fd,
                             struct snapshot_result *out)
{
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(hasher_free) struct hasher *hash = hasher_new(HASHER_SHA256);
    CLEANUP(mem_free) char *room = mem_room(PIECE_BYTES);
    uint64_t size = 0;
    size_t len = 0;

    if (fd < 0)
        return fail(task, ERR_IO, "backup: open: %s", strerror(errno));
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (;;) {
        TRY(read_piece(task, fd, room, &len));
        if (len == 0)
            break;
        if (is_over(work))
            return too_long(task);
        hasher_add(hash, str_make(room, len));
        size += len;
        if (to_fd < 0)
            continue;
        TRY(fd_write_all(task, to_fd, str_make(room, len)));
        writeback_go_on(&work->writeback, size);
    }
    hasher_digest(hash, out->digest);
    out->size_bytes = size;
    return ERR_OK;
}

/* --- Hashing beside the check, where there is a second processor --- */

/* Without any key: what is secret is not inherited. */
static void be_hasher(void *owner, int channel)
{
    struct work own = *(const struct work *)owner;
    struct snapshot_result result = {.err = ERR_OK};
    struct task task;

    own.fd = channel;
    task_init(&task, 0);
    result.err = pass_through(&own, &task, own.request->target, -1, &result);
    memcpy(result.words, task.words, sizeof(result.words));
    if (fd_write_all(&task, channel, str_make(&result, sizeof(result))) != ERR_OK)
        task_forgive(&task); /* nobody wants it any more */
    task_done(&task);
}

static bool read_result(int fd, struct snapshot_result *out)
{
    unsigned char bytes[sizeof(*out)];
    size_t len = 0;

    while (len < sizeof(bytes)) {
        ssize_t got = read(fd, bytes + len, sizeof(bytes) - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        len += (size_t)got;
    }
    memcpy(out, bytes, sizeof(*out));
    return true;
}

static enum err hashing_collect(struct work *work, struct task *task, const struct helper *hashing,
                                struct snapshot_result *out)
{
    struct pollfd pipe_end = {.fd = hashing->channel, .events = POLLIN};
    struct snapshot_result found;

    while (poll(&pipe_end, 1, LOOK_MS) == 0) {
        if (is_over(work))
            return too_long(task);
    }
    if (!read_result(hashing->channel, &found))
        return fail(task, ERR_IO, "backup: the process that hashed it died");
    if (found.err != ERR_OK)
        return fail(task, found.err, "%s", found.words);
    memcpy(out->digest, found.digest, sizeof(out->digest));
    out->size_bytes = found.size_bytes;
    return ERR_OK;
}

/*
 * Opened as a mailbox is, so that the copy is what can be put in its place as it is. Opening may write
 * to it (the journal's mode), checking does not. Where this is a child already, another one hashes
 * meanwhile.
 */
static enum err check_copy(struct work *work, struct task *task, struct snapshot_result *out)
{
    CLEANUP(helper_end) struct helper hashing = {0, -1};
    CLEANUP(db_close) struct db *db = NULL;

    TRY(db_open(task, work->request->target, DB_OPEN, work->request->key, &db));
    watch(work, db);
    if (work->fd >= 0)
        TRY(helper_start(task, be_hasher, work, &hashing));
    TRY(check_integrity(db, task));
    TRY(read_inside(db, task, out));
    db_close(&db);
    if (hashing.pid > 0)
        return hashing_collect(work, task, &hashing, out);
    return pass_through(work, task, work->request->target, -1, out);
}

static enum err copy_base(struct work *work, struct task *task, struct snapshot_result *out)
{
    CLEANUP(fd_close) int fd = -1;

    TRY(create_target(work, task, &fd));
    writeback_init(&work->writeback, fd);
    return pass_through(work, task, work->request->path, fd, out);
}

/* What sessions wrote while the log could not be written back. If it cannot be now, whoever opened the
 * mailbox finds out when he does it. */
static void settle(struct work *work)
{
    struct task aside;

    if (!work->may_settle || work->is_late)
        return;
    task_init(&aside, clock_now_ms());
    if (settle_log(&aside, work->request->path, work->request->key, work_is_over, work) != ERR_OK)
        task_forgive(&aside);
    task_done(&aside);
}

static void be_settler(void *owner, int channel)
{
    (void)channel;
    settle(owner);
}

/* Beside the check; and behind it what was written meanwhile. */
static enum err check_and_settle(struct work *work, struct task *task, struct snapshot_result *out)
{
    CLEANUP(helper_end) struct helper settling = {0, -1};
    enum err err = ERR_OK;

    if (work->may_settle) {
        secret_set_inherited(true);
        err = helper_start(task, be_settler, work, &settling);
        secret_set_inherited(false);
    }
    if (err == ERR_OK)
        err = check_copy(work, task, out);
    helper_end(&settling);
    if (err == ERR_OK)
        settle(work);
    return err;
}

static enum err do_work(struct work *work, struct task *task, struct snapshot_result *out)
{
    enum err err = ERR_OK;

    if (work->request->kind == SNAPSHOT_BASE)
        return copy_base(work, task, out);
    if (work->request->kind == SNAPSHOT_FULL)
        err = vacuum(work, task);
    if (err == ERR_OK)
        err = check_and_settle(work, task, out);
    else
        settle(work);
    if (err == ERR_OK) /* else that helper dies with this process: nobody waits for a copy that goes */
        writeback_beside_done(&work->beside);
    if (err != ERR_OK && work->is_late) {
        task_forgive(task);
        return too_long(task);
    }
    return err;
}

static void remove_target(struct task *task, const char *target)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        (void)unlink(arena_printf(&task->arena, "%s%s", target, suffixes[i]).ptr);
}

static void run(const struct snapshot_request *request, int fd, bool may_settle,
                struct snapshot_result *out)
{
    int64_t begin_ms = clock_monotonic_ms();
    struct work work = {.request = request,
                        .fd = fd,
                        .beside.helper.channel = -1,
                        .end_ms = begin_ms + request->timeout_ms,
                        .may_settle = may_settle};
    struct task task;

    memset(out, 0, sizeof(*out));
    task_init(&task, clock_now_ms());
    if (request->kind != SNAPSHOT_CHECK)
        remove_target(&task, request->target); /* of an earlier one that was interrupted */
    out->err = do_work(&work, &task, out);
    if (out->err != ERR_OK && request->kind != SNAPSHOT_CHECK)
        remove_target(&task, request->target);
    memcpy(out->words, task.words, sizeof(out->words));
    out->took_ms = (uint64_t)(clock_monotonic_ms() - begin_ms);
    task_done(&task);
}

void snapshot_run(const struct snapshot_request *request, struct snapshot_result *out)
{
    run(request, -1, false, out);
}

/* --- The child --- */

_Noreturn static void be_child(const struct snapshot_request *request, int fd, bool may_settle,
                               pid_t parent)
{
    struct vault *vault = request->vault;
    struct snapshot_result result;
    struct task task;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(EXIT_FAILURE);
    (void)setpriority(PRIO_PROCESS, 0, SNAPSHOT_NICENESS);
    vault_forget(&vault);
    if (fd > STDERR_FILENO + 1)
        (void)close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
    (void)close_range((unsigned)fd + 1, ~0u, 0);
    run(request, fd, may_settle, &result);
    task_init(&task, 0);
    if (fd_write_all(&task, fd, str_make(&result, sizeof(result))) != ERR_OK &&
        request->kind != SNAPSHOT_CHECK)
        remove_target(&task, request->target); /* nobody wants it any more */
    _exit(EXIT_SUCCESS);
}

/* Of a file that is not there the child tells. */
static uint64_t size_of(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static enum err check_room(struct task *task, const struct snapshot_request *request)
{
    struct statvfs disk;
    uint64_t needed, room;

    if (request->kind == SNAPSHOT_CHECK || statvfs(request->path, &disk) != 0 ||
        disk.f_blocks == 0) /* it has no limit, or does not tell */
        return ERR_OK;
    needed = size_of(request->path) + SNAPSHOT_SPARE_BYTES;
    if (request->kind == SNAPSHOT_FULL) /* what the log has may not be in the file yet */
        needed += size_of(arena_printf(&task->arena, "%s-wal", request->path).ptr);
    room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (room < needed)
        return fail(
            task, ERR_LIMIT,
            "backup: the disk with the mailboxes needs %llu MB of free room for a copy, and "
            "has %llu",
            (unsigned long long)(needed >> 20), (unsigned long long)(room >> 20));
    return ERR_OK;
}

enum err snapshot_start(struct task *task, const struct snapshot_request *request,
                        struct snapshot **out_snapshot)
{
    pid_t parent = getpid(), pid;
    bool holds = request->kind == SNAPSHOT_FULL && request->vault != NULL;
    bool may_settle = holds && !vault_checkpoints_are_held(request->vault);
    struct snapshot *snapshot;
    int ends[2];

    TRY(check_room(task, request));
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(task, ERR_IO, "backup: no pipe: %s", strerror(errno));
    vault_prepare_fork(request->vault);
    secret_set_inherited(true);
    pid = fork();
    secret_set_inherited(false);
    if (pid == 0)
        be_child(request, ends[1], may_settle, parent);
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return fail(task, ERR_IO, "backup: fork: %s", strerror(errno));
    }
    snapshot = NEW(struct snapshot);
    snapshot->pid = pid;
    snapshot->fd = ends[0];
    snapshot->target = mem_copy_text(request->target, strlen(request->target));
    snapshot->is_check = request->kind == SNAPSHOT_CHECK;
    if (holds) {
        snapshot->vault = request->vault;
        vault_hold_checkpoints(snapshot->vault, true);
    }
    *out_snapshot = snapshot;
    return ERR_OK;
}

int snapshot_fd(const struct snapshot *snapshot)
{
    return snapshot->fd;
}

static void let_go(struct snapshot *snapshot)
{
    if (snapshot->vault != NULL)
        vault_hold_checkpoints(snapshot->vault, false);
    snapshot->vault = NULL;
}

void snapshot_collect(struct snapshot *snapshot, struct snapshot_result *out)
{
    bool is_whole = read_result(snapshot->fd, out);
    struct task task;

    /* Somebody else who makes children may have waited for it already. */
    (void)waitpid(snapshot->pid, NULL, 0);
    snapshot->is_collected = true;
    let_go(snapshot);
    if (is_whole)
        return;
    memset(out, 0, sizeof(*out));
    task_init(&task, 0);
    out->err = fail(&task, ERR_IO, "backup: the child that made it died");
    memcpy(out->words, task.words, sizeof(out->words));
    if (!snapshot->is_check)
        remove_target(&task, snapshot->target);
    task_done(&task);
}

/*
 * It notices the pipe, removes what it made, and ends. One that may write the log back is waited for:
 * that must not go on under a copy, or in a file that was exchanged.
 */
static void give_up(struct snapshot *snapshot)
{
    fd_close(&snapshot->fd);
    (void)waitpid(snapshot->pid, NULL, snapshot->vault != NULL ? 0 : WNOHANG);
    let_go(snapshot);
}

void snapshot_free(struct snapshot **snapshot_place)
{
    struct snapshot *snapshot = *snapshot_place;

    if (snapshot == NULL)
        return;
    if (!snapshot->is_collected)
        give_up(snapshot);
    fd_close(&snapshot->fd);
    mem_free(&snapshot->target);
    mem_free(snapshot_place);
}
