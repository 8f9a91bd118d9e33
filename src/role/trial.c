#include "role/trial.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "role/roles.h"
#include "wire/channel.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPLY_SECONDS = 30, GRACE_MS = 5000 };

_Noreturn static void give_up(const char *what, const struct task *task)
{
    fprintf(stderr, "%s %s\n", what, task == NULL ? "" : task->words);
    abort();
}

void role_trial_send(int fd, enum wire_type type, uint64_t tag, const void *body, const int *fds,
                     size_t fd_count)
{
    struct task task;

    task_init(&task, clock_now_ms());
    if (wire_send_blocking(&task, fd, WIRE_ROLE_MASTER, type, tag, body, fds, fd_count) != ERR_OK)
        give_up("a message that cannot be sent: the process is gone, or it is too large", NULL);
    task_done(&task);
}

void role_trial_bound_waits(int fd)
{
    struct timeval wait = {.tv_sec = REPLY_SECONDS};

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0)
        give_up("SO_RCVTIMEO", NULL);
}

/* Two ends of a channel; waits are bounded in ours, the first. */
static void make_channel(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        give_up("socketpair", NULL);
    role_trial_bound_waits(ends[0]);
}

void role_trial_fork(struct role_trial *trial, const struct role *role)
{
    int ends[2];

    make_channel(ends);
    *trial = (struct role_trial){.role = role, .master = ends[0], .pid = fork()};
    if (trial->pid < 0)
        give_up("fork", NULL);
    if (trial->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        (void)close(ends[0]);
        role_run(role, ends[1], 0);
    }
    (void)close(ends[1]);
}

void role_trial_configure(const struct role_trial *trial, const struct str *texts, size_t count)
{
    struct wire_configure body = {.descriptor_count = count};
    struct task task;
    int fds[1 + ROLE_FILES_MAX];

    assert(count <= ARRAY_LEN(fds));
    task_init(&task, clock_now_ms());
    for (size_t i = 0; i < count; i++) {
        if (memfd_from(&task, texts[i], &fds[i]) != ERR_OK)
            give_up("memfd", &task);
    }
    role_trial_send(trial->master, WIRE_CONFIGURE, 0, &body, fds, count);
    for (size_t i = 0; i < count; i++)
        fd_close(&fds[i]);
    task_done(&task);
}

int role_trial_connect(const struct role_trial *trial, enum wire_role peer)
{
    struct wire_peer body = {.role = peer};
    int ends[2];

    make_channel(ends);
    role_trial_send(trial->master, WIRE_PEER, 0, &body, &ends[1], 1);
    (void)close(ends[1]);
    return ends[0];
}

void role_trial_start(const struct role_trial *trial)
{
    struct wire_start body = {.index = 0};
    CLEANUP(buf_free) struct buf storage;
    struct wire_message message;
    struct task task;

    role_trial_send(trial->master, WIRE_START, 0, &body, NULL, 0);
    task_init(&task, clock_now_ms());
    buf_init(&storage, SIZE_MAX);
    if (wire_receive_blocking(&task, trial->master, WIRE_ROLE_MASTER, trial->role->kind, &storage,
                              &message) != ERR_OK ||
        message.type != WIRE_READY)
        give_up("the process does not start:", &task);
    task_done(&task);
}

void role_trial_ask_stop(const struct role_trial *trial)
{
    struct wire_stop body = {.grace_ms = GRACE_MS};

    role_trial_send(trial->master, WIRE_STOP, 0, &body, NULL, 0);
}

int role_trial_wait(struct role_trial *trial)
{
    int status;

    if (waitpid(trial->pid, &status, 0) != trial->pid)
        give_up("waitpid", NULL);
    fd_close(&trial->master);
    return status;
}
