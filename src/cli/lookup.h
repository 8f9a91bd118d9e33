/*
 * Names of hosts, for a command that runs while the service does not: what asks the resolver of the
 * service (dns/client.h) is answered by the system's instead. Addresses only.
 */
#ifndef CLI_LOOKUP_H
#define CLI_LOOKUP_H

#include "base/log.h"
#include "dns/client.h"

struct cli_lookup {
    struct dns_client *dns;          /* own; to be asked */
    struct wire_channel *near, *far; /* own */
};

/* `loop` and `log` are borrowed for its life. */
MUST_CHECK enum err cli_lookup_open(struct task *task, struct net_loop *loop, const struct log *log,
                                    struct cli_lookup *out);
void cli_lookup_close(struct cli_lookup *lookup);

#endif
