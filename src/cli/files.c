#include "cli/files.h"

#include "base/file.h"
#include "cli/remote.h"
#include "cli/secret_input.h"
#include "transfer/uidl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err words_of(struct task *task, const char *name)
{
    enum err err = errno == EEXIST ? ERR_EXISTS : errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID;

    return fail(task, err, "%s: %s", name, strerror(errno));
}

static enum err open_output(struct task *task, const char *name, bool is_forced, int *out_fd,
                            const char **out_part)
{
    const char *part = arena_printf(&task->arena, "%s.part", name).ptr;
    struct stat status;

    if (lstat(name, &status) == 0 && !S_ISREG(status.st_mode)) /* /dev/null, a link to a disk */
        return fail(task, ERR_EXISTS, "%s is there, and is no file that could be replaced", name);
    if (!is_forced && lstat(name, &status) == 0)
        return fail(task, ERR_EXISTS, "%s is there already; --force replaces it", name);
    if (is_forced && unlink(part) != 0 && errno != ENOENT)
        return words_of(task, part);
    /* For reading, too: what was written is read back. */
    *out_fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*out_fd < 0 && errno == EEXIST)
        return fail(task, ERR_EXISTS,
                    "%s is there: left by a command that was ended, or one that runs; --force "
                    "replaces it",
                    part);
    if (*out_fd < 0)
        return words_of(task, part);
    *out_part = part;
    return ERR_OK;
}

/* The process that reads it, in place of the file. */
static enum err open_source(struct task *task, const struct cli_line *line,
                            struct cli_files *files, const char *name, int *fd)
{
    CLEANUP(fd_close) int source_fd = *fd;
    const struct cli_feed_source source = {
        .name = name,
        .fd = source_fd,
        .line = line,
        .file_password_file = cli_line_path(line, "file-password-file"),
        .server_password_file = cli_line_path(line, "server-password-file"),
        .server_ca_file = cli_line_path(line, "server-ca-file") != NULL
                              ? cli_line_path(line, "server-ca-file")
                              : line->outgoing_ca,
        .uidl = cli_line_path(line, "uidl"),
    };

    *fd = -1;
    if (source_fd < 0 && !cli_remote_is_one(name))
        return words_of(task, name);
    if (source.uidl != NULL && transfer_uidl_template(str_from_c(source.uidl)).len == 0)
        return fail(task, ERR_INVALID,
                    "--uidl is dovecot, cyrus, sealpost, or a format with %%u in it: %%v-%%u");
    return cli_feed_start(task, &files->feed, &source, fd);
}

enum err cli_files_open(struct task *task, const struct cli_line *line,
                        struct cli_files *out_files)
{
    struct cli_files *files = out_files;

    *files = (struct cli_files){.count = 0};
    for (size_t i = 0; i < line->file_count; i++) {
        const char *name = line->files[i].name;
        bool is_output = line->files[i].argument->kind == ADMIN_OUTPUT;
        bool is_standard = strcmp(name, "-") == 0;
        int *fd = &files->fds[files->count++];

        *fd = -1;
        if (line->files[i].argument->kind == ADMIN_KEY) {
            TRY(cli_secret_key(task, name, fd));
        } else if (is_output && is_standard) {
            *fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
            files->has_taken_output = true;
        } else if (is_output) {
            TRY(open_output(task, name, line->is_forced, fd, &files->parts[files->count - 1]));
        } else if (is_standard) {
            *fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        } else if (line->files[i].argument->kind != ADMIN_SOURCE || !cli_remote_is_one(name)) {
            *fd = open(name, O_RDONLY | O_CLOEXEC);
        }
        if (line->files[i].argument->kind == ADMIN_SOURCE) {
            TRY(open_source(task, line, files, name, fd));
            continue;
        }
        if (*fd < 0)
            return words_of(task, name);
    }
    return ERR_OK;
}

static enum err keep(struct task *task, int fd, const char *part, const char *name, bool is_forced)
{
    const char *slash = strrchr(name, '/');
    struct str folder = slash == NULL ? STR(".") : str_make(name, (size_t)(slash - name) + 1);

    if (fsync(fd) != 0)
        return fail(task, ERR_IO, "%s: %s", part, strerror(errno));
    if (renameat2(AT_FDCWD, part, AT_FDCWD, name, is_forced ? 0 : RENAME_NOREPLACE) != 0)
        return words_of(task, name);
    return dir_sync(task, AT_FDCWD, arena_printf(&task->arena, "%.*s", STR_ARG(folder)).ptr);
}

enum err cli_files_keep(struct task *task, const struct cli_line *line, struct cli_files *files)
{
    TRY(cli_feed_end(task, &files->feed));
    for (size_t i = 0; i < files->count; i++) {
        if (files->parts[i] == NULL)
            continue;
        TRY(keep(task, files->fds[i], files->parts[i], line->files[i].name, line->is_forced));
        files->parts[i] = NULL;
    }
    return ERR_OK;
}

void cli_files_done(struct cli_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        if (files->parts[i] != NULL)
            (void)unlink(files->parts[i]);
        fd_close(&files->fds[i]);
    }
    files->count = 0;
    if (files->feed.pid != 0) {
        struct task task;

        task_init(&task, 0);
        if (cli_feed_end(&task, &files->feed) != ERR_OK)
            task_forgive(&task); /* it said so itself */
        task_done(&task);
    }
}
