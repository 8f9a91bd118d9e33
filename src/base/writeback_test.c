/* Helpers, and one that sees to the writing. */
#include "base/writeback.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void add_one(void *owner, int channel)
{
    char word;

    while (recv(channel, &word, 1, 0) == 1) {
        word = (char)(word + *(const int *)owner);
        assert_int_equal(send(channel, &word, 1, MSG_NOSIGNAL), 1);
    }
}

static void test_helper(void **state)
{
    struct helper helper = {0, -1};
    int one = 1;
    struct task task;
    char word = 'a';

    (void)state;
    helper_end(&helper);
    task_init(&task, 0);
    assert_int_equal(helper_start(&task, add_one, &one, &helper), ERR_OK);
    assert_int_equal(send(helper.channel, &word, 1, 0), 1);
    assert_int_equal(recv(helper.channel, &word, 1, 0), 1);
    assert_int_equal(word, 'b');
    helper_end(&helper);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    task_done(&task);
}

enum { PIECES = 3 * WRITEBACK_PIECES_AHEAD };

static int open_file(void)
{
    char path[] = "/tmp/writeback-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* All pieces are told, and all are taken in the end. */
static void test_beside(void **state)
{
    struct writeback_beside beside;
    int fd = open_file(), left;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(writeback_beside_start(&beside, &task, fd), ERR_OK);
    writeback_beside_go_on(&beside, WRITEBACK_PIECE_BYTES - 1);
    assert_int_equal(beside.told_bytes, 0);
    for (uint64_t i = 1; i <= PIECES; i++) {
        assert_int_equal(ftruncate(fd, (off_t)(i * WRITEBACK_PIECE_BYTES)), 0);
        writeback_beside_go_on(&beside, i * WRITEBACK_PIECE_BYTES + 5);
        assert_int_equal(beside.told_bytes, i * WRITEBACK_PIECE_BYTES);
        assert_in_range(beside.untaken, 1, WRITEBACK_PIECES_AHEAD);
    }
    for (left = (int)beside.untaken; left > 0; left--) {
        char word;

        assert_int_equal(recv(beside.helper.channel, &word, 1, 0), 1);
    }
    writeback_beside_finish(&beside);
    writeback_beside_done(&beside);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    fd_close(&fd);
    task_done(&task);
}

/* Whoever writes does not get further ahead of one that stands still. */
static void test_beside_is_slow(void **state)
{
    const uint64_t ahead_bytes = (uint64_t)WRITEBACK_PIECES_AHEAD * WRITEBACK_PIECE_BYTES;
    struct writeback_beside beside;
    int fd = open_file();
    struct task task;
    pid_t waker;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(writeback_beside_start(&beside, &task, fd), ERR_OK);
    assert_int_equal(kill(beside.helper.pid, SIGSTOP), 0);
    writeback_beside_go_on(&beside, ahead_bytes);
    assert_int_equal(beside.untaken, WRITEBACK_PIECES_AHEAD);
    waker = fork();
    if (waker == 0) {
        usleep(100 * 1000);
        _exit(kill(beside.helper.pid, SIGCONT));
    }
    writeback_beside_go_on(&beside, ahead_bytes + WRITEBACK_PIECE_BYTES);
    assert_in_range(beside.untaken, 1, WRITEBACK_PIECES_AHEAD);
    assert_int_equal(waitpid(waker, NULL, 0), waker);
    writeback_beside_done(&beside);
    fd_close(&fd);
    task_done(&task);
}

/* Whoever writes goes on without it. */
static void test_beside_dies(void **state)
{
    struct writeback_beside beside;
    int fd = open_file();
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(writeback_beside_start(&beside, &task, fd), ERR_OK);
    assert_int_equal(kill(beside.helper.pid, SIGSTOP), 0);
    writeback_beside_go_on(&beside, (uint64_t)WRITEBACK_PIECES_AHEAD * WRITEBACK_PIECE_BYTES);
    assert_int_equal(beside.untaken, WRITEBACK_PIECES_AHEAD);
    assert_int_equal(kill(beside.helper.pid, SIGKILL), 0);
    writeback_beside_go_on(&beside, (uint64_t)PIECES * WRITEBACK_PIECE_BYTES);
    writeback_beside_finish(&beside);
    writeback_beside_done(&beside);
    fd_close(&fd);
    task_done(&task);
}

static unsigned failing; /* the disk fails to write the piece that is waited for then, from 1; 0: none */

/* In the C library's place: a disk that fails is told here, and the kernel tells fsync no more. */
int sync_file_range(int fd, off_t from, off_t len, unsigned flags)
{
    if (flags == SYNC_FILE_RANGE_WAIT_BEFORE && failing > 0 && --failing == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_sync_file_range, fd, from, len, flags);
}

static int write_pieces(unsigned count)
{
    struct writeback writeback;
    int fd = open_file(), done;

    writeback_init(&writeback, fd);
    for (uint64_t i = 1; i <= count; i++) {
        assert_int_equal(ftruncate(fd, (off_t)(i * WRITEBACK_PIECE_BYTES)), 0);
        writeback_go_on(&writeback, i * WRITEBACK_PIECE_BYTES);
    }
    done = writeback_sync(&writeback);
    close(fd);
    return done;
}

/* A piece that did not come to the disk is told by the sync, however many did behind it. */
static void test_failure(void **state)
{
    (void)state;
    assert_int_equal(write_pieces(5), 0);
    failing = 2;
    assert_int_equal(write_pieces(5), -1);
    assert_int_equal(errno, EIO);
    assert_int_equal(failing, 0);
    assert_int_equal(write_pieces(5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_helper),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_beside_is_slow),
        cmocka_unit_test(test_beside_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
