/*
 * DMARC (RFC 7489; RFC 9989 adds np=, psd= and t=): does what SPF and DKIM found belong to the
 * author, and what does the author's domain want done where it does not?
 */
#ifndef MAILAUTH_DMARC_H
#define MAILAUTH_DMARC_H

#include "mailauth/lookup.h"
#include "mailauth/mailauth.h"

enum mailauth_dmarc_form {
    MAILAUTH_DMARC_NOT_ONE, /* no DMARC record */
    MAILAUTH_DMARC_INVALID, /* one without a policy that can be meant */
    MAILAUTH_DMARC_VALID,
};

struct mailauth_dmarc_record {
    enum mailauth_policy policy;          /* p= */
    enum mailauth_policy subdomains;      /* sp=, else p= */
    enum mailauth_policy missing_domains; /* np=, else as for subdomains */
    bool has_missing_domains;
    bool is_dkim_strict, is_spf_strict; /* adkim=, aspf= */
    bool is_testing;                    /* t= */
    bool is_suffix;                     /* psd=: of a public suffix, for all below it */
    unsigned percent;                   /* pct= */
};

enum mailauth_dmarc_form mailauth_dmarc_parse(struct str text, struct mailauth_dmarc_record *out);

/* Who answers for the message: a domain by SPF, or by a signature. Normal (mailauth_domain_normal).
 */
struct mailauth_identity {
    struct str domain;
    enum mailauth_result result;
    bool is_spf;
};

enum { MAILAUTH_IDENTITIES_MAX = MAILAUTH_SIGNATURES_MAX + 1 };

struct mailauth_dmarc_request {
    struct str author; /* the domain of the From field, normal */
    struct mailauth_identity identities[MAILAUTH_IDENTITIES_MAX];
    size_t identity_count;
    unsigned sample; /* 0 … 99: this message's place in what pct= divides */
};

/*
 * PASS; FAIL; NONE: the domain has no policy; PERMERROR: it has one that cannot be read; TEMPERROR:
 * the policy, or an identity that would do, could not be found now. *out_policy: what the domain
 * wants done with this message where it fails, whether it does or not; NONE without a policy.
 */
enum mailauth_result mailauth_dmarc_check(struct task *task, struct mailauth_lookup *lookup,
                                          const struct mailauth_dmarc_request *request,
                                          enum mailauth_policy *out_policy);

#endif
