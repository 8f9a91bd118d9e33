/*
 * Every process of the table, with exactly its own rules: a file that it may not have, a socket, a
 * connection, another program, another process's memory. Each is tried in a child that entered the
 * sandbox; a role that is added to the table is covered without a line here.
 */
#include "cli/feed.h"
#include "cli/lookup.h"
#include "role/mailbox.h"
#include "role/nursery.h"
#include "role/roles.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "net/certificate.h"
#include "secret/secret.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};

/* Each gives true when it was refused. */

static bool reads_passwd(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0;
}

static bool reads_proc(void)
{
    return open("/proc/self/mem", O_RDONLY | O_CLOEXEC) < 0;
}

static bool writes_tmp(void)
{
    return open("/tmp/sealpost-sandbox-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0;
}

static bool lists_root(void)
{
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0;
}

static bool makes_folder(void)
{
    return mkdir("/tmp/sealpost-sandbox-test-folder", 0700) != 0;
}

static bool makes_inet_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static bool makes_unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static bool makes_raw_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) < 0;
}

static bool runs_program(void)
{
    char *const arguments[] = {(char *)"true", NULL};

    execv("/bin/true", arguments);
    return true;
}

static bool traces(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) != 0;
}

static bool signals_parent(void)
{
    return kill(getppid(), SIGUSR1) != 0;
}

static bool gains_privileges(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0; /* 1, or refused */
}

static bool dumps_core(void)
{
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) <= 0; /* 0, or refused */
}

static bool has_capabilities(void)
{
    return prctl(PR_CAPBSET_READ, 1 /* CAP_DAC_OVERRIDE */, 0, 0, 0) <= 0;
}

static bool maps_writable_code(void)
{
    return IS_SANITIZED || mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static bool binds_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0;
}

/* A rule that opens an attempt: then it must succeed. */
static bool is_opened(const struct sandbox_rules *rules, bool (*is_refused)(void))
{
    return (is_refused == makes_inet_socket && rules->may_connect) ||
           (is_refused == makes_unix_socket && rules->may_connect_local);
}

static const struct {
    const char *name;
    bool (*is_refused)(void);
} attempts[] = {
    {"read /etc/passwd", reads_passwd},
    {"read /proc/self/mem", reads_proc},
    {"write below /tmp", writes_tmp},
    {"list /", lists_root},
    {"make a folder", makes_folder},
    {"make a TCP socket", makes_inet_socket},
    {"make a local socket", makes_unix_socket},
    {"make a raw socket", makes_raw_socket},
    {"listen on a port", binds_port},
    {"run a program", runs_program},
    {"trace a process", traces},
    {"signal the parent", signals_parent},
    {"gain privileges", gains_privileges},
    {"dump core", dumps_core},
    {"hold a capability", has_capabilities},
    {"map memory to write and execute", maps_writable_code},
};

/* In a child that is confined by `rules`: its exit status. */
static int in_sandbox(const struct sandbox_rules *rules, int (*work)(const void *detail),
                      const void *detail)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct task task;

        task_init(&task, clock_now_ms());
        if (sandbox_enter(&task, rules, true, &quiet) != ERR_OK) {
            fprintf(stderr, "%s\n", task.words);
            _exit(100);
        }
        _exit(work(detail));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 101;
    return WEXITSTATUS(status);
}

static int attempt(const void *detail)
{
    return attempts[*(const size_t *)detail].is_refused() ? 0 : 1;
}

/* What the process must be able to do: use its own folders, memory, time. */
static int do_own_work(const void *detail)
{
    const struct sandbox_rules *rules = detail;
    struct task task;
    void *memory;
    int fd;

    for (size_t i = 0; i < rules->path_count; i++) {
        const struct sandbox_path *path = &rules->paths[i];
        char name[512];
        struct stat entry;

        if (stat(path->path, &entry) != 0)
            return 4;
        if (!S_ISDIR(entry.st_mode) || path->access == SANDBOX_READ)
            continue;
        snprintf(name, sizeof(name), "%s/try", path->path);
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) != 0 || unlink(name) != 0)
            return 5;
    }
    task_init(&task, clock_now_ms());
    if (memfd_from(&task, STR("y"), &fd) != ERR_OK)
        return 6;
    memory = mem_new(1 << 20, 1);
    mem_free(&memory);
    return 0;
}

/* How many of the attempts succeeded; each is named. */
static int try_rules(const char *name, const struct sandbox_rules *rules)
{
    int failures = 0, status;

    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        int expected = is_opened(rules, attempts[i].is_refused) ? 1 : 0;

        status = in_sandbox(rules, attempt, &i);
        if (status != expected) {
            fprintf(stderr, "%s may %s%s (status %d)\n", name, expected == 1 ? "not " : "",
                    attempts[i].name, status);
            failures++;
        }
    }
    status = in_sandbox(rules, do_own_work, rules);
    if (status != 0) {
        fprintf(stderr, "%s cannot do its own work (status %d)\n", name, status);
        failures++;
    }
    return failures;
}

/* ---- The processes ---- */

static char data[64];
static struct config config;
static struct buf config_text, certificate, key;

/* Becomes the role, then tries. */
static int try_role(const struct role *role)
{
    struct role_rehearsal given = {.config = buf_str(&config_text),
                                   .certificate = buf_str(&certificate),
                                   .key = buf_str(&key),
                                   .host_key = STR("0123456789abcdef0123456789abcdef")};
    struct sandbox_rules rules;
    struct task task;

    task_init(&task, clock_now_ms());
    if (role_rehearse(role, &task, &given, &rules) != ERR_OK) {
        fprintf(stderr, "%s: %s\n", wire_role_name(role->kind), task.words);
        return 102;
    }
    return try_rules(wire_role_name(role->kind), &rules);
}

static void every_role_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < roles_count; i++) {
        pid_t pid = fork();
        int status;

        if (pid == 0)
            _exit(try_role(roles[i]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static int open_folder(const void *detail)
{
    return open(detail, O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 ? 0 : 1;
}

static int open_to_read(const void *detail)
{
    return open(detail, O_RDONLY | O_CLOEXEC) < 0 ? 0 : 1;
}

static int open_to_write(const void *detail)
{
    return open(detail, O_WRONLY | O_CLOEXEC) < 0 ? 0 : 1;
}

static void the_mailbox_process(void **state)
{
    struct mailbox_start begin = {.id = id_random(), .config = &config, .log = &quiet};
    struct sandbox_rules rules = {.path_count = 0};
    struct id other = id_random();
    const char *other_folder;
    struct task task;

    (void)state;
    task_init(&task, 0);
    begin.mail_folder = mailbox_folder(&config, &task, "mail", &begin.id);
    begin.drop_folder = mailbox_folder(&config, &task, "drop", &begin.id);
    other_folder = mailbox_folder(&config, &task, "mail", &other);
    assert_int_equal(dir_make(&task, AT_FDCWD, begin.mail_folder, true), ERR_OK);
    assert_int_equal(dir_make(&task, AT_FDCWD, begin.drop_folder, true), ERR_OK);
    assert_int_equal(dir_make(&task, AT_FDCWD, other_folder, true), ERR_OK);
    mailbox_sandbox(&begin, &rules);
    assert_int_equal(try_rules("mailbox", &rules), 0);
    /* Its own folder opens, a neighbour's does not. */
    assert_int_equal(in_sandbox(&rules, open_folder, begin.mail_folder), 1);
    assert_int_equal(in_sandbox(&rules, open_folder, other_folder), 0);
    task_done(&task);
}

/* Who reads what a stranger wrote, for an import: nothing but it, and no writing there either. */
static void the_feed_of_an_import(void **state)
{
    static const struct cli_line line = {.secret_count = 0};
    struct cli_feed_source source = {.line = &line};
    const char *folder, *file, *other;
    struct sandbox_rules rules;
    struct task task;

    (void)state;
    task_init(&task, 0);
    folder = arena_printf(&task.arena, "%s/maildir", data).ptr;
    file = arena_printf(&task.arena, "%s/one", folder).ptr;
    other = arena_printf(&task.arena, "%s/other", data).ptr;
    assert_int_equal(dir_make(&task, AT_FDCWD, folder, false), ERR_OK);
    assert_int_equal(file_replace(&task, AT_FDCWD, file, STR("his")), ERR_OK);
    assert_int_equal(file_replace(&task, AT_FDCWD, other, STR("not his")), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        const char *const names[] = {file, folder, "imaps://someone@mail.example/"};
        source.name = names[i];
        source.fd = open(names[i], O_RDONLY | O_CLOEXEC);

        cli_feed_sandbox(&task, &source, &rules);
        assert_false(rules.may_connect || rules.may_connect_local);
        assert_int_equal(try_rules(names[i], &rules), 0);
        assert_int_equal(in_sandbox(&rules, open_to_read, file), i == 2 ? 0 : 1);
        assert_int_equal(in_sandbox(&rules, open_to_read, other), 0);
        assert_int_equal(in_sandbox(&rules, open_to_write, file), 0);
        fd_close(&source.fd);
    }
    /* Certificates in two folders of this user's. */
    assert_int_equal(setenv("SSL_CERT_DIR", arena_printf(&task.arena, "/nowhere:%s", folder).ptr, 1), 0);
    source.name = "imaps://someone@mail.example/";
    cli_feed_sandbox(&task, &source, &rules);
    assert_int_equal(in_sandbox(&rules, open_to_read, file), 1);
    assert_int_equal(in_sandbox(&rules, open_to_read, other), 0);
    assert_int_equal(unsetenv("SSL_CERT_DIR"), 0);
    source.name = "-";
    source.fd = memfd_create("mail", MFD_CLOEXEC); /* in no folder */
    cli_feed_sandbox(&task, &source, &rules);
    assert_int_equal(in_sandbox(&rules, open_to_read, file), 0);
    assert_int_equal(in_sandbox(&rules, open_to_read, rules.paths[0].path), 1);
    fd_close(&source.fd);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(rmdir(folder), 0);
    task_done(&task);
}

/* The C library's list of name servers is often a link out of /etc. */
static void looking_up_names(void **state)
{
    struct sandbox_rules rules = {.may_connect = true};
    const char *file, *link, *other;
    struct task task;

    (void)state;
    task_init(&task, 0);
    file = arena_printf(&task.arena, "%s/stub-resolv.conf", data).ptr;
    link = arena_printf(&task.arena, "%s/resolv.conf", data).ptr;
    other = arena_printf(&task.arena, "%s/other", data).ptr;
    assert_int_equal(file_replace(&task, AT_FDCWD, file, STR("nameserver 127.0.0.53\n")), ERR_OK);
    assert_int_equal(file_replace(&task, AT_FDCWD, other, STR("")), ERR_OK);
    assert_int_equal(symlink("stub-resolv.conf", link), 0);
    cli_lookup_sandbox(&task, link, &rules);
    assert_int_equal(in_sandbox(&rules, open_to_read, link), 1);
    assert_int_equal(in_sandbox(&rules, open_to_read, "/etc/nsswitch.conf"), 1);
    assert_int_equal(in_sandbox(&rules, open_to_write, link), 0);
    assert_int_equal(in_sandbox(&rules, open_to_read, other), 0);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(unlink(other), 0);
    task_done(&task);
}

static int raw_clone(const void *flags)
{
    long pid = syscall(SYS_clone, *(const unsigned long *)flags, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return pid < 0 ? 0 : 1;
}

static int fork_and_wait(const void *detail)
{
    pid_t pid = fork();
    int status = 1;

    (void)detail;
    if (pid == 0)
        _exit(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && setpriority(PRIO_PROCESS, 0, 5) == 0 &&
                      setpriority(PRIO_PROCESS, 0, -5) != 0 &&
                      setpriority(PRIO_PROCESS, (id_t)getppid(), 5) != 0
                  ? 7
                  : 8);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 1;
    return WEXITSTATUS(status) == 7 && prctl(PR_SET_PDEATHSIG, 0) != 0 ? 0 : 2;
}

/* A child like itself, and nothing else that clone can do: threads, namespaces, shared memory. */
static void who_may_fork_a_helper(void **state)
{
    static const struct sandbox_rules helper = {.may_fork_helper = true}, none = {0};
    static const unsigned long flags[] = {SIGCHLD, CLONE_VM | SIGCHLD, CLONE_NEWUSER | SIGCHLD,
                                          CLONE_PARENT | SIGCHLD, CLONE_FILES | SIGCHLD, 0};

    (void)state;
    assert_int_equal(in_sandbox(&helper, fork_and_wait, NULL), 0);
    assert_int_not_equal(in_sandbox(&none, fork_and_wait, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        assert_int_equal(in_sandbox(&helper, raw_clone, &flags[i]), 0);
}

/* Each rule opens its own families of sockets, and nothing else of the table. */
static void connecting_is_by_family(void **state)
{
    static const struct sandbox_rules internet = {.may_connect = true},
                                      local = {.may_connect_local = true};

    (void)state;
    assert_int_equal(try_rules("who may connect", &internet), 0);
    assert_int_equal(try_rules("who may connect locally", &local), 0);
}

static int setup(void **state)
{
    static const char *const folders[] = {"run", "account", "mail", "drop", "queue", "archive", "tls"};
    struct task task;

    (void)state;
    secret_init();
    buf_init(&config_text, SIZE_MAX);
    buf_init(&certificate, SIZE_MAX);
    buf_init(&key, SIZE_MAX);
    task_init(&task, clock_now_ms());
    scratch_folder(data, sizeof(data), "sealpost-sandbox");
    buf_putf(&config_text, "data = \"%s\"", data);
    if (config_parse(&task, "test", buf_str(&config_text), NULL, &config) != ERR_OK ||
        net_certificate_make(&task, STR("localhost"), clock_now_ms(), &certificate, &key) != ERR_OK)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        if (dir_make(&task, AT_FDCWD, config_path(&config, &task, folders[i]), true) != ERR_OK)
            return -1;
    }
    task_done(&task);
    signal(SIGUSR1, SIG_IGN);
    return 0;
}

static int teardown(void **state)
{
    char command[80];

    (void)state;
    config_done(&config);
    buf_free(&config_text);
    buf_free(&certificate);
    buf_free(&key);
    snprintf(command, sizeof(command), "rm -rf %s", data);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_of_the_table),
        cmocka_unit_test(the_mailbox_process),
        cmocka_unit_test(the_feed_of_an_import),
        cmocka_unit_test(looking_up_names),
        cmocka_unit_test(connecting_is_by_family),
        cmocka_unit_test(who_may_fork_a_helper),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
