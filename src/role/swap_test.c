/* The warning about swap, in a process with a small limit of locked memory. */
#include "role/swap.h"

#include "base/file.h"
#include "secret/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int run_with_little_memory(int fd)
{
    struct log log = {.level = LOG_LEVEL_WARNING, .fd = fd, .role = "keeper"};
    struct rlimit limit = {128 * 1024, 128 * 1024};
    bool has_warned = false;

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 2;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 3; /* root has no such limit */
    if (mlock((void *)((uintptr_t)&limit & ~(uintptr_t)4095), 1 << 18) == 0)
        return 77; /* AddressSanitizer makes nothing of mlock */
    swap_warn_once(&log, &has_warned);
    if (has_warned)
        return 4;
    for (int i = 0; i < 20; i++)
        memset(secret_bytes(secret_new(SECRET_LEN_MAX)), 1, SECRET_LEN_MAX);
    for (int i = 0; i < 3; i++)
        swap_warn_once(&log, &has_warned);
    return has_warned ? 0 : 1;
}

static void test_the_operator_is_told_once(void **state)
{
    (void)state;
    struct buf words;
    struct task task;
    int ends[2], status;
    pid_t child;

    task_init(&task, 0);
    buf_init(&words, SIZE_MAX);
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0)
        _exit(run_with_little_memory(ends[1]));
    (void)close(ends[1]);
    assert_int_equal(fd_read_all(&task, ends[0], 100000, &words), ERR_OK);
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 77) {
        ptrdiff_t at = str_find(buf_str(&words), STR("RLIMIT_MEMLOCK"));

        assert_int_equal(WEXITSTATUS(status), 0);
        assert_true(at > 0);
        assert_true(str_find(str_from(buf_str(&words), (size_t)at + 1), STR("RLIMIT_MEMLOCK")) < 0);
    }
    buf_free(&words);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_operator_is_told_once)};

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
