#include "base/helper.h"

#include "base/file.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum err helper_start(struct task *task, void (*work)(void *owner, int channel), void *owner,
                      struct helper *out)
{
    pid_t parent = getpid(), pid;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(task, ERR_IO, "helper: no channel: %s", strerror(errno));
    pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
            _exit(EXIT_FAILURE);
        (void)close(ends[0]);
        work(owner, ends[1]);
        _exit(EXIT_SUCCESS);
    }
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return fail(task, ERR_IO, "helper: fork: %s", strerror(errno));
    }
    *out = (struct helper){pid, ends[0]};
    return ERR_OK;
}

void helper_end(struct helper *helper)
{
    if (helper->pid <= 0)
        return;
    fd_close(&helper->channel);
    while (waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    helper->pid = 0;
}
