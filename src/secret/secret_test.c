/* Guarded memory: what fits, what is wiped, what a fork and an overflow do. */
#include "secret/pool.h"

#include "base/memory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_every_length_holds_its_bytes(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 32, 40, 41, 48, 72, 73, 4000, 16361, 16384, SECRET_LEN_MAX};

    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct secret *secret = secret_new(lens[i]), *copy;

        assert_int_equal(secret_len(secret), lens[i]);
        for (size_t at = 0; at < lens[i]; at++)
            assert_int_equal(secret_bytes(secret)[at], 0);
        memset(secret_bytes(secret), 0x5a, lens[i]);
        copy = secret_copy(secret_str(secret));
        assert_ptr_not_equal(copy, secret);
        assert_true(secret_equal(secret_str(copy), secret_str(secret)));
        secret_bytes(copy)[lens[i] - 1] = 0;
        assert_false(secret_equal(secret_str(copy), secret_str(secret)));
        secret_free(&copy);
        secret_free(&secret);
        assert_null(secret);
        secret_free(&secret);
    }
    assert_false(secret_equal(STR("a"), STR("ab")));
    assert_true(secret_equal(STR(""), STR("")));
}

static void test_freed_bytes_are_wiped_and_used_again(void **state)
{
    (void)state;
    struct secret *first = secret_copy(STR("a secret of some length")), *keeper = secret_new(23);
    const unsigned char *at = secret_bytes(first);
    struct secret *second;

    secret_free(&first);
    for (size_t i = 0; i < 23; i++)
        assert_int_equal(at[i], 0); /* the region stays, `keeper` lies in it */
    second = secret_new(23);
    assert_ptr_equal(secret_bytes(second), at);
    secret_free(&second);
    secret_free(&keeper);
}

/* A keeper with many live sessions stays under the usual lock limit of 8 MiB. */
static void test_many_small_secrets_are_cheap(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    struct secret **secrets = NEW_ARRAY(struct secret *, COUNT);

    for (uint32_t i = 0; i < COUNT; i++)
        secrets[i] = secret_copy(str_make(&i, sizeof(i)));
    assert_int_not_equal(secret_memory(), SECRET_MEMORY_UNLOCKED);
    for (uint32_t i = 0; i < COUNT; i += 2)
        secret_free(&secrets[i]);
    for (uint32_t i = 0; i < COUNT; i += 2)
        secrets[i] = secret_copy(str_make(&i, sizeof(i)));
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_memory_equal(secret_str(secrets[i]).ptr, &i, sizeof(i));
        secret_free(&secrets[i]);
    }
    mem_free(&secrets);
}

/* Past the lock limit secrets are still had, and the operator can be told. */
static int run_over_the_lock_limit(void)
{
    struct rlimit limit = {128 * 1024, 128 * 1024};

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 2;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 3; /* root has no such limit */
    if (mlock((void *)((uintptr_t)&limit & ~(uintptr_t)4095), 1 << 18) == 0)
        return 0; /* AddressSanitizer makes nothing of mlock */
    for (int i = 0; i < 20; i++)
        memset(secret_bytes(secret_new(SECRET_LEN_MAX)), 1, SECRET_LEN_MAX);
    return secret_memory() == SECRET_MEMORY_UNLOCKED ? 0 : 1;
}

static struct secret *of_the_parent;

static int run_use_after_fork(void)
{
    return secret_str(of_the_parent).ptr[0];
}

static int run_free_after_fork(void)
{
    struct secret *mine = secret_copy(STR("my own key"));

    secret_free(&of_the_parent);
    return str_equal(secret_str(mine), STR("my own key")) ? 0 : 1;
}

/* A copy of its own: what either changes, the other does not see. */
static int run_inherited(void)
{
    if (!str_equal(secret_str(of_the_parent), STR("key of the parent")))
        return 1;
    memset(secret_bytes(of_the_parent), 'x', 17);
    for (int i = 0; i < 2000; i++)
        (void)secret_copy(STR("key of the child"));
    secret_free(&of_the_parent);
    return 0;
}

static int run_overflow(void)
{
    struct secret *secret = secret_new(17);

    secret_bytes(secret)[17] ^= 1; /* whatever is there to notice it */
    secret_free(&secret);
    return 0;
}

static int run_guard(void)
{
    /* Its slot ends less than a page behind it, and the page behind the slot is no memory. (Two pages
     * on may be somebody's: that depends on where the kernel put the next mapping.) */
    struct secret *secret = secret_new(SECRET_LEN_MAX);

    ((volatile unsigned char *)secret_bytes(secret))[SECRET_LEN_MAX + 4096] = 1;
    return 0;
}

static void test_children(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*run)(void);
        bool is_inherited;
        bool is_killed;
    } rows[] = {
        {"using a secret of the parent aborts", run_use_after_fork, false, true},
        {"freeing one is harmless", run_free_after_fork, false, false},
        {"a child may be given copies", run_inherited, true, false},
        {"an overflow is noticed", run_overflow, false, true},
        {"a guard page stops a long one", run_guard, false, true},
        {"past the lock limit", run_over_the_lock_limit, false, false},
    };

    of_the_parent = secret_copy(STR("key of the parent"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status;
        pid_t child;

        secret_set_inherited(rows[i].is_inherited);
        child = fork();
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            signal(SIGSEGV, SIG_DFL);
            (void)!freopen("/dev/null", "w", stderr);
            _exit(rows[i].run());
        }
        secret_set_inherited(false);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (rows[i].is_killed ? !WIFSIGNALED(status) && WEXITSTATUS(status) == 0
                              : !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("%s: wait status %x", rows[i].name, (unsigned)status);
        assert_true(str_equal(secret_str(of_the_parent), STR("key of the parent")));
    }
    secret_free(&of_the_parent);
}

static void test_passwords(void **state)
{
    (void)state;
    size_t counts[256] = {0};

    for (int i = 0; i < 2000; i++) {
        struct secret *password = secret_password();
        struct str text = secret_str(password);

        assert_int_equal(text.len, 32);
        for (size_t at = 0; at < text.len; at++)
            counts[(unsigned char)text.ptr[at]]++;
        secret_free(&password);
    }
    for (int byte = 0; byte < 256; byte++) {
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                         (byte >= '0' && byte <= '9');

        /* 64,000 letters over 62: 1,032 each, with a deviation of 32. */
        assert_true(is_letter ? counts[byte] > 800 && counts[byte] < 1270 : counts[byte] == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_holds_its_bytes),
        cmocka_unit_test(test_freed_bytes_are_wiped_and_used_again),
        cmocka_unit_test(test_many_small_secrets_are_cheap),
        cmocka_unit_test(test_children),
        cmocka_unit_test(test_passwords),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
