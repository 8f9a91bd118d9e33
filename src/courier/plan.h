/*
 * Which hosts take a destination's mail, in which order, at which addresses, and what its DNS and
 * its policy demand of TLS there (RFC 5321 §5.1, RFC 7505, RFC 7672, RFC 8461). A plan is made once
 * for all attempts while the DNS says it holds.
 *
 *   domain      MX, then addresses of each host; without MX the domain's own addresses
 *   [literal]   that address
 *   host:port   of a route: its addresses
 *
 * TLSA records are looked for where the host's name leads by CNAME, if every step is secure, and where
 * there are none at the name itself (RFC 7672 §2.2.2); if the addresses are not secure but the first
 * CNAME is, at the name itself.
 *
 * An address that a stranger's DNS names must be public, or in one of the networks of
 * `outbound_allow`: mail would be a way to speak to our own network. Our own name or address among
 * MX hosts means that mail would come back: it goes, and all that are not preferred to it.
 */
#ifndef COURIER_PLAN_H
#define COURIER_PLAN_H

#include "courier/route.h"
#include "courier/sts.h"
#include "smtp/client/reply.h"

enum {
    COURIER_HOSTS_MAX = 5,     /* that are tried */
    COURIER_ADDRESSES_MAX = 8, /* of each */
    COURIER_MX_MAX = 64,       /* that are looked at */
    COURIER_PLAN_MAX_MS = 5 * 60 * 1000,
    COURIER_PLAN_LEAST_MS = 5 * 1000,
};

struct courier_host {
    struct str name; /* A-labels, lower case; or an address literal with its brackets */
    uint16_t preference;
    struct ip_address addresses[COURIER_ADDRESSES_MAX];
    size_t address_count;
    struct str tls_name; /* with TLSA records: the name at which they stand, which is what the server must
                          * prove to be (RFC 7672 §3.2.2, §8.1) */
    struct str *tlsa; /* usable records */
    size_t tlsa_count;
    bool has_unusable_tlsa; /* secure records, none of them usable: TLS, whoever it is */
    bool is_tlsa_unknown;   /* the look-up failed: nothing may be sent there */
    bool is_in_policy;      /* MTA-STS names it, or there is none in force */
    /* Without addresses: why. */
    struct smtp_enhanced enhanced;
    const char *problem;
    bool is_temporary;
};

struct courier_plan {
    struct arena arena;
    unsigned ref_count;
    struct courier_host hosts[COURIER_HOSTS_MAX];
    size_t host_count;
    uint16_t port;
    bool is_enforced; /* an MTA-STS policy in mode enforce */
    bool is_vouched;  /* the hosts' names come from secure DNS or from MTA-STS (RFC 8689 §4.2.1) */
    bool is_route;    /* of the configuration */
    int64_t valid_until_ms; /* clock_monotonic_ms */
    /* Without hosts: why. */
    bool is_temporary;
    struct smtp_enhanced enhanced;
    const char *problem;
};

struct courier_planning;

struct courier_planner {
    struct net_loop *loop;
    struct dns_client *dns;
    struct courier_sts *sts;
    const struct log *log;
    struct str hostname;
    const struct ip_address *own_addresses;
    size_t own_address_count;
    const struct ip_network *allow;
    size_t allow_count;
    bool without_ipv6, without_ipv4;
    uint16_t port; /* of MX hosts */
};

/* The plan is the callee's (courier_plan_unref); the planning is freed behind it. */
typedef void (*courier_on_plan)(void *owner, struct courier_plan *plan);

/*
 * `target`: see courier_target_of. `planner` is borrowed until then. Always answers later.
 */
struct courier_planning *courier_plan_start(const struct courier_planner *planner,
                                            const struct courier_target *target,
                                            courier_on_plan on_plan, void *owner);
void courier_plan_cancel(struct courier_planning **planning);

/* A plan is shared by the attempts that follow it, and goes with the last. */
void courier_plan_ref(struct courier_plan *plan);
void courier_plan_unref(struct courier_plan **plan);

#endif
