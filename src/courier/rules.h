/* The configuration's words about outgoing mail, read: struct courier_settings with all it means.
 */
#ifndef COURIER_RULES_H
#define COURIER_RULES_H

#include "base/ip.h"
#include "courier/destinations.h"
#include "courier/route.h"

struct courier_rules {
    struct arena arena;
    /* Defaults filled in; texts in the arena. `routes` has the domains only; the password is
     * borrowed, own_addresses, allow and trust_pem are not kept here. */
    struct courier_settings settings;
    struct courier_target *routes; /* by index */
    struct courier_target smarthost;
    struct ip_network *allow;
    size_t allow_count;
    struct ip_address *own_addresses;
    size_t own_address_count;
};

/* ERR_INVALID with words; `out` need not be freed then. */
MUST_CHECK enum err courier_rules_read(struct task *task, const struct courier_settings *settings,
                                       struct courier_rules *out);
void courier_rules_done(struct courier_rules *rules);

#endif
