#include "spam/train.h"

#include "base/file.h"
#include "message/structure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDERS_DEEP_MAX = 16 };

struct lesson {
    struct spam_trainer *trainer;
    struct task *task;
    bool is_spam;
    struct spam_trained *trained;
};

/* --- Messages --- */

static enum err learn_message(const struct lesson *lesson, struct str message)
{
    CLEANUP(task_done) struct task reading;
    struct message_structure structure;
    struct structure_notes *notes;
    struct spam_tokens *tokens;

    task_init(&reading, lesson->task->now_ms);
    tokens = ARENA_NEW(&reading.arena, struct spam_tokens);
    structure_scan(&reading.arena, message, &structure, &notes);
    spam_tokenize(&reading, message, &structure, tokens);
    TRY(spam_trainer_learn(lesson->trainer, lesson->task, tokens, lesson->is_spam));
    lesson->trained->messages++;
    return ERR_OK;
}

/* Where the next "From " line begins behind an empty line (RFC 4155), or the end. */
static size_t message_end(struct str rest)
{
    size_t at = 0;

    for (;;) {
        ptrdiff_t found = str_find(str_from(rest, at), STR("\nFrom "));
        size_t end;

        if (found < 0)
            return rest.len;
        end = at + (size_t)found;
        if (end == 0 || rest.ptr[end - 1] == '\n' ||
            (rest.ptr[end - 1] == '\r' && (end == 1 || rest.ptr[end - 2] == '\n')))
            return end + 1;
        at = end + 1;
    }
}

bool spam_mbox_next(struct str mbox, size_t *position, struct str *out_message)
{
    struct str rest = str_from(mbox, *position);
    ptrdiff_t line = str_index(rest, '\n');

    if (!str_starts_with(rest, STR("From ")) || line < 0)
        return false;
    rest = str_from(rest, (size_t)line + 1);
    *out_message = str_upto(rest, message_end(rest));
    *position = (size_t)(rest.ptr - mbox.ptr) + out_message->len;
    return true;
}

static enum err learn_bytes(const struct lesson *lesson, struct str bytes)
{
    size_t position = 0;
    struct str message;

    lesson->trained->files++;
    if (!str_starts_with(bytes, STR("From ")))
        return learn_message(lesson, bytes);
    while (spam_mbox_next(bytes, &position, &message))
        TRY(learn_message(lesson, message));
    return ERR_OK;
}

/* --- Files --- */

static enum err learn_file(const struct lesson *lesson, int fd, const char *name, size_t size)
{
    void *bytes;
    enum err err;

    if (size == 0)
        return ERR_OK;
    bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return fail(lesson->task, ERR_IO, "%s cannot be read: %s", name, strerror(errno));
    err = learn_bytes(lesson, str_make(bytes, size));
    munmap(bytes, size);
    return err;
}

static enum err learn_at(const struct lesson *lesson, int dir_fd, const char *name,
                         unsigned depth);

/* Of a Maildir only what was delivered; of other folders all that does not begin with a dot. */
static bool is_wanted(const char *name, bool is_maildir)
{
    if (is_maildir)
        return strcmp(name, "cur") == 0 || strcmp(name, "new") == 0;
    return name[0] != '.';
}

/* Takes the descriptor over. */
static enum err learn_folder(const struct lesson *lesson, int fd, const char *name, unsigned depth)
{
    struct stat status;
    bool is_maildir = fstatat(fd, "cur", &status, 0) == 0 && fstatat(fd, "new", &status, 0) == 0;
    DIR *folder = fdopendir(fd);
    const struct dirent *entry;
    enum err err = ERR_OK;

    if (folder == NULL) {
        (void)close(fd);
        return fail(lesson->task, ERR_IO, "%s cannot be read: %s", name, strerror(errno));
    }
    while (err == ERR_OK && (entry = readdir(folder)) != NULL) {
        if (is_wanted(entry->d_name, is_maildir))
            err = learn_at(lesson, dirfd(folder), entry->d_name, depth + 1);
    }
    (void)closedir(folder);
    return err;
}

/* Folders in folders, a bounded number of times. */
static enum err learn_at(const struct lesson *lesson, int dir_fd, const char *name, unsigned depth)
{
    CLEANUP(fd_close) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 && errno == ENOENT)
        return fail(lesson->task, ERR_NOT_FOUND, "%s is not there", name);
    if (fd < 0 || fstat(fd, &status) != 0)
        return fail(lesson->task, ERR_IO, "%s cannot be opened: %s", name, strerror(errno));
    if (depth > FOLDERS_DEEP_MAX)
        return fail(lesson->task, ERR_LIMIT, "%s lies too deep", name);
    if (S_ISDIR(status.st_mode)) {
        int taken = fd;

        fd = -1;
        return learn_folder(lesson, taken, name, depth);
    }
    if (!S_ISREG(status.st_mode))
        return fail(lesson->task, ERR_IO, "%s is no file and no folder", name);
    return learn_file(lesson, fd, name, (size_t)status.st_size);
}

enum err spam_train_path(struct spam_trainer *trainer, struct task *task, const char *path,
                         bool is_spam, struct spam_trained *trained)
{
    const struct lesson lesson = {trainer, task, is_spam, trained};

    return learn_at(&lesson, AT_FDCWD, path, 0);
}
