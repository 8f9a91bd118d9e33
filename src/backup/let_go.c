#include "backup/let_go.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many names as the mirrors take: the longest are "<mailbox>/log/<generation>/<number>.seg". */
enum { FILE_BYTES_MAX = MIRROR_REMOVALS_MAX * (ID_TEXT_LEN + 5 + ID_TEXT_LEN + 1 + 12 + 4 + 1) };

struct let_go {
    struct backup_mirrors *mirrors; /* borrowed, as the log */
    const struct log *log;
    struct net_timer *timer; /* own */
    int folder_fd;           /* own */
    int file_fd;             /* own; of the mailbox whose objects go; -1: none */
    struct id mailbox;
    bool is_told;
};

static bool is_noted(const struct let_go *let_go, struct str name)
{
    return !let_go->is_told || backup_mirrors_has(let_go->mirrors, name);
}

static enum err open_file(struct let_go *let_go, struct task *task, const struct id *mailbox)
{
    if (let_go->file_fd >= 0 && id_equal(mailbox, &let_go->mailbox))
        return ERR_OK;
    let_go_sync(let_go);
    let_go->mailbox = *mailbox;
    let_go->file_fd = openat(let_go->folder_fd, mailbox->text,
                             O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (let_go->file_fd < 0)
        return fail(task, ERR_IO, "open %s: %s", mailbox->text, strerror(errno));
    return ERR_OK;
}

/* A process that was killed, or a power cut, may have left half a line. */
static const char *begin_of_line(const struct let_go *let_go, off_t end)
{
    char last = '\n';

    return end > 0 && pread(let_go->file_fd, &last, 1, end - 1) == 1 && last != '\n' ? "\n" : "";
}

/* What the owner's has let go needs no name any more. *out_size: what is left of the file. */
static enum err make_room(struct let_go *let_go, struct task *task, struct str name,
                          off_t *out_size)
{
    struct stat about;

    if (fstat(let_go->file_fd, &about) != 0)
        return fail(task, ERR_IO, "stat: %s", strerror(errno));
    *out_size = about.st_size;
    if (about.st_size + (off_t)name.len < FILE_BYTES_MAX ||
        backup_mirrors_is_removing(let_go->mirrors, name))
        return ERR_OK;
    if (ftruncate(let_go->file_fd, 0) != 0)
        return fail(task, ERR_IO, "truncate: %s", strerror(errno));
    *out_size = 0;
    return ERR_OK;
}

/* All of it, or nothing. */
static enum err write_name(struct let_go *let_go, struct task *task, struct str name)
{
    off_t size = 0;
    enum err err;

    TRY(make_room(let_go, task, name, &size));
    if (size + (off_t)name.len >= FILE_BYTES_MAX)
        return backup_mirrors_is_failing(let_go->mirrors, name)
                   ? ERR_OK
                   : fail(task, ERR_BUSY, "%zu names at most, and they are being let go",
                          (size_t)MIRROR_REMOVALS_MAX);
    err = fd_write_all(task, let_go->file_fd,
                       arena_printf(&task->arena, "%s%.*s\n", begin_of_line(let_go, size),
                                    STR_ARG(name)));
    if (err != ERR_OK && ftruncate(let_go->file_fd, size) != 0)
        log_warning(let_go->log, "half a name is left of %.*s: %s", STR_ARG(name), strerror(errno));
    return err;
}

bool let_go_note(struct let_go *let_go, struct str name)
{
    struct id mailbox;
    struct task task;
    enum err err;

    if (!is_noted(let_go, name) || name.len <= ID_TEXT_LEN ||
        !id_parse(str_upto(name, ID_TEXT_LEN), &mailbox))
        return true; /* a host's, or nobody else has it */
    task_init(&task, clock_now_ms());
    err = open_file(let_go, &task, &mailbox);
    if (err == ERR_OK)
        err = write_name(let_go, &task, name);
    if (err != ERR_OK)
        log_failure(let_go->log, "noting what owners' own destinations are to let go", &task);
    task_done(&task);
    return err == ERR_OK;
}

void let_go_sync(struct let_go *let_go)
{
    if (let_go->file_fd >= 0 && fdatasync(let_go->file_fd) != 0)
        log_warning(let_go->log,
                    "what an owner's own destination is to let go may be forgotten: %s",
                    strerror(errno));
    fd_close(&let_go->file_fd);
}

/* ---- Files of before ---- */

static void each_file(struct let_go *let_go, void (*visit)(struct let_go *let_go, const char *name))
{
    int fd = openat(let_go->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(folder_close) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    struct id mailbox;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (id_parse(str_from_c(entry->d_name), &mailbox))
            visit(let_go, entry->d_name);
    }
}

/* Half a line of a process that was killed, or a disk that was full, is no name of the mailbox's.
 */
static void tell(struct let_go *let_go, const char *mailbox)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct str rest, name;
    struct task task;

    task_init(&task, clock_now_ms());
    if (!backup_mirrors_has(let_go->mirrors, arena_printf(&task.arena, "%s/", mailbox))) {
        (void)unlinkat(let_go->folder_fd, mailbox, 0);
        task_done(&task);
        return;
    }
    buf_init(&text, SIZE_MAX);
    if (file_read(&task, let_go->folder_fd, mailbox, FILE_BYTES_MAX, &text) != ERR_OK)
        log_failure(let_go->log, "what an owner's own destination is to let go", &task);
    task_done(&task);
    rest = buf_str(&text);
    while (str_split(&rest, '\n', &name)) {
        if (rest.ptr != NULL && name.len > ID_TEXT_LEN && backup_name_is_valid(name) &&
            str_equal(str_upto(name, ID_TEXT_LEN), str_from_c(mailbox)))
            backup_mirrors_removed(let_go->mirrors, name);
    }
}

void let_go_told(struct let_go *let_go)
{
    if (let_go->is_told)
        return;
    let_go->is_told = true;
    each_file(let_go, tell);
}

/* Nothing is left to go. */
static void forget(struct let_go *let_go, const char *mailbox)
{
    char prefix[ID_TEXT_LEN + 2];

    (void)snprintf(prefix, sizeof(prefix), "%s/", mailbox);
    if (!backup_mirrors_is_removing(let_go->mirrors, str_from_c(prefix)))
        (void)unlinkat(let_go->folder_fd, mailbox, 0);
}

/* Not while objects go: they are noted before the mirrors hear of them. */
static void look(void *owner)
{
    struct let_go *let_go = owner;

    net_timer_start(let_go->timer, LET_GO_LOOK_MS);
    if (let_go->is_told && let_go->file_fd < 0)
        each_file(let_go, forget);
}

enum err let_go_new(struct task *task, struct net_loop *loop, const struct log *log,
                    const char *folder, struct backup_mirrors *mirrors, struct let_go **out)
{
    struct let_go *let_go;
    int fd;

    TRY(dir_make(task, AT_FDCWD, folder, false));
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(task, ERR_IO, "%s: %s", folder, strerror(errno));
    let_go = NEW(struct let_go);
    let_go->mirrors = mirrors;
    let_go->log = log;
    let_go->folder_fd = fd;
    let_go->file_fd = -1;
    let_go->timer = net_timer_new(loop, look, let_go);
    net_timer_start(let_go->timer, LET_GO_LOOK_MS);
    *out = let_go;
    return ERR_OK;
}

void let_go_free(struct let_go **pointer)
{
    struct let_go *let_go = *pointer;

    if (let_go == NULL)
        return;
    let_go_sync(let_go);
    net_timer_free(&let_go->timer);
    fd_close(&let_go->folder_fd);
    mem_free(pointer);
}
