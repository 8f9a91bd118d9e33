/*
 * A planning asks in turns, each of which waits for all of its answers:
 *
 *   MX and MTA-STS ──> A and AAAA of each host ──> TLSA and CNAME of the hosts whose names are secure,
 *   and TLSA of what the CNAMEs lead to ──> plan
 *
 * `waiting` counts the answers that the turn waits for; `turn_done` goes on.
 */
#include "courier/plan.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "net/address_class.h"
#include "net/tls_client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEGATIVE_TTL_S = 60, TLSA_NAME_ROOM = DNS_NAME_MAX + 32, ALIASES_MAX = 8 };

enum turn { TURN_NAMES, TURN_ADDRESSES, TURN_TLSA, TURN_DONE };
enum family { FAMILY_V6, FAMILY_V4, FAMILY_COUNT };

/* What is asked about one host. */
struct asking {
    struct courier_planning *planning;
    struct courier_host *host; /* in the plan */
    struct dns_query *families[FAMILY_COUNT], *tlsa, *alias, *alias_tlsa;
    struct ip_address found[FAMILY_COUNT][COURIER_ADDRESSES_MAX];
    size_t found_count[FAMILY_COUNT];
    bool is_secure; /* the addresses */
    struct str expanded;   /* where CNAMEs lead from the host's name; it itself: no further */
    unsigned alias_count;
    bool is_alias_unknown; /* a look-up of them failed */
    /* What TLSA said at the name, and where it leads. */
    struct tlsa_found {
        struct str *usable; /* in the plan's arena */
        size_t count;
        bool is_there, is_unknown;
    } at_name, at_expanded;
    bool has_failed, has_forbidden, is_ourselves;
};

struct courier_planning {
    const struct courier_planner *planner;
    struct arena arena;
    struct courier_target target;
    struct courier_plan *plan;
    struct net_timer *kick;
    struct dns_query *mx;
    struct courier_sts_question *sts;
    struct courier_sts_policy policy; /* a copy */
    bool has_policy, is_secure;       /* of the hosts' names */
    struct asking askings[COURIER_HOSTS_MAX];
    enum turn turn;
    size_t waiting;
    uint32_t ttl_s;
    courier_on_plan on_plan;
    void *owner;
};

void courier_plan_ref(struct courier_plan *plan)
{
    plan->ref_count++;
}

void courier_plan_unref(struct courier_plan **plan)
{
    struct courier_plan *gone = *plan;

    *plan = NULL;
    if (gone == NULL || --gone->ref_count > 0)
        return;
    arena_free(&gone->arena);
    mem_free(&gone);
}

void courier_plan_cancel(struct courier_planning **planning)
{
    struct courier_planning *gone = *planning;

    *planning = NULL;
    if (gone == NULL)
        return;
    dns_query_cancel(&gone->mx);
    courier_sts_cancel(&gone->sts);
    for (size_t i = 0; i < COURIER_HOSTS_MAX; i++) {
        dns_query_cancel(&gone->askings[i].families[FAMILY_V4]);
        dns_query_cancel(&gone->askings[i].families[FAMILY_V6]);
        dns_query_cancel(&gone->askings[i].tlsa);
        dns_query_cancel(&gone->askings[i].alias);
        dns_query_cancel(&gone->askings[i].alias_tlsa);
    }
    net_timer_free(&gone->kick);
    courier_plan_unref(&gone->plan);
    arena_free(&gone->arena);
    mem_free(&gone);
}

static void give(struct courier_planning *planning)
{
    struct courier_plan *plan = planning->plan;
    courier_on_plan on_plan = planning->on_plan;
    void *owner = planning->owner;
    int64_t for_ms = (int64_t)planning->ttl_s * 1000;

    if (for_ms > COURIER_PLAN_MAX_MS)
        for_ms = COURIER_PLAN_MAX_MS;
    if (for_ms < COURIER_PLAN_LEAST_MS || plan->is_temporary)
        for_ms = COURIER_PLAN_LEAST_MS;
    plan->valid_until_ms = clock_monotonic_ms() + for_ms;
    planning->plan = NULL;
    courier_plan_cancel(&planning);
    on_plan(owner, plan);
}

/* There is no host to go to. */
static void refuse(struct courier_planning *planning, bool is_temporary,
                   struct smtp_enhanced enhanced, const char *problem)
{
    planning->plan->host_count = 0;
    planning->plan->is_temporary = is_temporary;
    planning->plan->enhanced = enhanced;
    planning->plan->problem = problem;
    planning->turn = TURN_DONE;
}

static void next_turn(struct courier_planning *planning);

static void turn_done(struct courier_planning *planning)
{
    if (planning->waiting == 0)
        next_turn(planning);
}

static void note_ttl(struct courier_planning *planning, const struct dns_answer *answer)
{
    if (answer->status != DNS_OK && planning->ttl_s > NEGATIVE_TTL_S)
        planning->ttl_s = NEGATIVE_TTL_S;
    for (size_t i = 0; answer->status == DNS_OK && i < answer->count; i++)
        if (answer->records[i].ttl_s < planning->ttl_s)
            planning->ttl_s = answer->records[i].ttl_s;
}

/* ---- names ---- */

static struct courier_host *add_host(struct courier_planning *planning, struct str name,
                                     uint16_t preference)
{
    struct courier_plan *plan = planning->plan;
    struct courier_host *host = &plan->hosts[plan->host_count];

    *host = (struct courier_host){
        .name = arena_copy(&plan->arena, name), .preference = preference, .is_in_policy = true};
    planning->askings[plan->host_count].planning = planning;
    planning->askings[plan->host_count].host = host;
    plan->host_count++;
    return host;
}

static int by_preference(const void *a, const void *b)
{
    const struct dns_record *const *left = a, *const *right = b;

    return (*left)->preference - (*right)->preference;
}

/* In random order first, so that equal preferences share the load (RFC 5321 §5.1). */
static void order(const struct dns_record **records, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below((uint32_t)i);
        const struct dns_record *moved = records[i - 1];

        records[i - 1] = records[other];
        records[other] = moved;
    }
    if (count > 0)
        qsort(records, count, sizeof(records[0]), by_preference);
}

static void take_mx(struct courier_planning *planning, const struct dns_answer *answer)
{
    const struct dns_record *records[COURIER_MX_MAX];
    size_t count = 0, left = 0;
    bool has_null = false;

    for (size_t i = 0; i < answer->count && count < COURIER_MX_MAX; i++) {
        if (answer->records[i].name.len == 0)
            has_null = true;
        else
            records[count++] = &answer->records[i];
    }
    if (count == 0 && has_null) {
        refuse(planning, false, (struct smtp_enhanced){5, 1, 10},
               "the domain takes no mail (its MX says so)"); /* RFC 7505 */
        return;
    }
    if (count == 0) {
        add_host(planning, planning->target.host, 0);
        return;
    }
    order(records, count);
    while (left < count && !str_equal_nocase(records[left]->name, planning->planner->hostname))
        left++;
    /* Those before us that are no better than we go, too. */
    if (left < count) {
        uint16_t own = records[left]->preference;

        while (left > 0 && records[left - 1]->preference >= own)
            left--;
    }
    if (left == 0) {
        refuse(planning, false, (struct smtp_enhanced){5, 4, 6},
               "this host is the domain's best MX, but does not know the domain");
        return;
    }
    for (size_t i = 0; i < left && planning->plan->host_count < COURIER_HOSTS_MAX; i++)
        add_host(planning, records[i]->name, records[i]->preference);
}

static void on_mx(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct courier_planning *planning = owner;

    (void)task;
    planning->mx = NULL;
    planning->waiting--;
    planning->is_secure = answer->is_secure;
    note_ttl(planning, answer);
    switch (answer->status) {
    case DNS_OK:
        take_mx(planning, answer);
        break;
    case DNS_NO_DATA: /* the domain itself is the host (§5.1) */
        add_host(planning, planning->target.host, 0);
        break;
    case DNS_NO_NAME:
        refuse(planning, false, (struct smtp_enhanced){5, 1, 2}, "the domain does not exist");
        break;
    case DNS_FAILED:
        refuse(planning, true, (struct smtp_enhanced){4, 4, 3},
               "the domain's mail hosts could not be looked up");
        break;
    }
    turn_done(planning);
}

static void on_policy(void *owner, const struct courier_sts_policy *policy)
{
    struct courier_planning *planning = owner;

    planning->sts = NULL;
    planning->waiting--;
    if (policy != NULL) {
        planning->has_policy = true;
        planning->policy = *policy;
        planning->policy.mx = ARENA_ARRAY(&planning->arena, struct str, policy->mx_count);
        for (size_t i = 0; i < policy->mx_count; i++)
            planning->policy.mx[i] = arena_copy(&planning->arena, policy->mx[i]);
    }
    turn_done(planning);
}

static void apply_policy(struct courier_planning *planning)
{
    struct courier_plan *plan = planning->plan;

    if (!planning->has_policy)
        return;
    plan->is_vouched = true;
    plan->is_enforced = planning->policy.mode == COURIER_STS_ENFORCE;
    for (size_t i = 0; i < plan->host_count; i++)
        plan->hosts[i].is_in_policy =
            !plan->is_enforced || courier_sts_policy_has(&planning->policy, plan->hosts[i].name);
}

/* ---- addresses ---- */

static bool is_own(const struct courier_planner *planner, const struct ip_address *address)
{
    for (size_t i = 0; i < planner->own_address_count; i++)
        if (ip_address_equal(&planner->own_addresses[i], address))
            return true;
    return false;
}

static bool is_permitted(const struct courier_planning *planning, const struct ip_address *address)
{
    const struct courier_planner *planner = planning->planner;

    if (planning->target.is_trusted || net_address_class(address) == NET_ADDRESS_PUBLIC)
        return true;
    for (size_t i = 0; i < planner->allow_count; i++)
        if (ip_network_has(&planner->allow[i], address))
            return true;
    return false;
}

static void take_address(struct asking *asking, const struct ip_address *address)
{
    enum family family = address->is_v6 ? FAMILY_V6 : FAMILY_V4;

    if (asking->planning->target.kind == COURIER_TARGET_DOMAIN &&
        is_own(asking->planning->planner, address))
        asking->is_ourselves = true;
    else if (!is_permitted(asking->planning, address))
        asking->has_forbidden = true;
    else if (asking->found_count[family] < COURIER_ADDRESSES_MAX)
        asking->found[family][asking->found_count[family]++] = *address;
}

static void on_addresses(struct asking *asking, const struct dns_answer *answer)
{
    asking->planning->waiting--;
    note_ttl(asking->planning, answer);
    if (answer->status == DNS_FAILED)
        asking->has_failed = true;
    if (answer->status == DNS_OK && answer->is_secure)
        asking->is_secure = true;
    for (size_t i = 0; answer->status == DNS_OK && i < answer->count; i++) {
        struct ip_address address;

        if (ip_address_from_bytes(answer->records[i].data, &address))
            take_address(asking, &address);
    }
    turn_done(asking->planning);
}

static void on_v6(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct asking *asking = owner;

    (void)task;
    asking->families[FAMILY_V6] = NULL;
    on_addresses(asking, answer);
}

static void on_v4(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct asking *asking = owner;

    (void)task;
    asking->families[FAMILY_V4] = NULL;
    on_addresses(asking, answer);
}

static void ask_addresses(struct courier_planning *planning)
{
    const struct courier_planner *planner = planning->planner;

    for (size_t i = 0; i < planning->plan->host_count; i++) {
        struct asking *asking = &planning->askings[i];
        struct ip_address address;

        if (ip_address_parse(asking->host->name, &address)) {
            take_address(asking, &address);
            continue;
        }
        if (!planner->without_ipv6) {
            asking->families[FAMILY_V6] = dns_client_ask(planner->dns, asking->host->name,
                                                         DNS_TYPE_AAAA, false, on_v6, asking);
            planning->waiting++;
        }
        if (!planner->without_ipv4) {
            asking->families[FAMILY_V4] =
                dns_client_ask(planner->dns, asking->host->name, DNS_TYPE_A, false, on_v4, asking);
            planning->waiting++;
        }
    }
}

/* IPv6 and IPv4 in turns, IPv6 first. */
static void interleave(struct asking *asking)
{
    struct courier_host *host = asking->host;

    for (size_t i = 0; i < COURIER_ADDRESSES_MAX; i++)
        for (int family = 0; family < FAMILY_COUNT; family++)
            if (i < asking->found_count[family] && host->address_count < COURIER_ADDRESSES_MAX)
                host->addresses[host->address_count++] = asking->found[family][i];
}

static void explain(struct asking *asking)
{
    struct courier_host *host = asking->host;

    host->is_temporary = false;
    host->enhanced = (struct smtp_enhanced){5, 4, 4};
    if (asking->has_failed) {
        host->is_temporary = true;
        host->enhanced = (struct smtp_enhanced){4, 4, 3};
        host->problem = "its address could not be looked up";
    } else if (asking->has_forbidden) {
        host->problem = "its address is not one of the public Internet";
    } else {
        host->problem = "it has no address";
    }
}

/* A host that is ourselves ends the list, with those that are no better (RFC 5321 §5.1). */
static void drop_ourselves(struct courier_planning *planning)
{
    struct courier_plan *plan = planning->plan;

    for (size_t i = 0; i < plan->host_count; i++) {
        if (!planning->askings[i].is_ourselves)
            continue;
        while (i > 0 && plan->hosts[i - 1].preference >= plan->hosts[i].preference)
            i--;
        plan->host_count = i;
        if (i == 0)
            refuse(planning, false, (struct smtp_enhanced){5, 4, 6},
                   "the domain's best MX leads to this host, which does not know the domain");
        return;
    }
}

static void take_addresses(struct courier_planning *planning)
{
    drop_ourselves(planning);
    for (size_t i = 0; i < planning->plan->host_count; i++) {
        interleave(&planning->askings[i]);
        if (planning->askings[i].host->address_count == 0)
            explain(&planning->askings[i]);
    }
}

/* ---- TLSA ---- */

static void read_tlsa(struct asking *asking, const struct dns_answer *answer,
                      struct tlsa_found *out)
{
    struct arena *arena = &asking->planning->plan->arena;

    asking->planning->waiting--;
    note_ttl(asking->planning, answer);
    out->is_unknown = answer->status == DNS_FAILED;
    out->is_there = answer->status == DNS_OK && answer->is_secure;
    if (!out->is_there)
        return;
    out->usable = ARENA_ARRAY(arena, struct str, answer->count);
    for (size_t i = 0; i < answer->count; i++)
        if (net_tls_is_usable(answer->records[i].data))
            out->usable[out->count++] = arena_copy(arena, answer->records[i].data);
}

static void on_tlsa(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct asking *asking = owner;

    (void)task;
    asking->tlsa = NULL;
    read_tlsa(asking, answer, &asking->at_name);
    turn_done(asking->planning);
}

static void on_alias_tlsa(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct asking *asking = owner;

    (void)task;
    asking->alias_tlsa = NULL;
    read_tlsa(asking, answer, &asking->at_expanded);
    turn_done(asking->planning);
}

static struct dns_query *ask_tlsa_at(struct asking *asking, struct str host,
                                     dns_on_answer on_answer)
{
    struct courier_planning *planning = asking->planning;
    char name[TLSA_NAME_ROOM];

    planning->waiting++;
    snprintf(name, sizeof(name), "_%u._tcp.%.*s", planning->plan->port, STR_ARG(host));
    return dns_client_ask(planning->planner->dns, str_from_c(name), DNS_TYPE_TLSA, false, on_answer,
                          asking);
}

static void ask_alias(struct asking *asking);

/* One step of the way from alias to alias, which the addresses' answer took already. */
static void on_alias(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct asking *asking = owner;
    struct courier_planning *planning = asking->planning;

    (void)task;
    asking->alias = NULL;
    planning->waiting--;
    note_ttl(planning, answer);
    if (answer->status == DNS_FAILED) {
        asking->is_alias_unknown = true;
    } else if (answer->status == DNS_OK && answer->count == 1 && answer->is_secure) {
        asking->alias_count++;
        if (asking->is_secure) {
            asking->expanded = arena_copy(&planning->arena, answer->records[0].name);
            if (asking->alias_count < ALIASES_MAX)
                ask_alias(asking);
        } else { /* the name itself is secure, what it leads to is not */
            asking->tlsa = ask_tlsa_at(asking, asking->host->name, on_tlsa);
        }
    } else if (answer->status != DNS_OK && asking->alias_count > 0) { /* the way ends here */
        asking->alias_tlsa = ask_tlsa_at(asking, asking->expanded, on_alias_tlsa);
    }
    turn_done(planning);
}

static void ask_alias(struct asking *asking)
{
    asking->planning->waiting++;
    asking->alias = dns_client_ask(asking->planning->planner->dns, asking->expanded,
                                   DNS_TYPE_CNAME, false, on_alias, asking);
}

/* Only where the names that lead there are secure: else the records could be anybody's (RFC 7672
 * §2.2). */
static void ask_tlsa(struct courier_planning *planning)
{
    struct ip_address address;

    for (size_t i = 0; planning->is_secure && i < planning->plan->host_count; i++) {
        struct asking *asking = &planning->askings[i];

        asking->expanded = asking->host->name;
        if (asking->host->address_count == 0 || ip_address_parse(asking->host->name, &address))
            continue;
        if (asking->is_secure)
            asking->tlsa = ask_tlsa_at(asking, asking->host->name, on_tlsa);
        ask_alias(asking);
    }
}

/* The records where the name leads count, and without any there those at the name itself. What could
 * not be looked up may be the records: then nothing goes out. */
static void take_tlsa(struct courier_planning *planning)
{
    for (size_t i = 0; i < planning->plan->host_count; i++) {
        const struct asking *asking = &planning->askings[i];
        struct courier_host *host = &planning->plan->hosts[i];
        const struct tlsa_found *found =
            asking->at_expanded.is_there ? &asking->at_expanded : &asking->at_name;

        if (asking->at_expanded.is_unknown || (asking->is_secure && asking->is_alias_unknown) ||
            (!asking->at_expanded.is_there && asking->at_name.is_unknown)) {
            host->is_tlsa_unknown = true;
        } else if (found->is_there) {
            host->tls_name = found == &asking->at_expanded ? arena_copy(&planning->plan->arena,
                                                                        asking->expanded)
                                                           : host->name;
            host->tlsa = found->usable;
            host->tlsa_count = found->count;
            host->has_unusable_tlsa = found->count == 0;
        }
    }
}

/* ---- turns ---- */

static void next_turn(struct courier_planning *planning)
{
    for (; planning->waiting == 0 && planning->turn != TURN_DONE;) {
        switch (planning->turn) {
        case TURN_NAMES:
            planning->plan->is_vouched = planning->is_secure;
            apply_policy(planning);
            planning->turn = TURN_ADDRESSES;
            ask_addresses(planning);
            break;
        case TURN_ADDRESSES:
            planning->turn = TURN_TLSA;
            take_addresses(planning);
            ask_tlsa(planning);
            break;
        case TURN_TLSA:
            take_tlsa(planning);
            planning->turn = TURN_DONE;
            break;
        case TURN_DONE:
            break;
        }
    }
    if (planning->waiting == 0)
        give(planning);
}

static void on_kick(void *owner)
{
    next_turn(owner);
}

static void ask_names(struct courier_planning *planning)
{
    const struct courier_planner *planner = planning->planner;
    struct courier_plan *plan = planning->plan;

    plan->port = planner->port;
    switch (planning->target.kind) {
    case COURIER_TARGET_DOMAIN:
        planning->mx = dns_client_ask(planner->dns, planning->target.host, DNS_TYPE_MX, false,
                                      on_mx, planning);
        planning->sts = courier_sts_ask(planner->sts, planning->target.host, on_policy, planning);
        planning->waiting = 2;
        break;
    case COURIER_TARGET_HOST:
        plan->port = planning->target.port;
        plan->is_route = planning->target.is_trusted;
        planning->is_secure = true; /* nobody else's word led here */
        add_host(planning, planning->target.host, 0);
        net_timer_start(planning->kick, 0);
        break;
    case COURIER_TARGET_LITERAL:
        add_host(planning, planning->target.host, 0);
        net_timer_start(planning->kick, 0);
        break;
    }
}

struct courier_planning *courier_plan_start(const struct courier_planner *planner,
                                            const struct courier_target *target,
                                            courier_on_plan on_plan, void *owner)
{
    struct courier_planning *planning = NEW(struct courier_planning);

    planning->planner = planner;
    planning->target = *target;
    planning->target.host = arena_copy(&planning->arena, target->host);
    planning->plan = NEW(struct courier_plan);
    planning->plan->ref_count = 1;
    planning->ttl_s = UINT32_MAX;
    planning->on_plan = on_plan;
    planning->owner = owner;
    planning->kick = net_timer_new(planner->loop, on_kick, planning);
    ask_names(planning);
    return planning;
}
