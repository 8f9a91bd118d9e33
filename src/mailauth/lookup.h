/*
 * Questions to the DNS on behalf of one message. A message may name dozens of domains whose servers
 * do not answer: after a few failures nothing more is asked, and all else is "nobody knows now".
 */
#ifndef MAILAUTH_LOOKUP_H
#define MAILAUTH_LOOKUP_H

#include "dns/source.h"

enum { MAILAUTH_FAILURES_MAX = 6 };

struct mailauth_lookup {
    const struct dns_source *dns; /* borrowed */
    unsigned failures;
};

static inline void mailauth_lookup_ask(struct mailauth_lookup *lookup, struct task *task,
                                       struct str name, enum dns_type type, struct dns_answer *out)
{
    *out = (struct dns_answer){.status = DNS_FAILED};
    if (lookup->failures >= MAILAUTH_FAILURES_MAX)
        return;
    lookup->dns->ask(lookup->dns->owner, task, name, type, out);
    lookup->failures += out->status == DNS_FAILED;
}

static inline void mailauth_lookup_expect(const struct mailauth_lookup *lookup, struct task *task,
                                          struct str name, enum dns_type type)
{
    if (lookup->dns->expect != NULL && name.len > 0 && name.len <= DNS_NAME_MAX)
        lookup->dns->expect(lookup->dns->owner, task, name, type);
}

#endif
