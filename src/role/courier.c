/*
 * The courier (design §2): the outbound queue. What it does is in courier/; here it is connected to
 * its peers. It holds the queue's key and, for minutes, keys that mail is signed with; it connects
 * to other servers and may touch nothing but <data>/queue.
 */
#include "courier/courier.h"
#include "courier/destinations.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "role/role.h"
#include "sqlite/db.h"

#include <fcntl.h>
#include <string.h>

struct courier_role {
    struct courier *courier; /* own */
    struct dns_client *dns;  /* own */
    struct net_http *http;   /* own */
    struct courier_ways ways;
    char *folder; /* own */
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

/* ---- How other servers are reached ---- */

static size_t count_of(const struct str *list)
{
    size_t count = 0;

    while (count < CONFIG_ADDRESSES_MAX && list[count].len > 0)
        count++;
    return count;
}

/* A host that did not answer is left alone for a part of the queue's own first wait. */
static int64_t first_rest_ms(const struct config *config)
{
    int64_t rest_ms = (int64_t)(config->queue_retry_first_ms / 5) + 1;

    return rest_ms < 60 * 1000 ? rest_ms : 60 * 1000;
}

/* `password` is the settings': it is for the caller to free. */
static struct courier_settings settings_of(const struct role_process *process,
                                           struct secret **out_password)
{
    const struct config *config = role_config(process);

    *out_password =
        role_password(process).len == 0 ? NULL : secret_copy(role_password(process));
    return (struct courier_settings){
        .hostname = config->hostname,
        .port = (uint16_t)config->outgoing_port,
        .smarthost = config->smarthost,
        .smarthost_user = config->smarthost_user,
        .routes = config->outgoing_routes,
        .route_count = count_of(config->outgoing_routes),
        .tls_required = config->outgoing_tls,
        .tls_required_count = count_of(config->outgoing_tls),
        .allow = config->outgoing_allow,
        .allow_count = count_of(config->outgoing_allow),
        .smarthost_password = *out_password,
        .trust_pem = role_trust_pem(process),
        .without_ipv6 = !config->outgoing_ipv6,
        .connections_max = config->queue_jobs_max,
        .connections_per_destination = config->queue_jobs_per_destination,
        .messages_per_minute = config->outgoing_per_minute,
        .dead_ms = first_rest_ms(config),
        .connect_timeout_ms = (int64_t)config->outgoing_connect_timeout_ms,
    };
}

static enum err make_destinations(struct role_process *process, struct task *task)
{
    struct courier_role *state = role_state(process);
    CLEANUP(secret_free) struct secret *password = NULL;
    struct courier_policy_store store = courier_policies(state->courier);
    struct courier_settings settings = settings_of(process, &password);

    return courier_destinations_new(task, role_loop(process), state->dns, state->http, &settings,
                                    &store, role_log(process), &state->ways.destinations);
}

/* Without the system's certificates only what needs none can be reached; the service runs. */
static enum err make_http(struct role_process *process, struct task *task)
{
    struct courier_role *state = role_state(process);
    struct net_http_options options = {.connections_max = 0, .trust_pem = role_trust_pem(process)};

    if (options.trust_pem.len == 0)
        log_warning(role_log(process), "the system has no certificates to trust");
    return net_http_new(role_loop(process), task, &options, &state->http);
}

static struct webhook_options webhooks_of(const struct role_process *process)
{
    const struct config *config = role_config(process);

    return (struct webhook_options){
        .allow = config->webhook_allow,
        .allow_count = count_of(config->webhook_allow),
        .allows_http = config->webhook_http,
    };
}

static enum err make_ways(struct role_process *process, struct task *task)
{
    struct courier_role *state = role_state(process);
    struct webhook_options webhooks = webhooks_of(process);

    TRY(make_http(process, task));
    TRY(make_destinations(process, task));
    webhooks.loop = role_loop(process);
    webhooks.http = state->http;
    webhooks.dns = state->dns;
    webhooks.log = role_log(process);
    state->ways.poster = webhook_poster_new(&webhooks);
    state->ways.start = courier_attempt_start;
    state->ways.cancel = courier_attempt_cancel;
    state->ways.policy = courier_destinations_policy;
    state->ways.revive = courier_destinations_revive;
    state->ways.look = courier_destinations_look;
    state->ways.cancel_look = courier_sts_cancel;
    courier_set_ways(state->courier, &state->ways);
    return ERR_OK;
}

/* ---- The process ---- */

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
    return make_ways(process, task);
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
    CLEANUP(secret_free) struct secret *password = NULL;
    struct courier_settings settings = settings_of(process, &password);
    struct webhook_options webhooks = webhooks_of(process);
    struct task task;

    courier_configure(state->courier, &options);
    webhook_poster_configure(state->ways.poster, &webhooks);
    task_init(&task, clock_now_ms());
    if (net_http_set_trust(state->http, &task, role_trust_pem(process)) != ERR_OK ||
        courier_destinations_configure(state->ways.destinations, &task, &settings) != ERR_OK)
        log_failure(role_log(process), "the settings of outgoing mail", &task);
    task_done(&task);
}

static void on_stopped(void *owner)
{
    struct role_process *process = owner;
    struct courier_role *state = role_state(process);

    courier_free(&state->courier);
    webhook_poster_free(&state->ways.poster);
    courier_destinations_free(&state->ways.destinations);
    net_http_free(&state->http);
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
