/*
 * Names of hosts, for a command that runs while the service does not: what asks the resolver of the
 * service (dns/client.h) is answered by the system's instead. Addresses only.
 */
#ifndef CLI_LOOKUP_H
#define CLI_LOOKUP_H

#include "base/log.h"
#include "dns/client.h"
#include "role/sandbox.h"

struct cli_lookup {
    struct dns_client *dns;          /* own; to be asked */
    struct wire_channel *near, *far; /* own */
};

/* `loop` and `log` are borrowed for its life. */
MUST_CHECK enum err cli_lookup_open(struct task *task, struct net_loop *loop, const struct log *log,
                                    struct cli_lookup *out);
void cli_lookup_close(struct cli_lookup *lookup);
/* What a confined process is to be let read for it, with what /etc/resolv.conf, which is the path
 * that is given, may be a link to: on many systems it is in /run. Paths are in the arena. */
void cli_lookup_sandbox(struct task *task, const char *resolv_conf, struct sandbox_rules *rules);

#endif
