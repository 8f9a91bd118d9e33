/*
 * Master with real processes: the roles here are small ones of the test's own, which write to the
 * log what happens to them. The test reads the log and sends signals.
 */
#include "role/master.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/scratch.h"
#include "net/certificate.h"
#include "role/premises.h"
#include "role/roles.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- The roles ---- (cmocka has a macro named fail: ours stands in brackets) */

static enum err setup(struct role_process *process, struct task *task)
{
    const char *broken = getenv("TEST_BROKEN_ROLE");

    /* Each gets what it is to get, and nothing else. */
    if ((role_key_pem(process).len > 0) != (strcmp(role_log(process)->role, "gate") == 0 ||
                                           strcmp(role_log(process)->role, "smtp") == 0))
        return (fail)(task, ERR_INVALID, "wrong key");
    if ((role_host_key(process).len == 32) != (strcmp(role_log(process)->role, "keeper") == 0))
        return (fail)(task, ERR_INVALID, "wrong host key");
    if (broken != NULL && strcmp(broken, role_log(process)->role) == 0)
        return (fail)(task, ERR_IO, "broken on purpose");
    return ERR_OK;
}

static enum err start(struct role_process *process, struct task *task)
{
    (void)task;
    log_info(role_log(process), "listeners=%zu index=%u", role_listener_count(process),
             role_index(process));
    return ERR_OK;
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    log_info(role_log(process), "found %s", wire_role_name(wire_channel_peer(channel)));
}

static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    log_info(role_log(process), "lost %s", wire_role_name(wire_channel_peer(channel)));
}

static void on_reload(struct role_process *process)
{
    log_info(role_log(process), "reloads hops=%d", (int)role_config(process)->hops_max);
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    (void)grace_ms;
    log_info(role_log(process), "stops");
    net_loop_stop(role_loop(process));
}

/* A process of its own, as a mailbox's copier is one, that ends a while after it. */
static void on_stop_with_helper(struct role_process *process, int64_t grace_ms)
{
    pid_t pid = fork();

    if (pid == 0) {
        usleep(700 * 1000);
        log_info(role_log(process), "helper ends");
        _exit(EXIT_SUCCESS);
    }
    log_info(role_log(process), "helper %s", pid > 0 ? "begins" : "could not be made");
    on_stop(process, grace_ms);
}

static void may_fork(struct role_process *process, struct sandbox_rules *rules)
{
    (void)process;
    rules->may_fork = true;
}

#define TEST_ROLE(KIND)                                                                            \
    {                                                                                              \
        .kind = WIRE_ROLE_##KIND, .setup = setup, .start = start, .on_peer = on_peer,              \
        .on_peer_lost = on_peer_lost, .on_reload = on_reload, .on_stop = on_stop                   \
    }

static const struct role keeper = TEST_ROLE(KEEPER), sealer = TEST_ROLE(SEALER),
                         store = TEST_ROLE(STORE), smtp = TEST_ROLE(SMTP), gate = TEST_ROLE(GATE);

static const struct role nursery = {.kind = WIRE_ROLE_NURSERY,
                                    .setup = setup,
                                    .sandbox = may_fork,
                                    .start = start,
                                    .on_peer = on_peer,
                                    .on_peer_lost = on_peer_lost,
                                    .on_reload = on_reload,
                                    .on_stop = on_stop_with_helper};

static size_t two(const struct config *config, size_t cores)
{
    (void)config;
    (void)cores;
    return 2;
}

static const struct role examiner = {.kind = WIRE_ROLE_EXAMINER,
                                     .on_peer = on_peer,
                                     .on_stop = on_stop,
                                     .process_count = two,
                                     .is_expendable = true};

const struct role *const roles[] = {&examiner, &keeper, &sealer, &nursery, &store, &smtp, &gate};
const size_t roles_count = ARRAY_LEN(roles);

/* ---- The service under test ---- */

struct service {
    char folder[64];
    char config[96];
    unsigned imap_port, mx_port;
    pid_t pid;
    int log_fd;
    struct buf log; /* what was read of it and not yet looked for */
};

/* One that nobody listens on just now: several runs of this test may go on at once. */
static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void write_config(struct service *service, const char *more)
{
    FILE *file = fopen(service->config, "w");

    assert_non_null(file);
    fprintf(file,
            "data = \"%s\"\nimap = {\"127.0.0.1:%u\"}\nmx = {\"127.0.0.1:%u\"}\n%s\n",
            service->folder, service->imap_port, service->mx_port, more);
    fclose(file);
}

static void service_init(struct service *service)
{
    struct config config;
    struct buf text;
    struct task task;

    memset(service, 0, sizeof(*service));
    service->imap_port = free_port();
    service->mx_port = free_port();
    scratch_folder(service->folder, sizeof(service->folder), "sealpost-master");
    snprintf(service->config, sizeof(service->config), "%s/conf", service->folder);
    write_config(service, "log_level = debug");
    task_init(&task, clock_now_ms());
    buf_init(&text, SIZE_MAX);
    assert_int_equal(file_read(&task, AT_FDCWD, service->config, 10000, &text), ERR_OK);
    assert_int_equal(config_parse(&task, "conf", buf_str(&text), NULL, &config), ERR_OK);
    assert_int_equal(premises_make_certificate(&task, &config), ERR_OK);
    config_done(&config);
    buf_free(&text);
    task_done(&task);
    service->log_fd = -1;
    buf_init(&service->log, SIZE_MAX);
}

/* A child that a script made before it became the service; it ends behind it. (A parent that has given
 * up being root cannot have the kernel kill it.) */
static void make_stranger(void)
{
    pid_t parent = getpid();

    if (fork() == 0) {
        while (getppid() == parent)
            usleep(20 * 1000);
        _exit(EXIT_SUCCESS);
    }
}

static void service_start_with(struct service *service, void (*before)(void))
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    service->pid = fork();
    if (service->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a test that fails leaves nothing behind */
        dup2(fds[1], STDERR_FILENO);
        if (before != NULL)
            before();
        exit(master_run(service->config));
    }
    close(fds[1]);
    fd_close(&service->log_fd);
    service->log_fd = fds[0];
    buf_reset(&service->log);
}

static void service_start(struct service *service)
{
    service_start_with(service, NULL);
}

/* Reads the log up to and including a line with `words`; false when it ended or was silent. */
static bool sees(struct service *service, const char *words)
{
    int64_t end_ms = clock_monotonic_ms() + 20 * 1000;

    for (;;) {
        ptrdiff_t at = str_find(buf_str(&service->log), str_from_c(words));
        struct pollfd ready = {.fd = service->log_fd, .events = POLLIN};
        char *room;
        ssize_t got;

        if (at >= 0) {
            buf_consume(&service->log, (size_t)at + strlen(words));
            return true;
        }
        if (poll(&ready, 1, (int)(end_ms - clock_monotonic_ms())) != 1 ||
            buf_reserve(&service->log, 4096, &room) != ERR_OK)
            break;
        got = read(service->log_fd, room, 4096);
        if (got <= 0)
            break;
        buf_commit(&service->log, (size_t)got);
    }
    fprintf(stderr, "not seen: %s\nin: %.*s\n", words, STR_ARG(buf_str(&service->log)));
    return false;
}

static int service_wait(struct service *service)
{
    int status;

    assert_int_equal(waitpid(service->pid, &status, 0), service->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void service_done(struct service *service)
{
    char command[128];

    fd_close(&service->log_fd);
    buf_free(&service->log);
    snprintf(command, sizeof(command), "rm -rf %s", service->folder);
    assert_int_equal(system(command), 0);
}

/* The process of a role, by its name in /proc; 0: none. */
static pid_t find_role(const struct service *service, const char *name)
{
    char command[256], line[32] = "";
    FILE *output;

    snprintf(command, sizeof(command), "pgrep -P %d -x %s", (int)service->pid, name);
    output = popen(command, "r");
    assert_non_null(output);
    if (fgets(line, sizeof(line), output) == NULL)
        line[0] = '\0';
    pclose(output);
    return (pid_t)strtol(line, NULL, 10);
}

/* ---- The tests ---- */

static void it_starts_connects_and_stops_in_order(void **state)
{
    static const char *const in_order[] = {"smtp[", "store[", "nursery[", "sealer[", "keeper["};
    struct service service;
    struct stat status;
    char path[128], ready[128];

    (void)state;
    service_init(&service);
    service_start(&service);
    /* smtp has one listener, gate one; both know keeper and store. */
    assert_true(sees(&service, "keeper is up"));
    assert_true(sees(&service, "store is up"));
    snprintf(ready, sizeof(ready), "ready imap=127.0.0.1:%u mx=127.0.0.1:%u", service.imap_port,
             service.mx_port);
    assert_true(sees(&service, ready));
    snprintf(path, sizeof(path), "%s/host.key", service.folder);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 32);
    assert_int_equal(status.st_mode & 0777, 0600);
    kill(service.pid, SIGTERM);
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++) {
        assert_true(sees(&service, in_order[i]));
        assert_true(sees(&service, "stops"));
    }
    assert_true(sees(&service, "stopped"));
    assert_int_equal(service_wait(&service), 0);
    service_done(&service);
}

static void what_dies_is_started_again_and_connected(void **state)
{
    struct service service;
    pid_t before, after;

    (void)state;
    service_init(&service);
    service_start(&service);
    assert_true(sees(&service, "ready"));
    before = find_role(&service, "store");
    assert_true(before > 0);
    kill(before, SIGKILL);
    assert_true(sees(&service, "store was ended by signal 9"));
    assert_true(sees(&service, "store is up"));
    after = find_role(&service, "store");
    assert_true(after > 0 && after != before);
    /* The keeper is killed too, and the new store hears of it. */
    kill(find_role(&service, "keeper"), SIGKILL);
    assert_true(sees(&service, "keeper was ended by signal 9"));
    assert_true(sees(&service, "keeper is up"));
    kill(service.pid, SIGINT);
    assert_true(sees(&service, "stopped"));
    assert_int_equal(service_wait(&service), 0);
    service_done(&service);
}

/* What foreign bytes may end is back at once, the eighth time as the first (which of the two is
 * ended changes from time to time). Another role waits for seconds then, each time; a busy machine
 * takes as long now and then. */
static void the_expendable_is_not_kept_waiting(void **state)
{
    int64_t quickest_ms = INT64_MAX;
    struct service service;
    pid_t pid;

    (void)state;
    service_init(&service);
    service_start(&service);
    assert_true(sees(&service, "ready"));
    for (int i = 0; i < 16; i++) {
        int64_t before_ms = clock_monotonic_ms(), took_ms;

        pid = find_role(&service, "examiner");
        assert_true(pid > 0);
        kill(pid, SIGALRM);
        assert_true(sees(&service, "examiner was ended by signal 14"));
        assert_true(sees(&service, "examiner is up"));
        took_ms = clock_monotonic_ms() - before_ms;
        if (i >= 12 && took_ms < quickest_ms)
            quickest_ms = took_ms;
    }
    assert_in_range(quickest_ms, 0, 1500);
    kill(service.pid, SIGTERM);
    assert_true(sees(&service, "stopped"));
    assert_int_equal(service_wait(&service), 0);
    service_done(&service);
}

static void one_service_for_each_folder(void **state)
{
    struct service service, second;

    (void)state;
    service_init(&service);
    service_start(&service);
    assert_true(sees(&service, "ready"));
    second = service;
    second.log_fd = -1;
    buf_init(&second.log, SIZE_MAX);
    service_start(&second);
    assert_true(sees(&second, "another sealpost serves"));
    assert_int_equal(service_wait(&second), 1);
    fd_close(&second.log_fd);
    buf_free(&second.log);
    kill(service.pid, SIGTERM);
    assert_int_equal(service_wait(&service), 0);
    service_done(&service);
}

static void a_reload_takes_the_good_and_leaves_the_bad(void **state)
{
    struct service service;

    (void)state;
    service_init(&service);
    service_start(&service);
    assert_true(sees(&service, "ready"));
    write_config(&service, "hops_max = many");
    kill(service.pid, SIGHUP);
    assert_true(sees(&service, "conf:4: hops_max: not a number"));
    assert_true(sees(&service, "the old configuration stays"));
    write_config(&service, "hops_max = 7");
    kill(service.pid, SIGHUP);
    assert_true(sees(&service, "reloads hops=7"));
    kill(service.pid, SIGTERM);
    assert_int_equal(service_wait(&service), 0);
    service_done(&service);
}

static void nothing_that_a_role_made_outlives_a_stopped_master(void **state)
{
    struct service service;

    (void)state;
    service_init(&service);
    service_start(&service);
    assert_true(sees(&service, "ready"));
    kill(service.pid, SIGTERM);
    assert_true(sees(&service, "helper begins"));
    assert_true(sees(&service, "helper ends"));
    assert_true(sees(&service, "stopped"));
    assert_int_equal(service_wait(&service), 0);
    service_done(&service);
}

static void what_was_there_before_is_not_waited_for(void **state)
{
    struct service service;

    (void)state;
    service_init(&service);
    service_start_with(&service, make_stranger);
    assert_true(sees(&service, "ready"));
    kill(service.pid, SIGTERM);
    assert_false(sees(&service, "hangs")); /* to the end of the log */
    assert_int_equal(service_wait(&service), 0);
    service_done(&service);
}

static void nothing_outlives_a_killed_master(void **state)
{
    struct service service;
    pid_t pids[7];

    (void)state;
    service_init(&service);
    service_start(&service);
    assert_true(sees(&service, "ready"));
    for (size_t i = 0; i < roles_count; i++) {
        pids[i] = find_role(&service, wire_role_name(roles[i]->kind));
        assert_true(pids[i] > 0);
    }
    kill(service.pid, SIGKILL);
    assert_int_equal(service_wait(&service), -SIGKILL);
    for (size_t i = 0; i < roles_count; i++) {
        for (int tries = 0; kill(pids[i], 0) == 0 && tries < 200; tries++) {
            char path[64], text[256] = "";
            FILE *file;

            /* Gone, or a zombie that waits for this container's init. */
            snprintf(path, sizeof(path), "/proc/%d/stat", (int)pids[i]);
            file = fopen(path, "r");
            if (file == NULL || fgets(text, sizeof(text), file) == NULL ||
                strstr(text, ") Z ") != NULL)
                tries = 1000;
            if (file != NULL)
                fclose(file);
            if (tries < 199)
                usleep(10 * 1000);
            else if (tries == 199)
                fail_msg("%s outlives its master", wire_role_name(roles[i]->kind));
        }
    }
    service_done(&service);
}

static void a_role_that_cannot_start_is_named(void **state)
{
    struct service service;

    (void)state;
    service_init(&service);
    setenv("TEST_BROKEN_ROLE", "store", 1);
    service_start(&service);
    unsetenv("TEST_BROKEN_ROLE");
    assert_true(sees(&service, "could not start: broken on purpose"));
    assert_true(sees(&service, "store cannot start, so nothing does"));
    assert_int_equal(service_wait(&service), 1);
    service_done(&service);
}

static void a_lost_host_key_is_not_replaced(void **state)
{
    struct service service;
    char path[128];
    FILE *file;

    (void)state;
    service_init(&service);
    snprintf(path, sizeof(path), "%s/account", service.folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/account/account.sqlite", service.folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    service_start(&service);
    assert_true(sees(&service, "the accounts open with the old one only"));
    assert_int_equal(service_wait(&service), 1);
    snprintf(path, sizeof(path), "%s/host.key", service.folder);
    assert_int_not_equal(access(path, F_OK), 0);
    service_done(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_connects_and_stops_in_order),
        cmocka_unit_test(what_dies_is_started_again_and_connected),
        cmocka_unit_test(the_expendable_is_not_kept_waiting),
        cmocka_unit_test(one_service_for_each_folder),
        cmocka_unit_test(a_reload_takes_the_good_and_leaves_the_bad),
        cmocka_unit_test(nothing_that_a_role_made_outlives_a_stopped_master),
        cmocka_unit_test(what_was_there_before_is_not_waited_for),
        cmocka_unit_test(nothing_outlives_a_killed_master),
        cmocka_unit_test(a_role_that_cannot_start_is_named),
        cmocka_unit_test(a_lost_host_key_is_not_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
