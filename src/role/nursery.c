/*
 * The pre-initialised parent of the mailbox processes. What they all need (libraries' tables, the
 * converters' registry) is set up here once and shared by the fork; what one of them may not have
 * (another's channel, this role's peers) is closed in the child before its first line.
 *
 * The nursery hears no mail and holds no key: the child's channel to the keeper is made here and
 * goes to the keeper directly, so that the store never sees a key either. When the keeper restarts,
 * each child gets a channel to the new one from here, in the same way.
 */
#include "role/role.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "message/message.h"
#include "role/mailbox.h"
#include "role/nursery.h"
#include "secret/secret.h"
#include "sqlite/db.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct nursling {
    struct nursling *next; /* own */
    struct id mailbox;
    pid_t pid;
    struct wire_channel *channel; /* own; NULL: it is about to end */
};

struct nursery {
    struct role_process *process; /* borrowed */
    struct task paths;            /* of the sandbox's rules */
    struct net_signal *child;     /* own */
    struct nursling *nurslings;   /* own */
};

static enum err setup(struct role_process *process, struct task *task)
{
    struct nursery *nursery = NEW(struct nursery);

    (void)task;
    nursery->process = process;
    task_init(&nursery->paths, clock_now_ms());
    role_set_state(process, nursery);
    db_init_library();
    message_init_library();
    return ERR_OK;
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    struct nursery *nursery = role_state(process);

    nursery_sandbox(role_config(process), &nursery->paths, rules);
}

void nursery_sandbox(const struct config *config, struct task *task, struct sandbox_rules *rules)
{
    sandbox_allow_path(rules, config_path(config, task, "mail"), SANDBOX_READ_WRITE);
    sandbox_allow_path(rules, config_path(config, task, "drop"), SANDBOX_READ_WRITE);
    rules->may_fork = true;
    rules->may_send_descriptors = true;
}

/* Which of our children ended; the store is told. */
static void on_child(void *owner)
{
    struct nursery *nursery = owner;
    struct wire_channel *store = role_peer(nursery->process, WIRE_ROLE_STORE, 0);
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (struct nursling **at = &nursery->nurslings; *at != NULL; at = &(*at)->next) {
            struct nursling *gone = *at;
            struct wire_mailbox_exited body = {
                .mailbox = gone->mailbox, .pid = pid, .wait_status = status};

            if (gone->pid != pid)
                continue;
            if (WIFSIGNALED(status))
                log_error(role_log(nursery->process), "mailbox process was ended by signal %d "
                          "mailbox=%s", WTERMSIG(status), gone->mailbox.text);
            *at = gone->next;
            wire_channel_free(&gone->channel);
            mem_free(&gone);
            if (store != NULL && wire_send(store, WIRE_MAILBOX_EXITED, 0, &body, NULL, 0) != ERR_OK)
                log_warning(role_log(nursery->process), "the store was not told of an end");
            break;
        }
    }
}

static enum err start(struct role_process *process, struct task *task)
{
    struct nursery *nursery = role_state(process);

    (void)task;
    nursery->child = net_signal_new(role_loop(process), SIGCHLD, on_child, nursery);
    nursery_sweep_start(process);
    return ERR_OK;
}

/* Everything above standard error but the three channels, which become 3, 4 and 5. */
static bool keep_only(struct mailbox_start *begin)
{
    int *kept[] = {&begin->store_fd, &begin->keeper_fd, &begin->nursery_fd};
    int next = STDERR_FILENO + 1;

    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        *kept[i] = fcntl(*kept[i], F_DUPFD_CLOEXEC, 10); /* out of the way of the three */
        if (*kept[i] < 0)
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (dup3(*kept[i], next, O_CLOEXEC) != next)
            return false;
        *kept[i] = next++;
    }
    return close_range((unsigned)next, ~0u, 0) == 0;
}

_Noreturn static void become_mailbox(const struct nursery *nursery, struct mailbox_start *begin,
                                     pid_t parent)
{
    struct log log = *role_log(nursery->process);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent ||
        !keep_only(begin))
        _exit(EXIT_FAILURE);
    (void)prctl(PR_SET_NAME, wire_role_name(WIRE_ROLE_MAILBOX), 0, 0, 0);
    log.role = wire_role_name(WIRE_ROLE_MAILBOX);
    begin->log = &log;
    begin->config = role_config(nursery->process);
    mailbox_run(begin);
}

static enum err tell_keeper(struct nursery *nursery, struct task *task,
                            const struct wire_mailbox_started *body, int keeper_end)
{
    struct wire_channel *keeper = role_peer(nursery->process, WIRE_ROLE_KEEPER, 0);

    if (keeper == NULL ||
        wire_send(keeper, WIRE_MAILBOX_STARTED, 0, body, &keeper_end, 1) != ERR_OK)
        return fail(task, ERR_BUSY, "the keeper is not there");
    return ERR_OK;
}

static enum err make_channel(struct task *task, int *out_ours, int *out_theirs)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        return fail(task, ERR_IO, "socketpair: %s", strerror(errno));
    *out_ours = fds[0];
    *out_theirs = fds[1];
    return ERR_OK;
}

/* A process that runs gets a channel to a keeper that is new. Without one it goes on all the same:
 * its usage is not heard of until it starts again. */
static enum err reconnect(struct nursery *nursery, struct task *task, struct nursling *nursling)
{
    struct wire_mailbox_started started = {.mailbox = nursling->mailbox, .is_running = true};
    struct wire_mailbox_keeper body = {.mailbox = nursling->mailbox};
    CLEANUP(fd_close) int child_end = -1;
    CLEANUP(fd_close) int keeper_end = -1;

    TRY(make_channel(task, &child_end, &keeper_end));
    TRY(tell_keeper(nursery, task, &started, keeper_end));
    if (wire_send(nursling->channel, WIRE_MAILBOX_KEEPER, 0, &body, &child_end, 1) != ERR_OK)
        return fail(task, ERR_BUSY, "mailbox=%s does not listen", nursling->mailbox.text);
    return ERR_OK;
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    struct nursery *nursery = role_state(process);

    if (wire_channel_peer(channel) != WIRE_ROLE_KEEPER)
        return;
    for (struct nursling *each = nursery->nurslings; each != NULL; each = each->next) {
        struct task task;

        task_init(&task, clock_now_ms());
        if (each->channel != NULL && reconnect(nursery, &task, each) != ERR_OK)
            log_failure(role_log(process), "a channel to the new keeper", &task);
        task_done(&task);
    }
}

static void on_nursling_close(void *owner, struct wire_channel *channel)
{
    struct nursling *nursling = owner;

    (void)channel;
    wire_channel_free(&nursling->channel);
}

/* It says nothing to us. */
static void on_nursling_message(void *owner, struct wire_channel *channel,
                                struct wire_message *message)
{
    (void)owner;
    (void)channel;
    (void)message;
}

static const struct wire_channel_events nursling_events = {on_nursling_message, on_nursling_close};

static enum err spawn(struct nursery *nursery, struct task *task,
                      const struct wire_mailbox_spawn *body, int store_fd)
{
    const struct config *config = role_config(nursery->process);
    struct mailbox_start begin = {.id = body->mailbox, .is_new = body->is_new,
                                  .store_fd = store_fd};
    struct wire_mailbox_started started = {.mailbox = body->mailbox, .is_new = body->is_new};
    CLEANUP(fd_close) int child_end = -1;
    CLEANUP(fd_close) int keeper_end = -1;
    CLEANUP(fd_close) int child_line = -1;
    CLEANUP(fd_close) int line = -1;
    struct nursling *nursling;
    pid_t parent = getpid();

    begin.mail_folder = mailbox_folder(config, task, "mail", &body->mailbox);
    begin.drop_folder = mailbox_folder(config, task, "drop", &body->mailbox);
    /* Also where it was lost: so the mailbox can be restored into it. */
    TRY(dir_make(task, AT_FDCWD, begin.drop_folder, true));
    TRY(dir_make(task, AT_FDCWD, begin.mail_folder, true));
    TRY(make_channel(task, &child_end, &keeper_end));
    TRY(make_channel(task, &child_line, &line));
    begin.keeper_fd = child_end;
    begin.nursery_fd = child_line;
    TRY(tell_keeper(nursery, task, &started, keeper_end));
    nursling = NEW(struct nursling);
    nursling->mailbox = body->mailbox;
    nursling->pid = fork();
    if (nursling->pid == 0)
        become_mailbox(nursery, &begin, parent);
    if (nursling->pid < 0) {
        mem_free(&nursling);
        return fail(task, ERR_IO, "fork: %s", strerror(errno));
    }
    nursling->channel =
        wire_channel_new(role_loop(nursery->process), line, WIRE_ROLE_NURSERY, WIRE_ROLE_MAILBOX,
                         &nursling_events, nursling, role_log(nursery->process));
    line = -1;
    nursling->next = nursery->nurslings;
    nursery->nurslings = nursling;
    return ERR_OK;
}

static void on_spawn(struct nursery *nursery, struct wire_channel *channel,
                     const struct wire_message *message)
{
    const struct wire_mailbox_spawn *body = &message->body.mailbox_spawn;
    struct wire_mailbox_exited failed = {.mailbox = body->mailbox, .pid = 0, .wait_status = -1};
    struct task task;

    task_init(&task, clock_now_ms());
    if (message->fd_count != 1 || !id_is_set(&body->mailbox))
        (void)fail(&task, ERR_INVALID, "a spawn without a channel");
    else if (spawn(nursery, &task, body, message->fds[0]) == ERR_OK)
        task_forgive(&task);
    if (task.err != ERR_OK) {
        log_failure(role_log(nursery->process), "starting a mailbox process", &task);
        if (wire_send(channel, WIRE_MAILBOX_EXITED, 0, &failed, NULL, 0) != ERR_OK)
            log_warning(role_log(nursery->process), "the store was not told of a failure");
    }
    task_done(&task);
}

static void on_remove(struct nursery *nursery, struct wire_channel *channel,
                      const struct wire_message *message)
{
    const struct config *config = role_config(nursery->process);
    struct wire_mailbox_remove_reply reply = {.mailbox = message->body.mailbox_remove.mailbox,
                                              .status = WIRE_OK};
    struct task task;

    task_init(&task, clock_now_ms());
    if (!id_is_set(&reply.mailbox)) {
        reply.status = WIRE_INVALID;
    } else if (mailbox_folder_remove(&task, mailbox_folder(config, &task, "mail", &reply.mailbox)) !=
                   ERR_OK ||
               mailbox_folder_remove(&task, mailbox_folder(config, &task, "drop", &reply.mailbox)) !=
                   ERR_OK) {
        log_failure(role_log(nursery->process), "removing a mailbox", &task);
        reply.status = WIRE_UNAVAILABLE;
    }
    task_done(&task);
    if (wire_send(channel, WIRE_MAILBOX_REMOVE_REPLY, message->tag, &reply, NULL, 0) != ERR_OK)
        log_warning(role_log(nursery->process), "a removal was not answered");
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    if (message->type == WIRE_MAILBOX_SPAWN)
        on_spawn(role_state(process), channel, message);
    else if (message->type == WIRE_MAILBOX_REMOVE)
        on_remove(role_state(process), channel, message);
}

const struct role role_nursery = {
    .kind = WIRE_ROLE_NURSERY,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_peer = on_peer,
    .on_message = on_message,
};
