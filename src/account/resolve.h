/*
 * From an address to an alias: exactly as it is written, then without its +tag, then the domain's
 * regular expressions in their order (each first with the tag, then without), then its catch-all.
 * postmaster and abuse of a domain lead somewhere even where nobody made an alias for them (RFC 5321
 * §4.5.1, RFC 2142): to account_mailbox_of_postmaster. For recipients (account/router.h); for
 * senders, whether an address is a login's own; for logins.
 */
#ifndef ACCOUNT_RESOLVE_H
#define ACCOUNT_RESOLVE_H

#include "account/address.h"
#include "account/database.h"
#include "account/pattern.h"

enum account_match {
    ACCOUNT_MATCH_NONE, /* the domain is ours, the address leads nowhere */
    ACCOUNT_MATCH_NOT_LOCAL,
    ACCOUNT_MATCH_ALIAS,
    ACCOUNT_MATCH_DETAIL, /* after taking off the +tag */
    ACCOUNT_MATCH_PATTERN,
    ACCOUNT_MATCH_PATTERN_DETAIL, /* likewise */
    ACCOUNT_MATCH_CATCH_ALL,
    ACCOUNT_MATCH_POSTMASTER, /* nobody's alias: the mailbox that stands in */
};

struct account_resolution {
    enum account_match match;
    struct account_domain_facts domain; /* row 0 with NOT_LOCAL */
    struct account_alias alias;         /* from ALIAS on */
    struct account_captures captures;   /* of a pattern: views of the address */
    unsigned group_count;
};

/* Whose the address is; that it is nobody's is an answer, too (out->match). `patterns` keeps what
 * was compiled; texts are in the task's arena. */
MUST_CHECK enum err account_resolve(struct account_database *database,
                                    struct account_patterns *patterns, struct task *task,
                                    const struct account_address *address,
                                    struct account_resolution *out);
/* Without patterns, catch-all and postmaster, for a login; *out_alias is set with ALIAS and DETAIL. */
MUST_CHECK enum err account_resolve_login(struct account_database *database, struct task *task,
                                          const struct account_address *address,
                                          enum account_match *out_match,
                                          struct account_alias *out_alias);

/* The most that the mailbox may hold now, mail and drop box together: its own quota, and what its
 * user's and its home's quota leave beside the others. ACCOUNT_UNLIMITED without any. */
uint64_t account_mailbox_limit(const struct account_mailbox *mailbox);

/* May the owner of `mailbox` send as `address`? *out_is_own is false for what is no address. */
MUST_CHECK enum err account_sender(struct account_database *database,
                                   struct account_patterns *patterns, struct task *task,
                                   const struct id *mailbox, struct str address,
                                   bool *out_is_own);

#endif
