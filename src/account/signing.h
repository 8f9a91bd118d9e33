/*
 * The keys that a domain's mail is signed with (DKIM). They are made when a domain is added, one RSA
 * and one Ed25519; in the account database they lie sealed under a key derived from the host key,
 * bound to their domain and selector. Making the keys themselves is mailauth's, which is below this
 * folder: the caller brings them.
 */
#ifndef ACCOUNT_SIGNING_H
#define ACCOUNT_SIGNING_H

#include "account/database_rules.h"
#include "base/buf.h"

struct account_signing;

struct account_signing *account_signing_new(const struct secret *host_key);
void account_signing_free(struct account_signing **signing);

/* The selector of a key made now: "r20261126" (Ed25519: "e…"); `number` above 0 is appended, for
 * several on one day. */
struct str account_signing_selector(struct task *task, enum account_key_algorithm algorithm,
                                    unsigned number);

/* Adds a key, in a transaction of the caller; its selector is the first of the day that is free. */
MUST_CHECK enum err account_signing_add(const struct account_signing *signing,
                                        struct account_database *database, struct task *task,
                                        const struct account_domain *domain,
                                        enum account_key_algorithm algorithm,
                                        enum account_key_state state, const struct secret *der,
                                        struct str record);

/* What signs now: the newest active one of each kind. */
struct account_signing_keys {
    struct str rsa_selector, ed25519_selector; /* empty: there is none */
    struct secret *rsa_key, *ed25519_key;      /* own; DER; NULL likewise */
};
/* ERR_NOT_FOUND: the domain is not ours. */
MUST_CHECK enum err account_signing_keys(const struct account_signing *signing,
                                         struct account_database *database, struct task *task,
                                         struct str domain, struct account_signing_keys *out);
void account_signing_keys_done(struct account_signing_keys *keys);

#endif
