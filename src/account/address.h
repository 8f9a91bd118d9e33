/*
 * Mail addresses and domains in the one form in which they are stored and compared.
 *
 * Domains: IDNA2008 (libidn2), lower-case A-labels, no trailing dot, so "BÜCHER.example" and
 * "xn--bcher-kva.example" are one. Local parts: ASCII letters without case, everything else exactly
 * after NFC (RFC 6532 §3.1); a quoted local part is stored without its quotes where it needs none.
 */
#ifndef ACCOUNT_ADDRESS_H
#define ACCOUNT_ADDRESS_H

#include "base/task.h"

#include <stdbool.h>

enum {
    ACCOUNT_LOCAL_MAX = 64,   /* RFC 5321 §4.5.3.1.1 */
    ACCOUNT_DOMAIN_MAX = 253, /* RFC 1035 §2.3.4, without the root */
};

/* What stands for every local part of a domain that no alias names. */
#define ACCOUNT_CATCH_ALL STR("*")

struct account_address {
    struct str local;  /* the whole local part, normalised */
    struct str base;   /* before the first '+'; the same as local without one */
    struct str detail; /* after it, as it was written; empty without one */
    struct str domain; /* A-labels */
};

/* Results live in the task's arena. ERR_INVALID: not an address, a domain literal, too long. */
MUST_CHECK enum err account_address_parse(struct task *task, struct str text,
                                          struct account_address *out_address);
MUST_CHECK enum err account_domain_parse(struct task *task, struct str text,
                                         struct str *out_domain);
/* local@domain in the arena; the local part quoted where it must be. */
struct str account_address_text(struct task *task, struct str local, struct str domain);

#endif
