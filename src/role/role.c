/*
 * The frame of a role's process. One static object: this is the process. Everything that a role
 * borrows from it lives until the process ends.
 */
#include "net/http.h"
#include "role/role.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "role/roles.h"
#include "secret/secret.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

enum { LISTENERS_MAX = 6 * CONFIG_ADDRESSES_MAX, NAME_ROOM = 16 };

struct peer {
    struct role_process *process; /* borrowed */
    enum wire_role kind;
    unsigned index;
    int fd;                       /* own until the channel is made */
    struct wire_channel *channel; /* own */
};

/* The texts of a configuration that was replaced: roles may have borrowed them. */
struct retired {
    struct retired *older; /* own */
    struct arena arena;
};

struct role_process {
    const struct role *role;
    unsigned index;
    struct net_loop *loop;         /* own */
    struct wire_channel *master;   /* own, from START on */
    struct log log;
    struct config config;
    bool is_configured;
    bool is_started;
    struct retired *retired; /* own */
    struct secret *certificate, *key, *host_key, *password; /* own; NULL: not given */
    struct buf trust; /* own */
    struct peer peers[ROLE_PEERS_MAX];
    size_t peer_count;
    int census_fd; /* own; -1: none was given */
    struct role_listener listeners[LISTENERS_MAX];
    char listener_names[LISTENERS_MAX][NAME_ROOM];
    size_t listener_count;
    void *state; /* the role's */
};

static struct role_process the_process;

struct net_loop *role_loop(struct role_process *process)
{
    return process->loop;
}

const struct log *role_log(const struct role_process *process)
{
    return &process->log;
}

const struct config *role_config(const struct role_process *process)
{
    return &process->config;
}

void role_set_state(struct role_process *process, void *state)
{
    process->state = state;
}

void *role_state(const struct role_process *process)
{
    return process->state;
}

unsigned role_index(const struct role_process *process)
{
    return process->index;
}

enum err role_census(const struct role_process *process, struct task *task, struct net_census **out)
{
    return net_census_open(task, process->census_fd, process->index, out);
}

size_t role_listener_count(const struct role_process *process)
{
    return process->listener_count;
}

struct role_listener *role_listener_at(struct role_process *process, size_t index)
{
    assert(index < process->listener_count);
    return &process->listeners[index];
}

static struct str bytes_of(const struct secret *secret)
{
    return secret == NULL ? STR("") : secret_str(secret);
}

struct str role_certificate_pem(const struct role_process *process)
{
    return bytes_of(process->certificate);
}

struct str role_key_pem(const struct role_process *process)
{
    return bytes_of(process->key);
}

struct str role_host_key(const struct role_process *process)
{
    return bytes_of(process->host_key);
}

struct str role_trust_pem(const struct role_process *process)
{
    return buf_str(&process->trust);
}

struct str role_password(const struct role_process *process)
{
    return bytes_of(process->password);
}

struct wire_channel *role_peer(struct role_process *process, enum wire_role peer, unsigned index)
{
    for (size_t i = 0; i < process->peer_count; i++) {
        if (process->peers[i].kind == peer && process->peers[i].index == index)
            return process->peers[i].channel;
    }
    return NULL;
}

/*
 * The whole content of a file or memfd, into guarded memory. Its size is found by seeking: inside the
 * sandbox the C library's fstat is the call that takes a path, and that is forbidden. The master
 * sends one descriptor to several processes, which share its position: nothing is read from there.
 */
static enum err read_secret(struct task *task, int fd, struct secret **out_secret)
{
    off_t size = lseek(fd, 0, SEEK_END);
    struct secret *secret;

    if (size < 1 || size > SECRET_LEN_MAX)
        return fail(task, ERR_INVALID, "a key or certificate is empty or larger than 64 KiB");
    secret = secret_new((size_t)size);
    if (pread(fd, secret_bytes(secret), (size_t)size, 0) != (ssize_t)size) {
        secret_free(&secret);
        return fail(task, ERR_IO, "reading a key: %s", strerror(errno));
    }
    secret_free(out_secret);
    *out_secret = secret;
    return ERR_OK;
}

static enum err read_config(struct role_process *process, struct task *task, int fd)
{
    CLEANUP(buf_free) struct buf text;
    struct config config;

    buf_init(&text, SIZE_MAX);
    TRY(fd_read_all(task, fd, CONFIG_TEXT_MAX, &text));
    TRY(config_parse(task, "configuration", buf_str(&text), NULL, &config));
    if (process->is_configured) {
        struct retired *retired = NEW(struct retired);

        *retired = (struct retired){process->retired, process->config.arena};
        process->retired = retired;
    }
    process->config = config;
    process->log.level = config.log_level;
    process->log.format = config.log_format;
    return ERR_OK;
}

/* Whom a role trusts, and the password that it has: either may be empty. */
static enum err read_trust(struct role_process *process, struct task *task, const int fds[2])
{
    CLEANUP(buf_free) struct buf pem;

    buf_init(&pem, SIZE_MAX);
    TRY(fd_read_all(task, fds[0], NET_HTTP_TRUST_MAX_BYTES, &pem));
    buf_reset(&process->trust);
    buf_put(&process->trust, buf_str(&pem));
    secret_free(&process->password);
    return lseek(fds[1], 0, SEEK_END) == 0 ? ERR_OK : read_secret(task, fds[1], &process->password);
}

static enum err take_configuration(struct role_process *process, struct task *task,
                                   struct wire_message *message)
{
    struct secret **places[ROLE_FILES_MAX] = {NULL};
    struct role_files files = role_files(process->role->kind);
    size_t count = 0;

    if (files.has_certificate) {
        places[count++] = &process->certificate;
        places[count++] = &process->key;
    }
    if (files.has_host_key)
        places[count++] = &process->host_key;
    if (message->fd_count != count + 1 + (files.has_trust ? 2 : 0))
        return fail(task, ERR_INVALID, "CONFIGURE with %zu descriptors", message->fd_count);
    for (size_t i = 0; i < count; i++)
        TRY(read_secret(task, message->fds[i + 1], places[i]));
    if (files.has_trust)
        TRY(read_trust(process, task, &message->fds[count + 1]));
    TRY(read_config(process, task, message->fds[0]));
    process->is_configured = true;
    return ERR_OK;
}

static void on_peer_message(void *owner, struct wire_channel *channel,
                            struct wire_message *message)
{
    struct peer *peer = owner;

    if (peer->process->role->on_message != NULL)
        peer->process->role->on_message(peer->process, channel, message);
}

static void lose_peer(struct peer *peer)
{
    struct wire_channel *channel = peer->channel;

    if (channel == NULL)
        return;
    peer->channel = NULL; /* role_peer tells the truth inside on_peer_lost */
    if (peer->process->role->on_peer_lost != NULL)
        peer->process->role->on_peer_lost(peer->process, channel);
    wire_channel_free(&channel);
}

static void on_peer_close(void *owner, struct wire_channel *channel)
{
    (void)channel;
    lose_peer(owner);
}

static const struct wire_channel_events peer_events = {.on_message = on_peer_message,
                                                       .on_close = on_peer_close};

static void connect_peer(struct peer *peer)
{
    struct role_process *process = peer->process;

    lose_peer(peer);
    peer->channel = wire_channel_new(process->loop, peer->fd, process->role->kind, peer->kind,
                                     &peer_events, peer, &process->log);
    peer->fd = -1;
    if (process->is_started && process->role->on_peer != NULL)
        process->role->on_peer(process, peer->channel);
}

static struct peer *peer_place(struct role_process *process, enum wire_role kind, unsigned index)
{
    struct peer *peer;

    for (size_t i = 0; i < process->peer_count; i++) {
        if (process->peers[i].kind == kind && process->peers[i].index == index)
            return &process->peers[i];
    }
    if (process->peer_count == ROLE_PEERS_MAX)
        return NULL;
    peer = &process->peers[process->peer_count++];
    *peer = (struct peer){.process = process, .kind = kind, .index = index, .fd = -1};
    return peer;
}

static void take_peer(struct role_process *process, struct wire_message *message)
{
    const struct wire_peer *body = &message->body.peer;
    struct peer *peer;

    if (body->role >= WIRE_ROLE_COUNT || body->index > UINT16_MAX)
        return;
    if (message->fd_count != 1) {
        /* No descriptor was free to receive it with. Nobody sends it again: start anew. */
        log_error(&process->log, "a connection got lost peer=%s",
                  wire_role_name((enum wire_role)body->role));
        if (process->loop != NULL)
            net_loop_stop(process->loop);
        return;
    }
    peer = peer_place(process, (enum wire_role)body->role, (unsigned)body->index);
    if (peer == NULL)
        return;
    fd_close(&peer->fd);
    peer->fd = message->fds[0];
    message->fds[0] = -1;
    if (process->loop != NULL)
        connect_peer(peer);
}

static void take_listener(struct role_process *process, struct wire_message *message)
{
    struct str name = message->body.listener.name;
    size_t at = process->listener_count;

    if (message->fd_count != 1 || at == LISTENERS_MAX || name.len >= NAME_ROOM)
        return;
    memcpy(process->listener_names[at], name.ptr, name.len);
    process->listeners[at] = (struct role_listener){
        .name = str_make(process->listener_names[at], name.len),
        .is_tls = message->body.listener.is_tls,
        .fd = message->fds[0],
    };
    message->fds[0] = -1;
    process->listener_count++;
}

static void take_census(struct role_process *process, struct wire_message *message)
{
    if (message->fd_count != 1)
        return; /* it counts by itself then */
    fd_close(&process->census_fd);
    process->census_fd = message->fds[0];
    message->fds[0] = -1;
}

static void reload(struct role_process *process, struct wire_message *message)
{
    struct task task;

    task_init(&task, clock_now_ms());
    if (take_configuration(process, &task, message) != ERR_OK)
        log_failure(&process->log, "reloading the configuration", &task);
    else if (process->role->on_reload != NULL)
        process->role->on_reload(process);
    task_done(&task);
}

static void stop(struct role_process *process, int64_t grace_ms)
{
    log_debug(&process->log, "stopping");
    if (process->role->on_stop != NULL)
        process->role->on_stop(process, grace_ms);
    else
        net_loop_stop(process->loop);
}

static void on_master_message(void *owner, struct wire_channel *channel,
                              struct wire_message *message)
{
    struct role_process *process = owner;

    (void)channel;
    if (message->type == WIRE_PEER)
        take_peer(process, message);
    else if (message->type == WIRE_CONFIGURE)
        reload(process, message);
    else if (message->type == WIRE_STOP)
        stop(process, (int64_t)message->body.stop.grace_ms);
}

/* Nobody is left who would restart or stop us. */
static void on_master_close(void *owner, struct wire_channel *channel)
{
    struct role_process *process = owner;

    (void)channel;
    log_warning(&process->log, "master is gone, ending");
    net_loop_stop(process->loop);
}

static const struct wire_channel_events master_events = {.on_message = on_master_message,
                                                         .on_close = on_master_close};

/* Until START; everything before the loop exists. */
static enum err receive_start(struct role_process *process, struct task *task, int master_fd)
{
    CLEANUP(buf_free) struct buf storage;
    struct wire_message message;

    buf_init(&storage, SIZE_MAX);
    do {
        enum err err = ERR_OK;

        TRY(wire_receive_blocking(task, master_fd, process->role->kind, WIRE_ROLE_MASTER, &storage,
                                  &message));
        if (message.type == WIRE_CONFIGURE)
            err = take_configuration(process, task, &message);
        else if (message.type == WIRE_PEER)
            take_peer(process, &message);
        else if (message.type == WIRE_LISTENER)
            take_listener(process, &message);
        else if (message.type == WIRE_CENSUS)
            take_census(process, &message);
        for (size_t i = 0; i < message.fd_count; i++)
            fd_close(&message.fds[i]);
        if (err != ERR_OK || message.type == WIRE_STOP)
            return err != ERR_OK ? err : fail(task, ERR_BUSY, "stopped before the start");
    } while (message.type != WIRE_START);
    return process->is_configured ? ERR_OK : fail(task, ERR_INVALID, "START before CONFIGURE");
}

static void begin(struct role_process *process, const struct role *role, unsigned index)
{
    *process = (struct role_process){
        .role = role,
        .index = index,
        .census_fd = -1,
        .log = {.level = LOG_LEVEL_INFO, .fd = STDERR_FILENO, .role = wire_role_name(role->kind)},
    };
    buf_init(&process->trust, SIZE_MAX);
    secret_init();
}

/* Up to the walls: what the role sets up, and what it asks to be left. */
static enum err set_up(struct role_process *process, struct task *task, struct sandbox_rules *rules)
{
    process->loop = net_loop_new();
    if (process->role->setup != NULL)
        TRY(process->role->setup(process, task));
    if (process->role->sandbox != NULL)
        process->role->sandbox(process, rules);
    return ERR_OK;
}

enum err role_rehearse(const struct role *role, struct task *task,
                       const struct role_rehearsal *given, struct sandbox_rules *out_rules)
{
    struct role_process *process = &the_process;

    begin(process, role, 0);
    TRY(config_parse(task, "configuration", given->config, NULL, &process->config));
    if (role_files(role->kind).has_certificate) {
        process->certificate = secret_copy(given->certificate);
        process->key = secret_copy(given->key);
    }
    if (role_files(role->kind).has_host_key)
        process->host_key = secret_copy(given->host_key);
    *out_rules = (struct sandbox_rules){.path_count = 0};
    return set_up(process, task, out_rules);
}

static enum err bring_up(struct role_process *process, struct task *task, int master_fd)
{
    struct sandbox_rules rules = {.path_count = 0};

    TRY(receive_start(process, task, master_fd));
    TRY(identity_become(task, &roles_identity));
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return fail(task, ERR_IO, "prctl: %s", strerror(errno));
    TRY(set_up(process, task, &rules));
    process->master = wire_channel_new(process->loop, master_fd, process->role->kind,
                                       WIRE_ROLE_MASTER, &master_events, process, &process->log);
    TRY(sandbox_enter(task, &rules, process->config.sandbox_required, &process->log));
    for (size_t i = 0; i < process->peer_count; i++)
        connect_peer(&process->peers[i]);
    if (process->role->start != NULL)
        TRY(process->role->start(process, task));
    process->is_started = true;
    for (size_t i = 0; i < process->peer_count; i++) {
        if (process->peers[i].channel != NULL && process->role->on_peer != NULL)
            process->role->on_peer(process, process->peers[i].channel);
    }
    return ERR_OK;
}

_Noreturn void role_run(const struct role *role, int master_fd, unsigned index)
{
    struct role_process *process = &the_process;
    struct wire_ready ready = {.status = WIRE_OK};
    struct task task;

    begin(process, role, index);
    (void)prctl(PR_SET_NAME, wire_role_name(role->kind), 0, 0, 0);
    task_init(&task, clock_now_ms());
    if (bring_up(process, &task, master_fd) != ERR_OK) {
        log_error(&process->log, "could not start: %s (%s)", task.words, err_name(task.err));
        exit(EXIT_FAILURE);
    }
    task_done(&task);
    if (wire_send(process->master, WIRE_READY, 0, &ready, NULL, 0) != ERR_OK)
        exit(EXIT_FAILURE);
    net_loop_run(process->loop);
    log_debug(&process->log, "ended");
    exit(EXIT_SUCCESS);
}
