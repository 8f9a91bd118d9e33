/*
 * Allow and deny lists of the host, of a domain and of an alias. An entry is an address, a domain
 * (with all below it) or a client's IP address or network.
 *
 * The nearest scope decides: an alias's list before its domain's, that before the host's. Within one,
 * an address before a domain, a longer domain before a shorter, a domain before a network, a longer
 * prefix before a shorter.
 */
#ifndef ACCOUNT_LISTS_H
#define ACCOUNT_LISTS_H

#include "account/database_rules.h"

/* The kind and normal form of what an administrator wrote: "someone@x.org", "x.org" or "@x.org",
 * "192.0.2.0/24", "2001:db8::1". ERR_INVALID. */
MUST_CHECK enum err account_lists_parse(struct task *task, struct str text,
                                        enum account_list_kind *out_kind, struct str *out_value);

/* What the lists say of mail from `sender` (empty: the null path) at `client` (empty: nobody's) to
 * the alias (0: none) of a domain. */
MUST_CHECK enum err account_lists_judge(struct account_database *database, struct task *task,
                                        const struct account_list_scope *of, struct str sender,
                                        struct str client,
                                        enum account_list_verdict *out_verdict);

#endif
