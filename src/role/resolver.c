/*
 * The resolver (design §2): every other role's questions to the DNS, answered from memory or by the
 * DNS over HTTPS servers. How is in dns/resolver.h; here it is connected to its peers. It connects
 * to the servers of the configuration, touches no file after its start, and holds at most the password
 * of a Redis.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "dns/resolver.h"
#include "role/config_value.h"
#include "role/role.h"

#include <inttypes.h>

/* What the configuration says, and SIGHUP replaces. */
struct servers {
    struct dns_upstreams *upstreams; /* own */
    struct dns_upstreams *filter;    /* own; NULL: not set */
    struct dns_direct *list;         /* own; NULL: not set */
    struct dns_redis *redis;         /* own; NULL: not set */
};

struct resolver {
    struct role_process *process; /* borrowed */
    struct net_http *http;        /* own */
    struct servers servers;       /* own */
    struct dns_resolver *dns;     /* own; NULL until the start */
};

static void servers_free(struct servers *servers)
{
    dns_upstreams_free(&servers->upstreams);
    dns_upstreams_free(&servers->filter);
    dns_direct_free(&servers->list);
    dns_redis_free(&servers->redis);
}

static struct dns_direct *new_direct(struct net_loop *loop, const struct config *config)
{
    struct dns_direct *direct = NULL;
    struct sockaddr_storage address;
    socklen_t len;

    for (size_t i = 0; i < CONFIG_ADDRESSES_MAX && config->dns_list_resolver[i].len > 0; i++) {
        if (config_parse_address(config->dns_list_resolver[i], &address, &len) != NULL)
            continue;
        if (direct == NULL)
            direct = dns_direct_new(loop);
        dns_direct_add(direct, &address, len);
    }
    return direct;
}

/* NULL: none is set. */
static enum err new_upstreams(const struct resolver *resolver, struct task *task,
                              const struct str *places, struct dns_upstreams **out)
{
    enum err err = ERR_OK;

    *out = NULL;
    for (size_t i = 0; i < CONFIG_ADDRESSES_MAX && places[i].len > 0 && err == ERR_OK; i++) {
        if (*out == NULL)
            *out = dns_upstreams_new(role_loop(resolver->process), resolver->http,
                                     role_log(resolver->process));
        err = dns_upstreams_add(*out, task, places[i]);
    }
    return err;
}

static enum err servers_make(struct resolver *resolver, struct task *task, struct servers *out)
{
    const struct config *config = role_config(resolver->process);
    struct net_loop *loop = role_loop(resolver->process);
    const struct log *log = role_log(resolver->process);
    struct servers servers = {.list = new_direct(loop, config)};
    struct sockaddr_storage address;
    socklen_t len;
    enum err err = new_upstreams(resolver, task, config->dns_upstreams, &servers.upstreams);

    if (err == ERR_OK)
        err = new_upstreams(resolver, task, config->dns_filter_upstreams, &servers.filter);
    if (err != ERR_OK) {
        servers_free(&servers);
        return err;
    }
    if (config->redis.len > 0 && config_parse_server(config->redis, &address, &len) == NULL)
        servers.redis = dns_redis_new(loop, &address, len,
                                      role_password(resolver->process), log);
    *out = servers;
    return ERR_OK;
}

static struct dns_resolver_options options_of(const struct resolver *resolver)
{
    return (struct dns_resolver_options){
        .cache_bytes = (size_t)role_config(resolver->process)->dns_cache_size,
        .upstreams = resolver->servers.upstreams,
        .filter = resolver->servers.filter,
        .list = resolver->servers.list,
        .redis = resolver->servers.redis,
        .log = role_log(resolver->process),
    };
}

/* ---- Messages ---- */

static void on_result(void *owner, uint64_t tag, const struct dns_result *result)
{
    struct wire_dns_answer body = {
        .status = result->status, .is_secure = result->is_secure, .records = result->records};
    enum err err = wire_send(owner, WIRE_DNS_ANSWER, tag, &body, NULL, 0);

    (void)err; /* who does not read what he asked for waits in vain, as if nobody had answered */
}

static bool is_known_type(uint64_t type)
{
    static const enum dns_type types[] = {
        DNS_TYPE_A,  DNS_TYPE_NS,  DNS_TYPE_CNAME, DNS_TYPE_SOA, DNS_TYPE_PTR,
        DNS_TYPE_MX, DNS_TYPE_TXT, DNS_TYPE_AAAA,  DNS_TYPE_SRV, DNS_TYPE_TLSA,
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (types[i] == type)
            return true;
    }
    return false;
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    static const struct dns_result unknown = {.status = DNS_FAILED};
    struct resolver *resolver = role_state(process);
    const struct wire_dns_query *query = &message->body.dns_query;

    if (message->type != WIRE_DNS_QUERY)
        return;
    if (is_known_type(query->type))
        dns_resolver_ask(resolver->dns, query->name, (enum dns_type)query->type,
                         query->is_list       ? DNS_SERVICE_LISTS
                         : query->is_filtered ? DNS_SERVICE_FILTER
                                              : DNS_SERVICE_GENERAL,
                         on_result, channel, message->tag);
    else
        on_result(channel, message->tag, &unknown);
}

static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct resolver *resolver = role_state(process);

    if (resolver->dns != NULL)
        dns_resolver_forget(resolver->dns, channel);
}

/* ---- The process ---- */

/* Without the system's certificates, only those who set dns_upstream_ca can be asked; the service runs,
 * and says what is missing. */
static void warn_of_trust(const struct resolver *resolver)
{
    if (role_trust_pem(resolver->process).len == 0)
        log_warning(role_log(resolver->process),
                    "the system has no certificates to trust: the DNS cannot be asked");
}

static enum err setup(struct role_process *process, struct task *task)
{
    struct resolver *resolver = NEW(struct resolver);
    struct net_http_options options = {.connections_max = 0, .trust_pem = role_trust_pem(process)};

    role_set_state(process, resolver);
    resolver->process = process;
    warn_of_trust(resolver);
    return net_http_new(role_loop(process), task, &options, &resolver->http);
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    const struct config *config = role_config(process);

    rules->may_connect = true;
    rules->may_connect_local = config->redis.len > 0 && config->redis.ptr[0] == '/';
}

static enum err start(struct role_process *process, struct task *task)
{
    struct resolver *resolver = role_state(process);
    struct dns_resolver_options options;

    TRY(servers_make(resolver, task, &resolver->servers));
    options = options_of(resolver);
    resolver->dns = dns_resolver_new(&options);
    return ERR_OK;
}

static void on_reload(struct role_process *process)
{
    struct resolver *resolver = role_state(process);
    struct servers old = resolver->servers;
    struct dns_resolver_options options;
    struct task task;

    task_init(&task, clock_now_ms());
    if (net_http_set_trust(resolver->http, &task, role_trust_pem(process)) == ERR_OK &&
        servers_make(resolver, &task, &resolver->servers) == ERR_OK) {
        options = options_of(resolver);
        dns_resolver_reconfigure(resolver->dns, &options);
        servers_free(&old);
    } else {
        log_failure(role_log(process), "new DNS servers", &task);
    }
    task_done(&task);
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct resolver *resolver = role_state(process);
    const struct dns_resolver_numbers *numbers = dns_resolver_numbers(resolver->dns);

    (void)grace_ms;
    log_info(role_log(process),
             "asked=%" PRIu64 " cached=%" PRIu64 " shared=%" PRIu64 " joined=%" PRIu64
             " refused=%" PRIu64 " failed=%" PRIu64,
             numbers->asked, numbers->cached, numbers->shared, numbers->joined, numbers->refused,
             numbers->failed);
    dns_resolver_free(&resolver->dns);
    servers_free(&resolver->servers);
    net_http_free(&resolver->http);
    net_loop_stop(role_loop(process));
}

const struct role role_resolver = {
    .kind = WIRE_ROLE_RESOLVER,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_reload = on_reload,
    .on_stop = on_stop,
};
