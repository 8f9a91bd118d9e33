/*
 * The first process. It holds no key and reads nothing from the network.
 *
 *   STARTING ──> RUNNING ──> STOPPING          STARTING ──> STOPPING when a role cannot start
 *
 *   STARTING: the roles come up one after the other, in the table's order; each one is connected to
 *   those before it. The same function restarts a process later and connects it to the survivors.
 *
 *   STOPPING: in stages, see `stages`; master ends last, behind the roles' own processes too.
 *
 * Two processes are connected when the message table allows anything between their roles.
 */
#include "role/master.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "role/backoff.h"
#include "role/premises.h"
#include "role/roles.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHILDREN_MAX = 128,
    MASTER_FD = 3,       /* in the children */
    GRACE_MS = 10 * 1000, /* for one stage of the stop, then SIGKILL */
    GRACE_SLACK_MS = 500,
    FAILURES_TOLD = 5, /* so many in a row are worth a line that says so */
};

enum phase { PHASE_STARTING, PHASE_RUNNING, PHASE_STOPPING };

struct master;

struct child {
    struct master *master; /* borrowed */
    const struct role *role;
    unsigned index;
    pid_t pid;                    /* 0: not running */
    struct wire_channel *channel; /* own; NULL: not running, or its end is closed */
    bool is_ready;
    struct backoff backoff;
    struct net_timer *restart; /* own */
    int64_t started_ms;        /* monotonic */
};

struct master {
    const char *config_file;
    struct config config;
    struct log log;
    struct net_loop *loop;
    struct child children[CHILDREN_MAX];
    size_t child_count;
    size_t roles_started; /* of the table */
    struct premises_listeners listeners;
    int config_fd, certificate_fd, key_fd, lock_fd; /* own */
    int trust_fds[WIRE_ROLE_COUNT][2]; /* own; premises_open_trust, of the roles that have it */
    int census_fds[WIRE_ROLE_COUNT]; /* own; of the roles that are many processes, -1: none yet */
    enum phase phase;
    size_t stage;            /* while STOPPING */
    bool has_strangers; /* children from before: of a script that became us (exec) */
    struct net_timer *grace; /* own; of the stage */
    int exit_status;
};

/*
 * The order of the end. The gate is told at once, so that it takes no clients; but its sessions end
 * with the words of their mailbox processes, which the store stops.
 */
static const struct {
    unsigned stops, awaits; /* WIRE_BIT */
} stages[] = {
    {WIRE_BIT(GATE) | WIRE_BIT(SMTP), WIRE_BIT(SMTP)},
    {WIRE_BIT(COURIER), WIRE_BIT(COURIER)},
    {WIRE_BIT(STORE), WIRE_BIT(STORE) | WIRE_BIT(GATE)},
    {WIRE_BIT(NURSERY), WIRE_BIT(NURSERY)},
    {WIRE_BIT(SEALER), WIRE_BIT(SEALER)},
    {WIRE_BIT(ARCHIVIST), WIRE_BIT(ARCHIVIST)},
    {WIRE_BIT(KEEPER) | WIRE_BIT(RESOLVER) | WIRE_BIT(EXAMINER) | WIRE_BIT(SCANNER), ~0u},
};

static void start_child(struct child *child);
static void next_stage(struct master *master);

static const char *name_of(const struct child *child)
{
    return wire_role_name(child->role->kind);
}

/* ---- The channel to a child ---- */

static void kill_child(struct child *child)
{
    if (child->pid > 0)
        kill(child->pid, SIGKILL);
}

/* Sending cannot fail with a child that reads; one that does not is ended. */
static void tell(struct child *child, enum wire_type type, const void *body, const int *fds,
                 size_t fd_count)
{
    if (child->channel == NULL)
        return;
    if (wire_send(child->channel, type, 0, body, fds, fd_count) != ERR_OK) {
        log_error(&child->master->log, "%s does not take %s, ending it", name_of(child),
                  wire_type_name(type));
        kill_child(child);
    }
}

static bool are_peers(enum wire_role a, enum wire_role b)
{
    for (int type = 0; type < WIRE_TYPE_COUNT; type++) {
        if (wire_is_allowed((enum wire_type)type, a, b) ||
            wire_is_allowed((enum wire_type)type, b, a))
            return true;
    }
    return false;
}

static void connect_children(struct child *a, struct child *b)
{
    struct wire_peer to_a = {.role = b->role->kind, .index = b->index};
    struct wire_peer to_b = {.role = a->role->kind, .index = a->index};
    int fds[2];

    if (a == b || a->channel == NULL || b->channel == NULL ||
        !are_peers(a->role->kind, b->role->kind))
        return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        log_error(&a->master->log, "socketpair: %s", strerror(errno));
        kill_child(a); /* it is started again, and connected then */
        return;
    }
    tell(a, WIRE_PEER, &to_a, &fds[0], 1);
    tell(b, WIRE_PEER, &to_b, &fds[1], 1);
    close(fds[0]);
    close(fds[1]);
}

static enum err configure(struct child *child, struct task *task)
{
    struct master *master = child->master;
    struct role_files files = role_files(child->role->kind);
    CLEANUP(fd_close) int host_key_fd = -1;
    struct wire_configure body = {.descriptor_count = 1};
    int fds[ROLE_FILES_MAX + 1] = {master->config_fd};

    if (files.has_certificate) {
        fds[body.descriptor_count++] = master->certificate_fd;
        fds[body.descriptor_count++] = master->key_fd;
    }
    if (files.has_trust) {
        fds[body.descriptor_count++] = master->trust_fds[child->role->kind][0];
        fds[body.descriptor_count++] = master->trust_fds[child->role->kind][1];
    }
    if (files.has_host_key) {
        TRY(premises_open_host_key(task, &master->config, &host_key_fd));
        fds[body.descriptor_count++] = host_key_fd;
    }
    tell(child, WIRE_CONFIGURE, &body, fds, body.descriptor_count);
    return ERR_OK;
}

static void give_listeners(struct child *child)
{
    struct premises_listeners *listeners = &child->master->listeners;

    for (size_t i = 0; i < listeners->count; i++) {
        struct wire_listener body = {.name = str_from_c(listeners->at[i].name),
                                     .is_tls = listeners->at[i].is_tls};

        if (role_of_listener(body.name) == child->role->kind)
            tell(child, WIRE_LISTENER, &body, &listeners->at[i].fd, 1);
    }
}

/* Where the processes of one role count their connections together. */
static enum err give_census(struct child *child, struct task *task)
{
    int *fd = &child->master->census_fds[child->role->kind];
    struct wire_census body = {.index = child->index};

    if (!child->role->is_per_core)
        return ERR_OK;
    if (*fd < 0)
        TRY(net_census_make(task, fd));
    tell(child, WIRE_CENSUS, &body, fd, 1);
    return ERR_OK;
}

/* ---- Starting ---- */

static size_t process_count(const struct master *master, const struct role *role)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    size_t cores = online < 1 ? 1 : (size_t)online;
    size_t count = (size_t)master->config.processes;

    if (role->process_count != NULL)
        return role->process_count(&master->config, cores);
    if (!role->is_per_core)
        return 1;
    if (count == 0)
        count = cores;
    return count > NET_CENSUS_PROCESSES_MAX ? NET_CENSUS_PROCESSES_MAX : count;
}

/* All processes of the table's next role; when there is none left, everything runs. */
static void start_next_role(struct master *master)
{
    const struct role *role;
    struct task task;
    size_t count;

    if (master->roles_started == roles_count) {
        master->phase = PHASE_RUNNING;
        task_init(&task, clock_now_ms());
        log_info(&master->log, "ready %s",
                 premises_describe(&task, &master->config).ptr);
        task_done(&task);
        return;
    }
    role = roles[master->roles_started++];
    count = process_count(master, role);
    for (unsigned index = 0; index < count; index++) {
        struct child *child = &master->children[master->child_count++];

        assert(master->child_count <= CHILDREN_MAX);
        *child = (struct child){.master = master, .role = role, .index = index};
        start_child(child);
    }
}

static void on_child_message(void *owner, struct wire_channel *channel,
                             struct wire_message *message)
{
    struct child *child = owner;
    struct master *master = child->master;

    (void)channel;
    if (message->type != WIRE_READY)
        return;
    child->is_ready = true;
    log_debug(&master->log, "%s is up pid=%d", name_of(child), (int)child->pid);
    if (master->phase != PHASE_STARTING)
        return;
    for (size_t i = 0; i < master->child_count; i++) {
        if (!master->children[i].is_ready)
            return;
    }
    start_next_role(master);
}

/* The process is about to end; SIGCHLD tells when it has. */
static void on_child_close(void *owner, struct wire_channel *channel)
{
    struct child *child = owner;

    (void)channel;
    wire_channel_free(&child->channel);
}

static const struct wire_channel_events child_events = {.on_message = on_child_message,
                                                        .on_close = on_child_close};

/* In the child: nothing of master's stays but standard input, output, error and the channel. */
_Noreturn static void become(const struct child *child, int fd, pid_t parent)
{
    sigset_t none;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
        _exit(EXIT_FAILURE);
    if (fd != MASTER_FD && dup2(fd, MASTER_FD) != MASTER_FD)
        _exit(EXIT_FAILURE);
    fcntl(MASTER_FD, F_SETFD, FD_CLOEXEC);
    close_range(MASTER_FD + 1, ~0u, 0);
    /* These are for master; a terminal sends them to all. The end comes over the channel. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    role_run(child->role, MASTER_FD, child->index);
}

static enum err fork_child(struct child *child, struct task *task)
{
    struct master *master = child->master;
    pid_t parent = getpid();
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return fail(task, ERR_IO, "socketpair: %s", strerror(errno));
    child->pid = fork();
    if (child->pid == 0)
        become(child, fds[1], parent);
    close(fds[1]);
    if (child->pid < 0) {
        child->pid = 0;
        close(fds[0]);
        return fail(task, ERR_IO, "fork: %s", strerror(errno));
    }
    child->started_ms = clock_monotonic_ms();
    child->is_ready = false;
    child->channel = wire_channel_new(master->loop, fds[0], WIRE_ROLE_MASTER, child->role->kind,
                                      &child_events, child, &master->log);
    return ERR_OK;
}

static void restart_later(struct child *child, int64_t ran_ms);

static void start_child(struct child *child)
{
    struct master *master = child->master;
    struct wire_start body = {.index = child->index};
    struct task task;

    task_init(&task, clock_now_ms());
    if (fork_child(child, &task) == ERR_OK && configure(child, &task) == ERR_OK &&
        give_census(child, &task) == ERR_OK) {
        give_listeners(child);
        for (size_t i = 0; i < master->child_count; i++)
            connect_children(child, &master->children[i]);
        tell(child, WIRE_START, &body, NULL, 0);
    } else {
        log_error(&master->log, "%s could not be started: %s", name_of(child), task.words);
        if (child->pid > 0)
            kill_child(child);
        else
            restart_later(child, 0);
    }
    task_done(&task);
}

/* ---- When one ends ---- */

static void on_restart(void *owner)
{
    struct child *child = owner;

    if (child->master->phase != PHASE_STOPPING)
        start_child(child);
}

static void restart_later(struct child *child, int64_t ran_ms)
{
    struct master *master = child->master;
    int64_t delay_ms = backoff_next_ms(&child->backoff, ran_ms);

    if (child->backoff.failures == FAILURES_TOLD)
        log_error(&master->log,
                  "%s has failed %u times in a row; its own lines say why. Trying again, at most "
                  "every 10 seconds",
                  name_of(child), child->backoff.failures);
    if (child->restart == NULL)
        child->restart = net_timer_new(master->loop, on_restart, child);
    net_timer_start(child->restart, delay_ms);
}

static void begin_stop(struct master *master, int exit_status)
{
    if (master->phase == PHASE_STOPPING)
        return;
    master->phase = PHASE_STOPPING;
    master->exit_status = exit_status;
    master->stage = 0;
    next_stage(master);
}

/* Its connections ended with it. */
static void forget_connections(struct child *child)
{
    int fd = child->master->census_fds[child->role->kind];
    struct task task;

    task_init(&task, clock_now_ms());
    if (fd >= 0 && net_census_forget(&task, fd, child->index) != ERR_OK)
        log_failure(&child->master->log, "a dead process's connections", &task);
    task_done(&task);
}

static void note_end(struct child *child, int status)
{
    struct master *master = child->master;
    int64_t ran_ms = clock_monotonic_ms() - child->started_ms;
    bool was_ready = child->is_ready;

    child->pid = 0;
    child->is_ready = false;
    wire_channel_free(&child->channel);
    forget_connections(child);
    if (master->phase == PHASE_STOPPING)
        return;
    if (WIFSIGNALED(status))
        log_error(&master->log, "%s was ended by signal %d", name_of(child), WTERMSIG(status));
    else
        log_error(&master->log, "%s ended with status %d", name_of(child), WEXITSTATUS(status));
    if (master->phase == PHASE_STARTING && !was_ready && WIFEXITED(status)) {
        log_error(&master->log, "%s cannot start, so nothing does; its line above says why",
                  name_of(child));
        begin_stop(master, EXIT_FAILURE);
        return;
    }
    if (child->role->is_expendable && was_ready)
        child->backoff.failures = 0;
    restart_later(child, ran_ms);
}

static void reap(void *owner)
{
    struct master *master = owner;
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < master->child_count; i++) {
            if (master->children[i].pid == pid)
                note_end(&master->children[i], status);
        }
    }
    if (master->phase == PHASE_STOPPING)
        next_stage(master);
}

/* ---- Stopping ---- */

static bool is_running(const struct master *master, unsigned kinds)
{
    for (size_t i = 0; i < master->child_count; i++) {
        const struct child *child = &master->children[i];

        if (child->pid > 0 && (kinds & BIT(child->role->kind)) != 0)
            return true;
    }
    return false;
}

/* Children, asked for when no role runs: what one made and did not wait for, or what was there before. */
static bool has_orphans(void)
{
    pid_t pid;

    do {
        pid = waitpid(-1, NULL, WNOHANG);
    } while (pid > 0);
    return pid == 0;
}

/* Enters every stage whose predecessors' processes are gone; at the end, when also theirs are, the
 * loop stops. */
static void next_stage(struct master *master)
{
    struct wire_stop body = {.grace_ms = GRACE_MS};

    while (master->stage == 0 || !is_running(master, stages[master->stage - 1].awaits)) {
        if (master->stage == ARRAY_LEN(stages)) {
            if (!master->has_strangers && has_orphans())
                return; /* their end is heard of as any */
            net_timer_stop(master->grace);
            net_loop_stop(master->loop);
            return;
        }
        for (size_t i = 0; i < master->child_count; i++) {
            if ((stages[master->stage].stops & BIT(master->children[i].role->kind)) != 0)
                tell(&master->children[i], WIRE_STOP, &body, NULL, 0);
        }
        master->stage++;
        net_timer_start(master->grace, GRACE_MS + GRACE_SLACK_MS);
    }
}

static void on_grace_over(void *owner)
{
    struct master *master = owner;
    unsigned kinds = stages[master->stage - 1].awaits;

    for (size_t i = 0; i < master->child_count; i++) {
        struct child *child = &master->children[i];

        if (child->pid > 0 && (kinds & BIT(child->role->kind)) != 0) {
            log_warning(&master->log, "%s does not end, killing it", name_of(child));
            kill_child(child);
        }
    }
    net_timer_start(master->grace, GRACE_MS);
    if (master->stage == ARRAY_LEN(stages) && !is_running(master, ~0u)) {
        log_warning(&master->log,
                    "a process that a role made hangs in the kernel; ending without it");
        net_loop_stop(master->loop);
    }
}

static void on_stop_signal(void *owner)
{
    struct master *master = owner;

    if (master->phase != PHASE_STOPPING) {
        log_info(&master->log, "stopping");
        begin_stop(master, EXIT_SUCCESS);
        return;
    }
    log_warning(&master->log, "asked again: killing all");
    for (size_t i = 0; i < master->child_count; i++)
        kill_child(&master->children[i]);
}

/* ---- Configuration ---- */

/* A line for each mistake. */
static void log_problems(const struct master *master, struct str problems)
{
    struct str line;

    while (str_split(&problems, '\n', &line)) {
        if (line.len > 0)
            log_error(&master->log, "%.*s", STR_ARG(line));
    }
}

struct material {
    struct config config;
    int config_fd, certificate_fd, key_fd;
    int trust_fds[WIRE_ROLE_COUNT][2];
};

static void close_trust(int fds[WIRE_ROLE_COUNT][2])
{
    for (size_t i = 0; i < WIRE_ROLE_COUNT; i++) {
        fd_close(&fds[i][0]);
        fd_close(&fds[i][1]);
    }
}

static void clear_trust(int fds[WIRE_ROLE_COUNT][2])
{
    for (size_t i = 0; i < WIRE_ROLE_COUNT; i++)
        fds[i][0] = fds[i][1] = -1;
}

static enum err load_into(struct master *master, struct task *task, struct buf *problems,
                          struct material *out)
{
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    TRY(file_read(task, AT_FDCWD, master->config_file, CONFIG_TEXT_MAX, &text));
    TRY(config_parse(task, master->config_file, buf_str(&text), problems, &out->config));
    TRY(memfd_from(task, buf_str(&text), &out->config_fd));
    for (size_t i = 0; i < WIRE_ROLE_COUNT; i++) {
        if (role_files((enum wire_role)i).has_trust)
            TRY(premises_open_trust(task, &out->config, (enum wire_role)i, &out->trust_fds[i][0],
                                    &out->trust_fds[i][1]));
    }
    return premises_open_certificate(task, &out->config, &out->certificate_fd, &out->key_fd);
}

/* The configuration and certificate as the files are now. On an error nothing changed, and the
 * reasons were logged. */
static enum err load(struct master *master)
{
    struct material material = {.config_fd = -1, .certificate_fd = -1, .key_fd = -1};
    CLEANUP(buf_free) struct buf problems;
    struct task task;
    enum err err;

    buf_init(&problems, SIZE_MAX);
    task_init(&task, clock_now_ms());
    clear_trust(material.trust_fds);
    err = load_into(master, &task, &problems, &material);
    if (err != ERR_OK) {
        if (problems.len == 0)
            log_error(&master->log, "%s", task.words);
        log_problems(master, buf_str(&problems));
        config_done(&material.config);
    } else {
        config_done(&master->config);
        fd_close(&master->config_fd);
        fd_close(&master->certificate_fd);
        fd_close(&master->key_fd);
        close_trust(master->trust_fds);
        memcpy(master->trust_fds, material.trust_fds, sizeof(master->trust_fds));
        clear_trust(material.trust_fds);
        master->config = material.config;
        master->log.level = material.config.log_level;
        master->log.format = material.config.log_format;
        master->config_fd = material.config_fd;
        master->certificate_fd = material.certificate_fd;
        master->key_fd = material.key_fd;
        material.config_fd = material.certificate_fd = material.key_fd = -1;
    }
    close_trust(material.trust_fds);
    fd_close(&material.config_fd);
    fd_close(&material.certificate_fd);
    fd_close(&material.key_fd);
    task_done(&task);
    return err;
}

static void on_reload_signal(void *owner)
{
    struct master *master = owner;
    struct str data_before, services_before;
    struct task task;

    if (master->phase == PHASE_STOPPING)
        return;
    task_init(&task, clock_now_ms());
    data_before = arena_copy(&task.arena, master->config.data);
    services_before = premises_describe(&task, &master->config);
    if (load(master) != ERR_OK) {
        log_error(&master->log, "not reloaded: the old configuration stays");
        task_done(&task);
        return;
    }
    if (!str_equal(data_before, master->config.data) ||
        !str_equal(services_before, premises_describe(&task, &master->config)))
        log_warning(&master->log, "a change of data or of addresses takes effect at a restart");
    for (size_t i = 0; i < master->child_count; i++) {
        if (configure(&master->children[i], &task) != ERR_OK)
            log_failure(&master->log, "reloading", &task);
    }
    log_info(&master->log, "reloaded");
    task_done(&task);
}

/* ---- The process ---- */

static void raise_limits(void)
{
    struct rlimit limit;

    /* A descriptor for each client; and the keys of many sessions are to be locked in memory. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    limit = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    (void)setrlimit(RLIMIT_MEMLOCK, &limit); /* root only */
}

/* Master's own walls are its children's outer ones: all that any of them does, and no more. */
static enum err confine(struct master *master, struct task *task)
{
    struct sandbox_rules rules = {.may_accept = true,
                                  .may_connect = true,
                                  .may_connect_local = true,
                                  .may_set_alarm = true,
                                  .may_fork = true,
                                  .may_send_descriptors = true,
                                  .keeps_capabilities = roles_identity.is_set};

    sandbox_allow_path(&rules, "/", SANDBOX_READ);
    sandbox_allow_path(&rules, config_path(&master->config, task, ""), SANDBOX_READ_WRITE);
    /* What it may not, its children may not: the archivist's folder, if it is there. */
    if (str_starts_with(master->config.backup, STR("/"))) {
        const char *folder = arena_copy(&task->arena, master->config.backup).ptr;

        if (access(folder, F_OK) == 0)
            sandbox_allow_path(&rules, folder, SANDBOX_READ_WRITE);
    }
    return sandbox_enter(task, &rules, master->config.sandbox_required, &master->log);
}

static enum err prepare(struct master *master, struct task *task)
{
    raise_limits();
    TRY(identity_find(task, master->config.user, &roles_identity));
    TRY(premises_make_folders(task, &master->config, &roles_identity));
    TRY(premises_lock(task, &master->config, &master->lock_fd));
    TRY(premises_check_restored(task, &master->config));
    TRY(premises_make_host_key(task, &master->config));
    TRY(premises_listen(task, &master->config, &roles_identity, &master->listeners));
    return confine(master, task);
}

static void serve(struct master *master)
{
    struct net_signal *term = net_signal_new(master->loop, SIGTERM, on_stop_signal, master);
    struct net_signal *interrupt = net_signal_new(master->loop, SIGINT, on_stop_signal, master);
    struct net_signal *hup = net_signal_new(master->loop, SIGHUP, on_reload_signal, master);
    struct net_signal *child = net_signal_new(master->loop, SIGCHLD, reap, master);

    /* The kernel kills what a role made when the role ends, but that takes its time on a busy
     * machine: who waits for us is to find all of them gone, so they become our children. */
    master->has_strangers = has_orphans();
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    start_next_role(master);
    net_loop_run(master->loop);
    net_signal_free(&term);
    net_signal_free(&interrupt);
    net_signal_free(&hup);
    net_signal_free(&child);
}

static void release(struct master *master)
{
    for (size_t i = 0; i < master->child_count; i++) {
        wire_channel_free(&master->children[i].channel);
        net_timer_free(&master->children[i].restart);
    }
    for (size_t i = 0; i < master->listeners.count; i++)
        fd_close(&master->listeners.at[i].fd);
    net_timer_free(&master->grace);
    net_loop_free(&master->loop);
    fd_close(&master->config_fd);
    fd_close(&master->certificate_fd);
    fd_close(&master->key_fd);
    close_trust(master->trust_fds);
    fd_close(&master->lock_fd);
    for (size_t i = 0; i < WIRE_ROLE_COUNT; i++)
        fd_close(&master->census_fds[i]);
    config_done(&master->config);
}

int master_run(const char *config_file)
{
    struct master *master = NEW(struct master);
    int exit_status = EXIT_FAILURE;
    struct task task;

    *master = (struct master){.config_file = config_file,
                              .log = {.level = LOG_LEVEL_INFO,
                                      .fd = STDERR_FILENO,
                                      .role = wire_role_name(WIRE_ROLE_MASTER)},
                              .config_fd = -1,
                              .certificate_fd = -1,
                              .key_fd = -1,
                              .lock_fd = -1};
    for (size_t i = 0; i < WIRE_ROLE_COUNT; i++)
        master->census_fds[i] = -1;
    clear_trust(master->trust_fds);
    task_init(&task, clock_now_ms());
    if (load(master) == ERR_OK) {
        master->loop = net_loop_new();
        master->grace = net_timer_new(master->loop, on_grace_over, master);
        if (prepare(master, &task) == ERR_OK) {
            serve(master);
            exit_status = master->exit_status;
            log_info(&master->log, "stopped");
        } else {
            log_error(&master->log, "cannot start: %s", task.words);
        }
    }
    task_done(&task);
    release(master);
    mem_free(&master);
    return exit_status;
}
