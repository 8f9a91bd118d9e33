/* A file that a command makes has its name when it is whole, and not before. */
#include "cli/files.h"

#include "base/file.h"
#include "base/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct admin_argument output = {"file", ADMIN_OUTPUT, false, true, ""};
static const struct admin_argument input = {"from", ADMIN_INPUT, true, false, ""};

struct fixture {
    char folder[64], name[96], part[104];
    struct cli_line line;
    struct cli_files files;
    struct task task;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    scratch_folder(f->folder, sizeof(f->folder), "cli-files");
    (void)snprintf(f->name, sizeof(f->name), "%s/out", f->folder);
    (void)snprintf(f->part, sizeof(f->part), "%s.part", f->name);
    f->line.files[0] = (struct cli_file){&output, f->name};
    f->line.file_count = 1;
    task_init(&f->task, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    cli_files_done(&f->files);
    (void)unlink(f->name);
    (void)unlink(f->part);
    assert_int_equal(rmdir(f->folder), 0);
    task_done(&f->task);
    free(f);
    return 0;
}

static void put(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static void expect(const char *name, const char *text)
{
    char found[32] = "";
    int fd = open(name, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0 && read(fd, found, sizeof(found) - 1) >= 0);
    assert_string_equal(found, text);
    (void)close(fd);
}

static bool is_there(const char *name)
{
    struct stat status;

    return lstat(name, &status) == 0;
}

static void test_made(void **state)
{
    struct fixture *f = *state;
    struct stat status;

    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_OK);
    assert_int_equal(f->files.count, 1);
    assert_int_equal(write(f->files.fds[0], "whole", 5), 5);
    assert_true(is_there(f->part) && !is_there(f->name));
    assert_int_equal(cli_files_keep(&f->task, &f->line, &f->files), ERR_OK);
    cli_files_done(&f->files);
    assert_false(is_there(f->part));
    expect(f->name, "whole");
    assert_int_equal(stat(f->name, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_failed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_OK);
    assert_int_equal(write(f->files.fds[0], "half", 4), 4);
    cli_files_done(&f->files);
    assert_false(is_there(f->part) || is_there(f->name));
}

/* Nothing that is there is touched without --force, nor where a link points to. */
static void test_what_is_there(void **state)
{
    struct fixture *f = *state;

    put(f->name, "old");
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_EXISTS);
    cli_files_done(&f->files);
    expect(f->name, "old");
    assert_int_equal(unlink(f->name), 0);
    put(f->part, "another's");
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_EXISTS);
    cli_files_done(&f->files);
    expect(f->part, "another's");
    assert_int_equal(unlink(f->part), 0);
    assert_int_equal(symlink("elsewhere", f->name), 0);
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_EXISTS);
    assert_int_equal(unlink(f->name), 0);
    /* It came in the meantime. */
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_OK);
    put(f->name, "faster");
    assert_int_equal(cli_files_keep(&f->task, &f->line, &f->files), ERR_EXISTS);
    cli_files_done(&f->files);
    expect(f->name, "faster");
}

static void test_forced(void **state)
{
    struct fixture *f = *state;

    put(f->name, "old");
    put(f->part, "left");
    f->line.is_forced = true;
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_OK);
    expect(f->name, "old");
    assert_int_equal(write(f->files.fds[0], "new", 3), 3);
    assert_int_equal(cli_files_keep(&f->task, &f->line, &f->files), ERR_OK);
    expect(f->name, "new");
}

/* Only a file is replaced: not a device or pipe, nor the link to where the file should be. */
static void test_forced_on_what_is_no_file(void **state)
{
    struct fixture *f = *state;

    f->line.is_forced = true;
    assert_int_equal(mkfifo(f->name, 0600), 0);
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_EXISTS);
    cli_files_done(&f->files);
    assert_int_equal(unlink(f->name), 0);
    assert_int_equal(symlink("/dev/null", f->name), 0);
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_EXISTS);
    cli_files_done(&f->files);
    assert_true(is_there(f->name) && !is_there(f->part));
}

static void test_standard_streams_and_inputs(void **state)
{
    struct fixture *f = *state;

    f->line.files[0].name = "-";
    f->line.files[1] = (struct cli_file){&input, f->name};
    f->line.file_count = 2;
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_NOT_FOUND);
    cli_files_done(&f->files);
    put(f->name, "read");
    assert_int_equal(cli_files_open(&f->task, &f->line, &f->files), ERR_OK);
    assert_true(f->files.has_taken_output && f->files.count == 2);
    assert_int_equal(write(f->files.fds[1], "x", 1), -1); /* it is for reading */
    assert_int_equal(cli_files_keep(&f->task, &f->line, &f->files), ERR_OK);
    cli_files_done(&f->files);
    expect(f->name, "read");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_made),
        TEST(test_failed),
        TEST(test_what_is_there),
        TEST(test_forced),
        TEST(test_forced_on_what_is_no_file),
        TEST(test_standard_streams_and_inputs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
