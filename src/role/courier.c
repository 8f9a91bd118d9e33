/*
 * The courier (design §2): the outbound queue. What it does is in courier/; here it is connected to
 * its peers. It holds the queue's key and, for minutes, keys that mail is signed with; it connects
 * to other servers and may touch nothing but <data>/queue.
 */
#include "courier/courier.h"

#include "base/file.h"
#include "base/memory.h"
#include "role/role.h"
#include "sqlite/db.h"

#include <fcntl.h>
#include <string.h>

struct courier_role {
    struct courier *courier; /* own */
    struct dns_client *dns;  /* own */
    char *folder;            /* own */
};

static struct courier_options options_of(const struct config *config)
{
    return (struct courier_options){
        .hostname = config->hostname,
        .schedule = {.first_ms = (int64_t)config->queue_retry_first_ms,
                     .most_ms = (int64_t)config->queue_retry_most_ms,
                     .lifetime_ms = (int64_t)config->queue_lifetime_ms,
                     .delay_notice_ms = (int64_t)config->queue_delay_notice_ms},
        .suppress_ms = (int64_t)config->queue_suppress_ms,
        .jobs_max = config->queue_jobs_max,
        .jobs_per_lane = config->queue_jobs_per_destination,
    };
}

static enum err setup(struct role_process *process, struct task *task)
{
    struct courier_role *state = NEW(struct courier_role);
    const char *folder = config_path(role_config(process), task, "queue");
    struct courier_options options = options_of(role_config(process));

    role_set_state(process, state);
    state->folder = mem_copy_text(folder, strlen(folder));
    db_init_library();
    /* The sandbox names it, so it must exist. */
    TRY(dir_make(task, AT_FDCWD, state->folder, true));
    state->dns = dns_client_new(role_loop(process));
    state->courier = courier_new(role_loop(process), role_log(process), state->folder, &options);
    return ERR_OK;
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    struct courier_role *state = role_state(process);

    sandbox_allow_path(rules, state->folder, SANDBOX_READ_WRITE);
    rules->may_connect = true;
}

static enum err start(struct role_process *process, struct task *task)
{
    (void)process;
    (void)task;
    return ERR_OK;
}

static void set_peer(struct courier_role *state, enum wire_role peer, struct wire_channel *channel)
{
    if (peer == WIRE_ROLE_RESOLVER)
        dns_client_set_peer(state->dns, channel);
    else if (peer != WIRE_ROLE_SMTP)
        courier_set_peer(state->courier, peer, channel);
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    set_peer(role_state(process), wire_channel_peer(channel), channel);
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    struct courier_role *state = role_state(process);

    if (message->type == WIRE_DNS_ANSWER)
        dns_client_message(state->dns, message);
    else
        courier_message(state->courier, channel, message);
}

static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct courier_role *state = role_state(process);

    courier_asker_gone(state->courier, channel);
    set_peer(state, wire_channel_peer(channel), NULL);
}

static void on_reload(struct role_process *process)
{
    struct courier_role *state = role_state(process);
    struct courier_options options = options_of(role_config(process));

    courier_configure(state->courier, &options);
}

static void on_stopped(void *owner)
{
    struct role_process *process = owner;
    struct courier_role *state = role_state(process);

    courier_free(&state->courier);
    dns_client_free(&state->dns);
    mem_free(&state->folder);
    net_loop_stop(role_loop(process));
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct courier_role *state = role_state(process);

    courier_stop(state->courier, grace_ms, on_stopped, process);
}

const struct role role_courier = {
    .kind = WIRE_ROLE_COURIER,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_peer = on_peer,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_reload = on_reload,
    .on_stop = on_stop,
};
