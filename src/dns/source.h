/*
 * Where a check that needs the DNS in its middle (SPF, DKIM) gets it from: the resolver, in the
 * examiner, which waits for one answer at a time; a zone in memory, in `sealpost probe` and tests.
 */
#ifndef DNS_SOURCE_H
#define DNS_SOURCE_H

#include "dns/answer.h"

struct dns_source {
    void *owner;
    /* Fills `out`, whose texts live in the task's arena. What cannot be known is DNS_FAILED. */
    void (*ask)(void *owner, struct task *task, struct str name, enum dns_type type,
                struct dns_answer *out);
    /* May be NULL. Says that this will be asked soon: so questions travel together, though their
     * answers are waited for one by one. The name lives as long as the task. */
    void (*expect)(void *owner, struct task *task, struct str name, enum dns_type type);
};

#endif
