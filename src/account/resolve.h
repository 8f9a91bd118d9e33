/*
 * From an address to a mailbox: exactly as it is written, then without its +tag, then the domain's
 * catch-all. For recipients, with the quotas; for senders, whether an address is a login's own; for
 * logins.
 */
#ifndef ACCOUNT_RESOLVE_H
#define ACCOUNT_RESOLVE_H

#include "account/address.h"
#include "account/database.h"

enum account_match {
    ACCOUNT_MATCH_NONE, /* the domain is ours, the address leads nowhere */
    ACCOUNT_MATCH_NOT_LOCAL,
    ACCOUNT_MATCH_ALIAS,
    ACCOUNT_MATCH_DETAIL, /* after taking off the +tag */
    ACCOUNT_MATCH_CATCH_ALL,
};

/* *out_alias is set for the last three. */
MUST_CHECK enum err account_resolve(struct account_database *database, struct task *task,
                                    const struct account_address *address,
                                    enum account_match *out_match,
                                    struct account_alias *out_alias);
/* The same without the catch-all, for a login. */
MUST_CHECK enum err account_resolve_login(struct account_database *database, struct task *task,
                                          const struct account_address *address,
                                          enum account_match *out_match,
                                          struct account_alias *out_alias);

/* The most that the mailbox may hold now, mail and drop box together: its own quota, and what its
 * user's and its home's quota leave beside the others. ACCOUNT_UNLIMITED without any. */
uint64_t account_mailbox_limit(const struct account_mailbox *mailbox);

enum account_recipient {
    ACCOUNT_RECIPIENT_OK,
    ACCOUNT_RECIPIENT_UNKNOWN,
    ACCOUNT_RECIPIENT_NOT_LOCAL,
    ACCOUNT_RECIPIENT_DISABLED,
    ACCOUNT_RECIPIENT_OVER_QUOTA,
};

/* May mail of `size_bytes` (0: unknown) go to `address`, and where to? Something that is no address
 * is NOT_LOCAL. `detail` is the +tag, in the arena. */
MUST_CHECK enum err account_recipient(struct account_database *database, struct task *task,
                                      struct str address, uint64_t size_bytes,
                                      enum account_recipient *out_verdict, struct id *out_mailbox,
                                      struct str *out_detail);

/* May the owner of `mailbox` send as `address`? *out_is_own is false for what is no address. */
MUST_CHECK enum err account_sender(struct account_database *database, struct task *task,
                                   const struct id *mailbox, struct str address,
                                   bool *out_is_own);

#endif
