#include "net/target.h"

#include "base/ascii.h"
#include "base/memory.h"
#include "net/address_class.h"

#include <stdio.h>

enum { LOWEST_FREE_PORT = 1024 };

struct net_target_rules {
    struct arena arena;
    struct ip_network *networks; /* in the arena, as the names */
    size_t network_count;
    struct str *names;
    size_t name_count;
    bool allows_http;
};

/* The name as net_url_parse writes it. */
static bool parse_name(struct arena *arena, struct str text, struct str *out)
{
    struct net_url url;

    if (text.len == 0 || text.len > NET_URL_MAX / 2 || str_index(text, '/') >= 0 ||
        str_index(text, ':') >= 0)
        return false;
    if (net_url_parse(arena, arena_printf(arena, "https://%.*s/", STR_ARG(text)), &url) != NULL)
        return false;
    *out = url.host;
    return !url.is_address;
}

const char *net_target_allow_reason(struct str text)
{
    struct arena arena = {NULL};
    struct ip_network network;
    struct str name;
    bool is_one = ip_network_parse(text, &network) || parse_name(&arena, text, &name);

    arena_free(&arena);
    return is_one ? NULL : "neither a host name nor a network such as 10.0.0.0/8";
}

void net_target_rules_set(struct net_target_rules *rules, const struct str *allow,
                          size_t allow_count)
{
    arena_free(&rules->arena);
    rules->network_count = rules->name_count = 0;
    rules->networks = ARENA_ARRAY(&rules->arena, struct ip_network, allow_count + 1);
    rules->names = ARENA_ARRAY(&rules->arena, struct str, allow_count + 1);
    for (size_t i = 0; i < allow_count && allow[i].len > 0; i++) {
        if (ip_network_parse(allow[i], &rules->networks[rules->network_count]))
            rules->network_count++;
        else if (parse_name(&rules->arena, allow[i], &rules->names[rules->name_count]))
            rules->name_count++;
    }
}

struct net_target_rules *net_target_rules_new(const struct str *allow, size_t allow_count,
                                              bool allows_http)
{
    struct net_target_rules *rules = NEW(struct net_target_rules);

    rules->allows_http = allows_http;
    net_target_rules_set(rules, allow, allow_count);
    return rules;
}

void net_target_rules_free(struct net_target_rules **rules)
{
    if (*rules == NULL)
        return;
    arena_free(&(*rules)->arena);
    mem_free(rules);
}

static bool is_named(const struct net_target_rules *rules, struct str host)
{
    for (size_t i = 0; i < rules->name_count; i++) {
        if (str_equal(rules->names[i], host))
            return true;
    }
    return false;
}

static bool is_in_network(const struct net_target_rules *rules, const struct ip_address *address)
{
    for (size_t i = 0; i < rules->network_count; i++) {
        if (ip_network_has(&rules->networks[i], address))
            return true;
    }
    return false;
}

static const char *forbidden_words(enum net_address_class class)
{
    static const char *const words[] = {
        [NET_ADDRESS_PUBLIC] = NULL,
        [NET_ADDRESS_UNSPECIFIED] = "the target is an unspecified address",
        [NET_ADDRESS_LOOPBACK] = "the target is a loopback address",
        [NET_ADDRESS_PRIVATE] = "the target is a private address",
        [NET_ADDRESS_SHARED] = "the target is a shared address (100.64.0.0/10)",
        [NET_ADDRESS_LINK_LOCAL] = "the target is a link-local address",
        [NET_ADDRESS_MULTICAST] = "the target is a multicast address",
        [NET_ADDRESS_DOCUMENTATION] = "the target is an address for documentation",
        [NET_ADDRESS_BENCHMARKING] = "the target is an address for benchmarks",
        [NET_ADDRESS_TRANSLATED] = "the target is an IPv4 address inside an IPv6 one",
        [NET_ADDRESS_RESERVED] = "the target is a reserved address",
    };

    return words[class];
}

static const char *service_reason(const struct net_target_rules *rules, const struct net_url *url)
{
    if (!url->is_https && !rules->allows_http)
        return "the target is http, not https";
    if (url->port < LOWEST_FREE_PORT && url->port != 80 && url->port != 443)
        return "the target's port is another service's";
    return NULL;
}

const char *net_target_reason(const struct net_target_rules *rules, const struct net_url *url,
                              const struct ip_address *addresses, size_t count)
{
    bool is_public = false;

    if (count == 0)
        return "the target has no address";
    if (!url->is_address && is_named(rules, url->host))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const char *reason = forbidden_words(net_address_class(&addresses[i]));

        if (is_in_network(rules, &addresses[i]))
            continue;
        if (reason != NULL)
            return reason;
        is_public = true;
    }
    return is_public ? service_reason(rules, url) : NULL;
}

const char *net_target_url_reason(const struct net_target_rules *rules, struct str text)
{
    struct arena arena = {NULL};
    struct net_url url;
    const char *reason = net_url_parse(&arena, text, &url);

    if (reason == NULL && url.is_address)
        reason = net_target_reason(rules, &url, &url.address, 1);
    else if (reason == NULL && rules->network_count == 0 && !is_named(rules, url.host))
        reason = service_reason(rules, &url);
    arena_free(&arena);
    return reason;
}
