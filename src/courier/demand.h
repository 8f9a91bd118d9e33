/*
 * What TLS one message needs at one host: by the receiver's policies (DANE, MTA-STS), by the
 * sender's wish (REQUIRETLS, "TLS-Required: No") and by the configuration. Everything that is asked
 * for and cannot be had closes the way, never opens it.
 */
#ifndef COURIER_DEMAND_H
#define COURIER_DEMAND_H

#include "courier/plan.h"
#include "net/tls_client.h"
#include "smtp/client/session.h"

struct courier_wish {
    bool require_tls;     /* REQUIRETLS */
    bool tls_optional;    /* "TLS-Required: No" */
    bool is_tls_required; /* the configuration, for this domain or because of a login */
};

struct courier_demand {
    enum smtp_client_tls tls;
    enum net_tls_trust trust;
    /* Not NULL: nothing may be sent there. */
    const char *problem;
    struct smtp_enhanced enhanced;
    bool is_permanent;
};

/* What this message needs at this host of the plan; always an answer, `problem` where none will do.
 */
void courier_demand_of(const struct courier_plan *plan, const struct courier_host *host,
                       const struct courier_wish *wish, struct courier_demand *out);

#endif
