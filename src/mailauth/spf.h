/*
 * Sender Policy Framework: may this client send for this domain? check_host() of RFC 7208 §4.
 *
 * Our own code: DNS comes through a struct dns_source, and libspf2 does its own; nor does that one
 * know the limit of void look-ups (§4.6.4).
 */
#ifndef MAILAUTH_SPF_H
#define MAILAUTH_SPF_H

#include "mailauth/lookup.h"
#include "mailauth/mailauth.h"

struct mailauth_spf_request {
    struct str client; /* the peer's IP address as text */
    struct str helo;
    struct str sender;   /* the envelope's; empty: the HELO name is checked (§2.4) */
    struct str receiver; /* our name, for explanations; may be empty */
    int64_t now_ms;
    bool wants_explanation; /* costs a question to the DNS where the result is FAIL */
};

struct mailauth_spf_result {
    enum mailauth_result result;
    struct str domain;      /* that was checked */
    struct str explanation; /* by the domain's owner, ASCII; empty: none */
};

/* Texts are views of the request, or in the task's arena. */
void mailauth_spf_check(struct task *task, struct mailauth_lookup *lookup,
                        const struct mailauth_spf_request *request,
                        struct mailauth_spf_result *out);

#endif
