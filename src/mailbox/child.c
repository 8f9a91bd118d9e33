/*
 * The pipe carries JSON objects, one a line: {"what", "done", "total"} for progress, and at last
 * {"status": an enum err, "words": of its task, "result": {…}}. A line ends within MESSAGE_MAX.
 */
#include "mailbox/child.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 * 1024, READ_BYTES = 4096 };

struct mailbox_child_link {
    int fd; /* the pipe's writing end */
    int64_t told_ms;
    json_t *result;
};

struct mailbox_child {
    struct mailbox_job *job; /* borrowed */
    pid_t pid;
    int fd;                  /* own; the pipe's reading end */
    struct net_watch *watch; /* own; NULL: all was read */
    struct buf input;
    json_t *outcome; /* own; the last message, NULL: none came */
};

/* --- in the child ---------------------------------------------------------------------------- */

static void send_line(struct mailbox_child_link *link, const json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    struct task task;

    task_init(&task, 0);
    /* A parent that is gone, or does not want it any more: the work finds out by itself. */
    if (text != NULL && fd_write_all(&task, link->fd, str_from_c(text)) == ERR_OK &&
        fd_write_all(&task, link->fd, STR("\n")) != ERR_OK)
        task_forgive(&task);
    mem_free(&text);
    task_done(&task);
}

void mailbox_child_progress(struct mailbox_child_link *link, const char *what, uint64_t done,
                            uint64_t total)
{
    int64_t now_ms = clock_monotonic_ms();
    json_t *message;

    if (now_ms - link->told_ms < MAILBOX_JOB_PROGRESS_MS && done != total)
        return;
    link->told_ms = now_ms;
    message = json_pack("{s:s, s:I, s:I}", "what", what, "done", (json_int_t)done, "total",
                        (json_int_t)total);
    send_line(link, message);
    json_decref(message);
}

void mailbox_child_put(struct mailbox_child_link *link, const char *name, json_t *value)
{
    json_object_set_new(link->result, name, value);
}

bool mailbox_child_is_wanted(const struct mailbox_child_link *link)
{
    struct pollfd pipe_end = {.fd = link->fd};

    return poll(&pipe_end, 1, 0) <= 0 || (pipe_end.revents & POLLERR) == 0;
}

/* Everything above standard error but these, which must be in ascending order to be left out. */
static void close_others(int *kept, size_t count)
{
    unsigned next = STDERR_FILENO + 1;

    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0 && kept[j] < kept[j - 1]; j--) {
            int other = kept[j];

            kept[j] = kept[j - 1];
            kept[j - 1] = other;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if ((unsigned)kept[i] > next)
            (void)close_range(next, (unsigned)kept[i] - 1, 0);
        next = (unsigned)kept[i] + 1;
    }
    (void)close_range(next, ~0u, 0);
}

_Noreturn static void be_child(struct mailbox_child_link *link, mailbox_child_work work,
                               void *detail, pid_t parent)
{
    struct task task;
    enum err err;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(EXIT_FAILURE);
    link->result = json_object();
    task_init(&task, clock_now_ms());
    err = work(link, &task, detail);
    send_line(link, json_pack("{s:i, s:s, s:o}", "status", (int)err, "words", task.words, "result",
                              link->result));
    _exit(EXIT_SUCCESS);
}

/* --- in the parent --------------------------------------------------------------------------- */

static void take_line(struct mailbox_child *child, struct str line)
{
    json_error_t error;
    json_t *message = json_loadb(line.ptr, line.len, 0, &error);
    const json_t *what = json_object_get(message, "what");

    if (json_object_get(message, "status") != NULL) {
        json_decref(child->outcome);
        child->outcome = json_incref(message);
    } else if (json_is_string(what)) {
        mailbox_job_progress(child->job, json_string_value(what),
                             (uint64_t)json_integer_value(json_object_get(message, "done")),
                             (uint64_t)json_integer_value(json_object_get(message, "total")));
    }
    json_decref(message);
}

static void take_lines(struct mailbox_child *child)
{
    for (;;) {
        ptrdiff_t end = str_index(buf_str(&child->input), '\n');

        if (end < 0)
            return;
        take_line(child, str_upto(buf_str(&child->input), (size_t)end));
        buf_consume(&child->input, (size_t)end + 1);
    }
}

static void on_readable(void *owner)
{
    struct mailbox_child *child = owner;
    char bytes[READ_BYTES];
    ssize_t got = read(child->fd, bytes, sizeof(bytes));

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && buf_append(&child->input, str_make(bytes, (size_t)got)) == ERR_OK) {
        take_lines(child);
        return;
    }
    net_watch_free(&child->watch);
    mailbox_job_go_on(child->job);
}

bool mailbox_child_is_any_alive(void)
{
    pid_t pid;

    do
        pid = waitpid(-1, NULL, WNOHANG);
    while (pid > 0 || (pid < 0 && errno == EINTR));
    return pid == 0; /* else there is none */
}

enum err mailbox_child_start(struct mailbox_job *job, mailbox_child_work work, void *detail,
                             const int *keep_fds, size_t keep_count,
                             struct mailbox_child **out_child)
{
    int kept[MAILBOX_JOB_DESCRIPTORS_MAX + 1], ends[2];
    struct mailbox_child *child;
    pid_t parent = getpid(), pid;

    if (keep_count > MAILBOX_JOB_DESCRIPTORS_MAX || pipe2(ends, O_CLOEXEC) != 0)
        return fail(&job->task, ERR_IO, "no pipe: %s", strerror(errno));
    (void)mailbox_child_is_any_alive(); /* clears away those that nobody waited for */
    vault_prepare_fork(job->mailbox->vault);
    secret_set_inherited(true);
    pid = fork();
    secret_set_inherited(false);
    if (pid == 0) {
        struct mailbox_child_link link = {.fd = ends[1]};

        for (size_t i = 0; i < keep_count; i++)
            kept[i] = keep_fds[i];
        kept[keep_count] = ends[1];
        vault_forget(&job->mailbox->vault);
        close_others(kept, keep_count + 1);
        be_child(&link, work, detail, parent);
    }
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return fail(&job->task, ERR_IO, "fork: %s", strerror(errno));
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    child = NEW(struct mailbox_child);
    child->job = job;
    child->pid = pid;
    child->fd = ends[0];
    buf_init(&child->input, MESSAGE_MAX);
    child->watch = net_watch_new(job->mailbox->loop, child->fd, on_readable, NULL, child);
    net_watch_want(child->watch, true, false);
    *out_child = child;
    return ERR_OK;
}

void mailbox_child_wait(struct mailbox_child *child)
{
    struct pollfd pipe_end = {.fd = child->fd, .events = POLLIN};

    while (child->watch != NULL) {
        if (poll(&pipe_end, 1, -1) > 0)
            on_readable(child);
    }
}

bool mailbox_child_is_working(const struct mailbox_child *child)
{
    return child->watch != NULL;
}

enum err mailbox_child_result(struct mailbox_child *child, struct task *task)
{
    const json_t *status = json_object_get(child->outcome, "status");
    const char *words = json_string_value(json_object_get(child->outcome, "words"));

    if (!json_is_integer(status))
        return fail(task, ERR_IO, "the process that did it died");
    json_object_update(child->job->result, json_object_get(child->outcome, "result"));
    if (json_integer_value(status) == ERR_OK)
        return ERR_OK;
    return fail(task, (enum err)json_integer_value(status), "%s", words == NULL ? "" : words);
}

void mailbox_child_free(struct mailbox_child **child_place)
{
    struct mailbox_child *child = *child_place;

    if (child == NULL)
        return;
    net_watch_free(&child->watch);
    fd_close(&child->fd); /* it finds out, and ends */
    /* One that still runs is waited for by nobody; the next child's end, or ours, clears it away.
     */
    (void)waitpid(child->pid, NULL, child->outcome != NULL ? 0 : WNOHANG);
    buf_free(&child->input);
    json_decref(child->outcome);
    mem_free(child_place);
}
