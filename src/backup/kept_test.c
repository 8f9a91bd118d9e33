/* Which files a restore has left, and that just those go, and not before their time. */
#include "backup/kept.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MAILBOX "0123456789abcdef01234567"
#define OTHER "76543210fedcba9876543210"

static struct id mailbox_id(void)
{
    struct id id;

    assert_true(id_parse(STR(MAILBOX), &id));
    return id;
}

static void names(void **state)
{
    static const struct {
        const char *name;
        bool is_one;
    } rows[] = {
        {MAILBOX ".before-2026-11-22T050001.250Z", true},
        {MAILBOX ".before-2026-11-22T050001.250Z-wal", true},
        {MAILBOX ".before-2026-11-22T050001.250Z-shm", true},
        {MAILBOX ".before-2026-11-22T050001.250Z-journal", true},
        {MAILBOX ".before-2026-11-22T050001.250Z-old", false}, /* somebody wants to keep it */
        {MAILBOX ".before-2026-11-22T050001.250Z.keep", false},
        {"keep-" MAILBOX ".before-2026-11-22T050001.250Z", false},
        {OTHER ".before-2026-11-22T050001.250Z", false},
        {MAILBOX ".before-2026-11-22T05:00:01.250Z", false},
        {MAILBOX ".before-2026-13-22T050001.250Z", false},
        {MAILBOX ".before-", false},
        {MAILBOX ".sqlite", false},
        {MAILBOX ".sqlite-wal", false},
        {MAILBOX ".restored", false},
        {MAILBOX, false},
        {"", false},
    };
    struct id id = mailbox_id();
    int64_t expected, ms;

    (void)state;
    assert_true(clock_parse_iso(STR("2026-11-22T05:00:01.250Z"), &expected));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ms = 0;
        if (kept_parse(str_from_c(rows[i].name), &id, &ms) != rows[i].is_one)
            fail_msg("%s", rows[i].name);
        assert_true(!rows[i].is_one || ms == expected);
    }
}

static void what_is_made_is_read(void **state)
{
    struct id id = mailbox_id();
    struct task task;

    (void)state;
    task_init(&task, 0);
    for (int64_t ms = 0; ms < INT64_C(4000000000000); ms += INT64_C(98765432123)) {
        int64_t found = -1;

        assert_true(kept_parse(str_from_c(kept_name(&task, &id, ms)), &id, &found));
        assert_int_equal(found, ms);
    }
    task_done(&task);
}

static void make(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static bool is_there(int dir_fd, const char *name)
{
    return faccessat(dir_fd, name, F_OK, 0) == 0;
}

static void the_old_ones_go(void **state)
{
    char folder[100];
    static const char *const old[] = {MAILBOX ".before-2026-11-22T050000.000Z",
                                      MAILBOX ".before-2026-11-22T050000.000Z-wal",
                                      MAILBOX ".before-2025-01-01T000000.000Z"};
    static const char *const others[] = {MAILBOX ".before-2026-11-22T050000.001Z",
                                         MAILBOX ".sqlite", MAILBOX ".sqlite-wal",
                                         OTHER ".before-2025-01-01T000000.000Z"};
    struct id id = mailbox_id();
    int64_t until_ms;
    size_t removed = 9;
    struct task task;
    int dir_fd;

    (void)state;
    task_init(&task, 0);
    assert_true(clock_parse_iso(STR("2026-11-22T05:00:00.000Z"), &until_ms));
    scratch_folder(folder, sizeof(folder), "sealpost-kept");
    dir_fd = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(kept_remove(&task, dir_fd, "none", &id, until_ms, &removed), ERR_OK);
    assert_int_equal(removed, 0);
    for (size_t i = 0; i < ARRAY_LEN(old); i++)
        make(dir_fd, old[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        make(dir_fd, others[i]);
    /* A folder of such a name is none of ours: said, and the rest goes all the same. */
    assert_int_equal(mkdirat(dir_fd, MAILBOX ".before-2024-01-01T000000.000Z", 0700), 0);
    assert_int_equal(kept_remove(&task, AT_FDCWD, folder, &id, until_ms, &removed), ERR_IO);
    assert_int_equal(removed, ARRAY_LEN(old));
    assert_int_equal(unlinkat(dir_fd, MAILBOX ".before-2024-01-01T000000.000Z", AT_REMOVEDIR), 0);
    task_forgive(&task);
    for (size_t i = 0; i < ARRAY_LEN(old); i++)
        assert_false(is_there(dir_fd, old[i]));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_true(is_there(dir_fd, others[i]));
    assert_int_equal(kept_remove(&task, AT_FDCWD, folder, &id, until_ms, &removed), ERR_OK);
    assert_int_equal(removed, 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(unlinkat(dir_fd, others[i], 0), 0);
    close(dir_fd);
    assert_int_equal(rmdir(folder), 0);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(what_is_made_is_read),
        cmocka_unit_test(the_old_ones_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
