/*
 * Public keys in the DNS (RFC 6376 §3.6): selector._domainkey.domain.
 */
#ifndef MAILAUTH_KEY_H
#define MAILAUTH_KEY_H

#include "mailauth/lookup.h"
#include "mailauth/mailauth.h"
#include "mailauth/signature.h"

enum mailauth_key_problem {
    MAILAUTH_KEY_GOOD,
    MAILAUTH_KEY_NOT_ONE,  /* not a key record at all */
    MAILAUTH_KEY_REVOKED,  /* p= is empty */
    MAILAUTH_KEY_OTHER,    /* for another algorithm, hash or service */
    MAILAUTH_KEY_UNUSABLE, /* p= does not read */
};

/* One record's text. `out_key` (own) and the flag are set when it is good; the key must be of
 * `kind` and for SHA-256. */
enum mailauth_key_problem mailauth_key_parse(struct arena *arena, struct str record,
                                             enum mailauth_key_kind kind, EVP_PKEY **out_key,
                                             bool *out_is_exact);

/*
 * Is `signature` one of the digest by a key that the DNS has under this name? PASS; POLICY: it is,
 * by a key that is too short; FAIL; PERMERROR: there is no key; TEMPERROR. Several records are
 * tried one after the other. `is_subdomain`: the identity is below the domain, which a key may
 * forbid.
 */
enum mailauth_result mailauth_key_check(struct task *task, struct mailauth_lookup *lookup,
                                        struct str domain, struct str selector,
                                        enum mailauth_key_kind kind, bool is_subdomain,
                                        const unsigned char digest[static MAILAUTH_DIGEST_BYTES],
                                        struct str signature, const char **out_reason);

#endif
