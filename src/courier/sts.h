/*
 * MTA-STS (RFC 8461): which policy a domain has, found out and remembered. A policy that was seen
 * holds for its max_age, whatever an attacker then does to the DNS or the way to the policy's host;
 * so it is also kept over a restart (courier_policy_store).
 */
#ifndef COURIER_STS_H
#define COURIER_STS_H

#include "base/ip.h"
#include "courier/destinations.h"
#include "courier/sts_policy.h"

struct courier_sts;
struct courier_sts_question;

struct courier_sts_options {
    struct net_loop *loop;
    struct dns_client *dns;
    struct net_http *http;             /* NULL: nothing is fetched */
    struct courier_policy_store store; /* save NULL: nothing is kept */
    const struct ip_network *allow; /* special networks where a policy's host may be all the same */
    size_t allow_count;
    const struct log *log;
};

/* All of `options` is borrowed. */
struct courier_sts *courier_sts_new(const struct courier_sts_options *options);
void courier_sts_free(struct courier_sts **sts);
/* Special networks where a policy's host may be all the same; borrowed. */
void courier_sts_allow(struct courier_sts *sts, const struct ip_network *allow, size_t count);

/* As courier_destinations_policy. */
void courier_sts_restore(struct courier_sts *sts, struct str domain, struct str id, struct str text,
                         int64_t expires_ms, int64_t now_ms);

/* `policy` holds during the call; NULL: the domain has none, or of mode none. The question is freed
 * behind it. */
typedef void (*courier_sts_on_policy)(void *owner, const struct courier_sts_policy *policy);
/* `domain`: A-labels, lower case. Always answers later. */
struct courier_sts_question *courier_sts_ask(struct courier_sts *sts, struct str domain,
                                             courier_sts_on_policy on_policy, void *owner);
/*
 * What stands there now, whatever is known: for an operator who wants to see his own. Nothing of it
 * is remembered. `policy` and `why` hold during the call; the question is freed behind it.
 *
 * ERR_OK         `policy` is there; else it is NULL, and `why` says so
 * ERR_NOT_FOUND  there is none
 * ERR_INVALID    what is there is none that others heed
 * ERR_BUSY       nobody knows: the DNS or the host did not answer
 */
typedef void (*courier_sts_on_look)(void *owner, enum err err,
                                    const struct courier_sts_policy *policy, const char *why);
struct courier_sts_question *courier_sts_look(struct courier_sts *sts, struct str domain,
                                              courier_sts_on_look on_look, void *owner);
void courier_sts_cancel(struct courier_sts_question **question);

#endif
