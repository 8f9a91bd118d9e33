/*
 * The terms of an SPF record (RFC 7208 §4.6.1, §12): syntax only.
 */
#ifndef MAILAUTH_SPF_TERM_H
#define MAILAUTH_SPF_TERM_H

#include "base/ip.h"
#include "mailauth/mailauth.h"

enum spf_term_kind {
    SPF_ALL,
    SPF_INCLUDE,
    SPF_A,
    SPF_MX,
    SPF_PTR,
    SPF_IP4,
    SPF_IP6,
    SPF_EXISTS,
    SPF_REDIRECT,
    SPF_EXP,
    SPF_UNKNOWN_MODIFIER,
};

struct spf_term {
    enum spf_term_kind kind;
    enum mailauth_result qualifier; /* of a mechanism: PASS, FAIL, SOFTFAIL, NEUTRAL */
    struct str domain;              /* domain-spec, not expanded; empty: none */
    struct ip_address network;      /* of ip4 and ip6 */
    unsigned bits4, bits6;          /* of ip4, ip6, a and mx: how much of an address counts */
};

/* Is this text an SPF record, whatever follows the version? *out_terms is what does. */
bool spf_record_is_one(struct str text, struct str *out_terms);

/* The next term of *rest. ERR_NOT_FOUND: no more; ERR_INVALID: not a term. */
MUST_CHECK enum err spf_term_next(struct str *rest, struct spf_term *out);

/* Every term is one, and redirect and exp are there once at most (§4.6, §6). */
bool spf_terms_are_valid(struct str terms);

#endif
