/* The process that reads what is to be imported. */
#include "cli/feed.h"

#include "base/clock.h"
#include "base/file.h"
#include "cli/remote.h"
#include "transfer/read.h"
#include "transfer/stream.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MEMORY_MAX = 2u * 1024 * 1024 * 1024 - 1,
    FILE_MAX = 1024 * 1024, /* the memory that secrets lie in is one to the kernel */
};

/* Foreign bytes are parsed here: no rights are gained, memory is bounded, nothing large is written. */
static void confine(void)
{
    const struct rlimit memory = {MEMORY_MAX, MEMORY_MAX}, none = {0, 0};
    const struct rlimit file = {FILE_MAX, FILE_MAX};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)setrlimit(RLIMIT_AS, &memory);
    (void)setrlimit(RLIMIT_FSIZE, &file);
    (void)setrlimit(RLIMIT_CORE, &none);
    /* libarchive converts names in archives by it. */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
}

static enum err read_source(struct task *task, const char *name, const char *password_file,
                            int source_fd, struct transfer_feed *feed)
{
    struct cli_remote remote;

    if (!cli_remote_is_one(name))
        return transfer_read(task, source_fd, STR("INBOX"), transfer_feed_sink(feed));
    TRY(cli_remote_parse(task, str_from_c(name), &remote));
    return cli_remote_fetch(task, &remote, password_file, feed);
}

static int feed_all(const char *name, const char *password_file, int source_fd, int stream_fd)
{
    CLEANUP(transfer_feed_free) struct transfer_feed *feed = transfer_feed_new(stream_fd);
    CLEANUP(task_done) struct task task;
    struct transfer_totals totals;
    enum err err;

    task_init(&task, clock_now_ms());
    err = read_source(&task, name, password_file, source_fd, feed);
    if (err == ERR_OK)
        err = transfer_feed_end(feed, &task, &totals);
    if (err != ERR_OK && str_find(str_from_c(task.words), STR("the service")) < 0)
        (void)fprintf(stderr, "\rsealpost: %s\n", task.words);
    return err == ERR_OK ? 0 : 1;
}

enum err cli_feed_start(struct task *task, struct cli_feed *feed, const char *name,
                        const char *password_file, int source_fd, int *out_fd)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return fail(task, ERR_IO, "no socket: %s", strerror(errno));
    pid = fork();
    if (pid == 0) {
        (void)close(pair[0]);
        confine();
        _exit(feed_all(name, password_file, source_fd, pair[1]));
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return fail(task, ERR_IO, "no process: %s", strerror(errno));
    }
    feed->pid = pid;
    *out_fd = pair[0];
    return ERR_OK;
}

enum err cli_feed_end(struct task *task, struct cli_feed *feed)
{
    int status = 1;
    pid_t pid = feed->pid;

    if (pid == 0)
        return ERR_OK;
    feed->pid = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0 ? ERR_OK : fail(task, ERR_INVALID, "the mail could not be read to its end");
}
