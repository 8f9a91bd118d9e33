/* The lock of a drop folder, between two processes. */
#include "dropbox/lock.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A child that has the lock and says so; it lets go when the pipe is closed. */
static pid_t hold(struct task *task, const char *folder, int *out_pipe)
{
    int ready[2], end[2];
    char byte = 'x';
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    child = fork();
    if (child == 0) {
        int fd = -1;

        (void)close(end[1]);
        if (dropbox_lock_take(task, folder, 0, &fd) != ERR_OK || write(ready[1], &byte, 1) != 1)
            _exit(1);
        (void)!read(end[0], &byte, 1);
        fd_close(&fd);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    (void)close(end[0]);
    *out_pipe = end[1];
    return child;
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    char folder[64];
    struct task task;
    int pipe_fd, status, fd = -1, other = -1;
    int64_t before_ms;
    pid_t child;

    scratch_folder(folder, sizeof(folder), "lock-test");
    task_init(&task, 0);
    child = hold(&task, folder, &pipe_fd);
    assert_int_equal(dropbox_lock_take(&task, folder, 0, &fd), ERR_BUSY);
    before_ms = clock_monotonic_ms();
    assert_int_equal(dropbox_lock_take(&task, folder, 60, &fd), ERR_BUSY);
    assert_true(clock_monotonic_ms() - before_ms >= 60);
    assert_int_equal(fd, -1);
    (void)close(pipe_fd); /* now it lets go, while we wait */
    assert_int_equal(dropbox_lock_take(&task, folder, 20000, &fd), ERR_OK);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(dropbox_lock_take(&task, folder, 0, &other), ERR_BUSY);
    fd_close(&fd);

    child = hold(&task, folder, &pipe_fd); /* the end of a process is the end of its lock */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(pipe_fd);
    assert_int_equal(dropbox_lock_take(&task, folder, 0, &fd), ERR_OK);
    fd_close(&fd);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(dropbox_lock_take(&task, folder, 0, &fd), ERR_NOT_FOUND);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_at_a_time)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
