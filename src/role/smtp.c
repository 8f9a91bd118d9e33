/*
 * The SMTP role (design §2): mail from anybody on the MX ports, from our users on the submission
 * ports. What it does is in smtp/server/; here it is connected to its peers. It holds the TLS key
 * and, while they arrive, messages; it may open no file.
 */
#include "base/memory.h"
#include "role/config_value.h"
#include "role/role.h"
#include "smtp/server/service.h"

struct smtp {
    struct ip_network trusted[CONFIG_ADDRESSES_MAX];
    size_t trusted_count;
    struct net_tls *tls;        /* own */
    struct smtp_server *server; /* own */
    struct net_census *census;  /* own */
};

static bool is_exempt(void *owner, struct str address)
{
    const struct smtp *smtp = owner;

    for (size_t i = 0; i < smtp->trusted_count; i++) {
        if (config_network_contains(&smtp->trusted[i], address))
            return true;
    }
    return false;
}

/* The texts were found to be right when the configuration was read. */
static void read_lists(struct smtp *smtp, const struct config *config,
                       struct smtp_check_rules *out)
{
    *out = (struct smtp_check_rules){
        .refusal_score = config->dnsbl_refuse * 1000,
        .are_domains_checked = config->check_senders,
    };
    smtp->trusted_count = 0;
    for (size_t i = 0; i < CONFIG_ADDRESSES_MAX; i++) {
        struct smtp_list *list = &out->lists[out->list_count];

        if (config->trusted_clients[i].len > 0 &&
            config_parse_network(config->trusted_clients[i],
                                 &smtp->trusted[smtp->trusted_count]) == NULL)
            smtp->trusted_count++;
        if (config->dnsbl[i].len > 0 &&
            config_parse_block_list(config->dnsbl[i], &list->zone, &list->score) == NULL)
            out->list_count++;
    }
}

static void configure(struct role_process *process)
{
    const struct config *config = role_config(process);
    struct smtp *smtp = role_state(process);
    struct smtp_service_options options = {
        .hostname = config->hostname,
        .message_size_max = config->message_size_max,
        .recipients_max = config->recipients_max,
        .hops_max = config->hops_max,
        .login_timeout_ms = (int64_t)config->login_timeout_ms,
        .connections_max = config->connections_max,
        .connections_per_address_max = config->connections_per_address_max,
        .census = smtp->census,
        .plain_login_on_loopback = config->plain_login_on_loopback,
        .loopback_is_foreign = config->loopback_is_foreign,
        .is_exempt = is_exempt,
        .exempt_owner = smtp,
    };

    read_lists(smtp, config, &options.checks);
    smtp_server_configure(smtp->server, &options);
}

static enum err setup(struct role_process *process, struct task *task)
{
    struct smtp *smtp = NEW(struct smtp);

    role_set_state(process, smtp);
    TRY(net_tls_new(task, role_certificate_pem(process), role_key_pem(process), &smtp->tls));
    TRY(role_census(process, task, &smtp->census));
    smtp->server = smtp_server_new(role_loop(process), role_log(process), smtp->tls);
    configure(process);
    return ERR_OK;
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    (void)process;
    rules->may_accept = true;
    rules->may_send_descriptors = true;
}

static enum err start(struct role_process *process, struct task *task)
{
    struct smtp *smtp = role_state(process);

    for (size_t i = 0; i < role_listener_count(process); i++) {
        struct role_listener *listener = role_listener_at(process, i);
        bool is_mx = str_equal(listener->name, STR("mx"));

        if (!is_mx && !str_equal(listener->name, STR("submission")) &&
            !str_equal(listener->name, STR("submissions")))
            return fail(task, ERR_INVALID, "a listener that is not for SMTP");
        smtp_server_listen(smtp->server, listener->fd,
                           is_mx ? SMTP_SERVICE_MX : SMTP_SERVICE_SUBMISSION, listener->is_tls);
        listener->fd = -1;
    }
    return ERR_OK;
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    struct smtp *smtp = role_state(process);

    smtp_server_add_peer(smtp->server, channel);
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    struct smtp *smtp = role_state(process);

    smtp_server_message(smtp->server, channel, message);
}

static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct smtp *smtp = role_state(process);

    smtp_server_remove_peer(smtp->server, channel);
}

static void on_reload(struct role_process *process)
{
    struct smtp *smtp = role_state(process);
    struct task task;

    task_init(&task, 0);
    if (net_tls_replace(smtp->tls, &task, role_certificate_pem(process), role_key_pem(process)) !=
        ERR_OK)
        log_failure(role_log(process), "new certificate", &task);
    task_done(&task);
    configure(process);
}

static void on_stopped(void *owner)
{
    struct role_process *process = owner;
    struct smtp *smtp = role_state(process);

    smtp_server_free(&smtp->server);
    net_census_close(&smtp->census);
    net_tls_free(&smtp->tls);
    net_loop_stop(role_loop(process));
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct smtp *smtp = role_state(process);

    smtp_server_stop(smtp->server, grace_ms, on_stopped, process);
}

const struct role role_smtp = {
    .kind = WIRE_ROLE_SMTP,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_peer = on_peer,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_reload = on_reload,
    .on_stop = on_stop,
    .is_per_core = true,
};
