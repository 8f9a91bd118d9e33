#include "courier/rules.h"

enum {
    SMTP_PORT = 25,
    CONNECTIONS_MAX = 100,
    CONNECTIONS_PER_DESTINATION = 5,
    MESSAGES_PER_CONNECTION = 100,
    IDLE_MS = 5 * 1000,
    DEAD_MS = 60 * 1000,
};

static const struct str *copy_list(struct arena *arena, const struct str *list, size_t count)
{
    struct str *copies = ARENA_ARRAY(arena, struct str, count + 1);

    for (size_t i = 0; i < count; i++)
        copies[i] = arena_copy(arena, list[i]);
    return copies;
}

static uint64_t or_else(uint64_t given, uint64_t fallback)
{
    return given > 0 ? given : fallback;
}

static int64_t or_else_ms(int64_t given_ms, int64_t fallback_ms)
{
    return given_ms > 0 ? given_ms : fallback_ms;
}

static void copy_settings(struct courier_rules *rules, const struct courier_settings *settings)
{
    struct courier_settings *own = &rules->settings;
    struct arena *arena = &rules->arena;

    *own = *settings;
    own->hostname = arena_copy(arena, settings->hostname);
    own->smarthost = arena_copy(arena, settings->smarthost);
    own->smarthost_user = arena_copy(arena, settings->smarthost_user);
    own->tls_required = copy_list(arena, settings->tls_required, settings->tls_required_count);
    own->port = settings->port > 0 ? settings->port : SMTP_PORT;
    own->connections_max = or_else(settings->connections_max, CONNECTIONS_MAX);
    own->connections_per_destination =
        or_else(settings->connections_per_destination, CONNECTIONS_PER_DESTINATION);
    own->messages_per_connection =
        or_else(settings->messages_per_connection, MESSAGES_PER_CONNECTION);
    own->idle_ms = or_else_ms(settings->idle_ms, IDLE_MS);
    own->dead_ms = or_else_ms(settings->dead_ms, DEAD_MS);
    own->trust_pem = STR("");
    own->allow = own->own_addresses = NULL;
    own->allow_count = own->own_address_count = 0;
}

/* Splits each route into its domain, which stays in settings.routes, and its host. */
static enum err read_routes(struct courier_rules *rules, struct task *task,
                            const struct courier_settings *settings)
{
    struct str *domains = ARENA_ARRAY(&rules->arena, struct str, settings->route_count + 1);

    rules->routes = ARENA_ARRAY(&rules->arena, struct courier_target, settings->route_count + 1);
    for (size_t i = 0; i < settings->route_count; i++) {
        struct str host;

        TRY(courier_route_split(task, settings->routes[i], &domains[i], &host));
        domains[i] = arena_copy(&rules->arena, domains[i]);
        TRY(courier_host_parse(task, &rules->arena, host, &rules->routes[i]));
        rules->routes[i].is_trusted = true;
    }
    rules->settings.routes = domains;
    if (settings->smarthost.len > 0) {
        TRY(courier_host_parse(task, &rules->arena, settings->smarthost, &rules->smarthost));
        rules->smarthost.is_trusted = rules->smarthost.is_smarthost = true;
    }
    return ERR_OK;
}

static enum err read_addresses(struct courier_rules *rules, struct task *task,
                               const struct courier_settings *settings)
{
    struct ip_network *allow =
        ARENA_ARRAY(&rules->arena, struct ip_network, settings->allow_count + 1);
    struct ip_address *own =
        ARENA_ARRAY(&rules->arena, struct ip_address, settings->own_address_count + 1);

    for (size_t i = 0; i < settings->allow_count; i++)
        if (!ip_network_parse(settings->allow[i], &allow[i]))
            return fail(task, ERR_INVALID, "not a network: %.*s", STR_ARG(settings->allow[i]));
    for (size_t i = 0; i < settings->own_address_count; i++)
        if (!ip_address_parse(settings->own_addresses[i], &own[i]))
            return fail(task, ERR_INVALID, "not an address: %.*s",
                        STR_ARG(settings->own_addresses[i]));
    rules->allow = allow;
    rules->allow_count = settings->allow_count;
    rules->own_addresses = own;
    rules->own_address_count = settings->own_address_count;
    return ERR_OK;
}

enum err courier_rules_read(struct task *task, const struct courier_settings *settings,
                            struct courier_rules *out)
{
    struct courier_rules rules = {.arena = {NULL}};
    enum err err;

    copy_settings(&rules, settings);
    err = read_routes(&rules, task, settings);
    if (err == ERR_OK)
        err = read_addresses(&rules, task, settings);
    if (err == ERR_OK)
        *out = rules;
    else
        courier_rules_done(&rules);
    return err;
}

void courier_rules_done(struct courier_rules *rules)
{
    arena_free(&rules->arena);
}
