#include "courier/demand.h"

static void refuse(struct courier_demand *demand, bool is_permanent, struct smtp_enhanced enhanced,
                   const char *problem)
{
    demand->problem = problem;
    demand->enhanced = enhanced;
    demand->is_permanent = is_permanent;
}

/* RFC 7672 §2.2: usable records decide alone; records that are not say that there is TLS at least.
 */
static bool demand_dane(const struct courier_host *host, struct courier_demand *demand)
{
    if (host->is_tlsa_unknown) {
        refuse(demand, false, (struct smtp_enhanced){4, 7, 5},
               "its TLSA records could not be looked up, so it cannot be told who it is");
        return true;
    }
    if (host->tlsa_count > 0) {
        demand->tls = SMTP_CLIENT_TLS_REQUIRED;
        demand->trust = NET_TLS_TRUST_DANE;
        return true;
    }
    if (host->has_unusable_tlsa)
        demand->tls = SMTP_CLIENT_TLS_REQUIRED;
    return false;
}

static void demand_name(struct courier_demand *demand)
{
    demand->tls = SMTP_CLIENT_TLS_REQUIRED;
    demand->trust = NET_TLS_TRUST_NAME;
}

/* RFC 8461 §4; DANE goes before it (§2). */
static void demand_policy(const struct courier_plan *plan, const struct courier_host *host,
                          struct courier_demand *demand)
{
    if (!plan->is_enforced)
        return;
    if (host->is_in_policy)
        demand_name(demand);
    else
        refuse(demand, false, (struct smtp_enhanced){4, 7, 5},
               "the domain's MTA-STS policy does not name it");
}

void courier_demand_of(const struct courier_plan *plan, const struct courier_host *host,
                       const struct courier_wish *wish, struct courier_demand *out)
{
    *out = (struct courier_demand){.tls = SMTP_CLIENT_TLS_OFFERED, .trust = NET_TLS_TRUST_ANY};
    /* REQUIRETLS makes the header field void (RFC 8689 §4.1). */
    if (!wish->tls_optional || wish->require_tls) {
        if (!demand_dane(host, out))
            demand_policy(plan, host, out);
    }
    if ((wish->is_tls_required || wish->require_tls) && out->trust == NET_TLS_TRUST_ANY)
        demand_name(out);
    if (wish->require_tls && !plan->is_vouched && out->problem == NULL)
        refuse(out, true, (struct smtp_enhanced){5, 7, 10},
               "REQUIRETLS is asked for, and neither DNSSEC nor MTA-STS vouches for the domain's "
               "hosts");
}
