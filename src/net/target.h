/*
 * Where a stranger may have us connect to (webhooks, owners' own buckets): a target is allowed when
 *
 *   its scheme is https (http where the rules say so),
 *   its port is 443, 80 or at least 1024, so that no other service is spoken to,
 *   and every address of its host is on the public Internet (net/address_class.h);
 *
 * or when the operator named it (`webhook_allow`, `backup_own_allow`): by its host's name, or by a
 * network that has the address. Then scheme, port and address are as they are.
 */
#ifndef NET_TARGET_H
#define NET_TARGET_H

#include "base/ip.h"
#include "net/url.h"

struct net_target_rules;

/* From the configuration: "hooks.example", "10.0.0.0/8", "::1". What is neither is left out: the
 * configuration was checked with net_target_allow_reason. */
struct net_target_rules *net_target_rules_new(const struct str *allow, size_t allow_count,
                                              bool allows_http);
/* Another list, for targets that are judged from now on. */
void net_target_rules_set(struct net_target_rules *rules, const struct str *allow,
                          size_t allow_count);
void net_target_rules_free(struct net_target_rules **rules);
/* NULL, or why the text is no entry of the list. */
const char *net_target_allow_reason(struct str text);

/*
 * NULL, or why the target must not be posted to (constant words). `addresses` are those of the
 * host, all of them: one that is forbidden forbids the target, since its owner could otherwise mix
 * them until the right one is taken.
 */
const char *net_target_reason(const struct net_target_rules *rules, const struct net_url *url,
                              const struct ip_address *addresses, size_t count);

/*
 * For whoever stores a URL: NULL, or why it will never be connected to as things are set, in constant
 * words: it is none, its address is not allowed, or its scheme or port is not, whatever its name leads to.
 */
const char *net_target_url_reason(const struct net_target_rules *rules, struct str text);

#endif
