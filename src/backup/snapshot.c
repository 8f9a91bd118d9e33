#include "backup/snapshot.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"
#include "sqlite/db.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 256 * 1024,
    LOOK_INSTRUCTIONS = 20000, /* of SQLite's machine, between two looks at the pipe */
    LOOK_MS = 50,
};

struct snapshot {
    pid_t pid;
    int fd;       /* own: the pipe's reading end */
    char *target; /* own */
    bool is_check;
    bool is_collected;
};

/* --- The work --- */

struct work {
    const struct snapshot_request *request;
    int fd; /* the pipe's writing end; -1: none */
    int64_t end_ms, looked_ms; /* monotonic */
    bool is_late;
};

static bool is_over(struct work *work)
{
    struct pollfd pipe_end = {.fd = work->fd};
    int64_t now_ms = clock_monotonic_ms();

    if (now_ms - work->looked_ms < LOOK_MS)
        return work->is_late;
    work->looked_ms = now_ms;
    if (now_ms >= work->end_ms ||
        (work->request->is_wanted != NULL && !work->request->is_wanted(work->request->owner)) ||
        (work->fd >= 0 && poll(&pipe_end, 1, 0) > 0 && (pipe_end.revents & POLLERR) != 0))
        work->is_late = true;
    return work->is_late;
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

static enum err vacuum(struct work *work, struct task *task)
{
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_open(task, work->request->path, DB_READ_BESIDE, work->request->key, &db));
    watch(work, db);
    /* The copy counts as a change; nothing else here makes one. */
    TRY(db_execute(db, task, "PRAGMA query_only=OFF"));
    TRY(db_prepare(db, task, "VACUUM INTO ?1", &statement));
    db_bind_text(statement, 1, str_from_c(work->request->target));
    return db_run(db, task, statement);
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

/* Opened as a mailbox is, so that the copy is what can be put in its place as it is. */
static enum err check_copy(struct work *work, struct task *task, struct snapshot_result *out)
{
    CLEANUP(db_close) struct db *db = NULL;

    TRY(db_open(task, work->request->target, DB_OPEN, work->request->key, &db));
    watch(work, db);
    TRY(check_integrity(db, task));
    return read_inside(db, task, out);
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
    CLEANUP(hasher_free) struct hasher *hash = hasher_new(STR(""));
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
        if (to_fd >= 0)
            TRY(fd_write_all(task, to_fd, str_make(room, len)));
    }
    hasher_digest(hash, out->digest);
    out->size_bytes = size;
    return ERR_OK;
}

static enum err copy_base(struct work *work, struct task *task, struct snapshot_result *out)
{
    CLEANUP(fd_close) int fd =
        open(work->request->target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail(task, ERR_IO, "backup: create: %s", strerror(errno));
    return pass_through(work, task, work->request->path, fd, out);
}

static enum err do_work(struct work *work, struct task *task, struct snapshot_result *out)
{
    enum err err = ERR_OK;

    if (work->request->kind == SNAPSHOT_BASE)
        return copy_base(work, task, out);
    if (work->request->kind == SNAPSHOT_FULL)
        err = vacuum(work, task);
    if (err == ERR_OK)
        err = check_copy(work, task, out);
    if (err != ERR_OK && work->is_late) {
        task_forgive(task);
        return too_long(task);
    }
    TRY(err);
    return pass_through(work, task, work->request->target, -1, out);
}

static void remove_target(struct task *task, const char *target)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        (void)unlink(arena_printf(&task->arena, "%s%s", target, suffixes[i]).ptr);
}

static void run(const struct snapshot_request *request, int fd, struct snapshot_result *out)
{
    int64_t begin_ms = clock_monotonic_ms();
    struct work work = {.request = request, .fd = fd, .end_ms = begin_ms + request->timeout_ms};
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
    run(request, -1, out);
}

/* --- The child --- */

_Noreturn static void be_child(const struct snapshot_request *request, int fd, pid_t parent)
{
    struct vault *vault = request->vault;
    struct snapshot_result result;
    struct task task;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(EXIT_FAILURE);
    vault_forget(&vault);
    if (fd > STDERR_FILENO + 1)
        (void)close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
    (void)close_range((unsigned)fd + 1, ~0u, 0);
    run(request, fd, &result);
    task_init(&task, 0);
    if (fd_write_all(&task, fd, str_make(&result, sizeof(result))) != ERR_OK &&
        request->kind != SNAPSHOT_CHECK)
        remove_target(&task, request->target); /* nobody wants it any more */
    _exit(EXIT_SUCCESS);
}

enum err snapshot_start(struct task *task, const struct snapshot_request *request,
                        struct snapshot **out_snapshot)
{
    pid_t parent = getpid(), pid;
    struct snapshot *snapshot;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(task, ERR_IO, "backup: no pipe: %s", strerror(errno));
    secret_set_inherited(true);
    pid = fork();
    secret_set_inherited(false);
    if (pid == 0)
        be_child(request, ends[1], parent);
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
    *out_snapshot = snapshot;
    return ERR_OK;
}

int snapshot_fd(const struct snapshot *snapshot)
{
    return snapshot->fd;
}

void snapshot_collect(struct snapshot *snapshot, struct snapshot_result *out)
{
    unsigned char bytes[sizeof(*out)];
    size_t len = 0;
    struct task task;

    while (len < sizeof(bytes)) {
        ssize_t got = read(snapshot->fd, bytes + len, sizeof(bytes) - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    /* Somebody else who makes children may have waited for it already. */
    (void)waitpid(snapshot->pid, NULL, 0);
    snapshot->is_collected = true;
    if (len == sizeof(bytes)) {
        memcpy(out, bytes, sizeof(*out));
        return;
    }
    memset(out, 0, sizeof(*out));
    task_init(&task, 0);
    out->err = fail(&task, ERR_IO, "backup: the child that made it died");
    memcpy(out->words, task.words, sizeof(out->words));
    if (!snapshot->is_check)
        remove_target(&task, snapshot->target);
    task_done(&task);
}

void snapshot_free(struct snapshot **snapshot_place)
{
    struct snapshot *snapshot = *snapshot_place;

    if (snapshot == NULL)
        return;
    fd_close(&snapshot->fd);
    if (!snapshot->is_collected) /* it notices the pipe, removes what it made, and ends */
        (void)waitpid(snapshot->pid, NULL, WNOHANG);
    mem_free(&snapshot->target);
    mem_free(snapshot_place);
}
