/*
 * Who a message is really from: SPF (RFC 7208), DKIM (RFC 6376, 8463), DMARC (RFC 7489, in the sense
 * of its successor RFC 9989 where that is unambiguous) and ARC (RFC 8617) of one message, and the
 * Authentication-Results field (RFC 8601) that says so.
 *
 * All bytes are foreign. Work is bounded: DNS look-ups by RFC 7208 §4.6.4, eight DKIM signatures.
 */
#ifndef MAILAUTH_MAILAUTH_H
#define MAILAUTH_MAILAUTH_H

#include "dns/source.h"

enum { MAILAUTH_SIGNATURES_MAX = 8, MAILAUTH_REMOVALS_MAX = 64 };

/* The words of RFC 8601 §2.7. */
enum mailauth_result {
    MAILAUTH_NONE,
    MAILAUTH_PASS,
    MAILAUTH_FAIL,
    MAILAUTH_SOFTFAIL,
    MAILAUTH_NEUTRAL,
    MAILAUTH_POLICY, /* a signature that verifies but that we do not accept: l=, short key */
    MAILAUTH_TEMPERROR,
    MAILAUTH_PERMERROR,
};

/* "pass", "fail", … */
const char *mailauth_result_name(enum mailauth_result result);

enum mailauth_policy {
    MAILAUTH_POLICY_NONE,
    MAILAUTH_POLICY_QUARANTINE,
    MAILAUTH_POLICY_REJECT,
    MAILAUTH_POLICY_UNKNOWN, /* the DNS failed: whether there is one, and which */
};

struct mailauth_request {
    /* The peer's IP address as text. Empty: one that is believed; then nothing is asked of the DNS, all
     * results are NONE, `field` is empty, and only the removals are found. */
    struct str client;
    struct str helo;
    struct str sender;   /* the envelope's, empty for the null path */
    struct str message;  /* as it came, CRLF line ends */
    struct str authserv; /* who we are, for Authentication-Results (RFC 8601 §2.5) */
    int64_t now_ms;
};

struct mailauth_signature {
    enum mailauth_result result;
    struct str domain;   /* d= */
    struct str selector; /* s= */
    const char *reason;  /* NULL or a few words, constant */
};

struct mailauth_verdict {
    enum mailauth_result spf;
    struct str spf_domain; /* that was checked: of the sender, else of HELO */
    struct mailauth_signature signatures[MAILAUTH_SIGNATURES_MAX];
    size_t signature_count;
    enum mailauth_result dmarc;
    /* What to do now that it failed; NONE otherwise. pct= applied. */
    enum mailauth_policy dmarc_policy;
    enum mailauth_policy dmarc_published; /* what it would be, whether it failed or not; UNKNOWN */
    struct str author_domain;             /* of the From field; empty: none, or several */
    enum mailauth_result arc;             /* of the chain */
    struct str arc_domain;                /* who sealed last */
    struct str field;                     /* Authentication-Results: …CRLF */
    /* Fields of the message that must not be kept: Authentication-Results in our name. */
    struct {
        uint32_t start, len;
    } removals[MAILAUTH_REMOVALS_MAX];
    size_t removal_count;
};

/* Everything at once. Results are in the task's arena. Never fails: what cannot be found out is
 * TEMPERROR or PERMERROR. */
void mailauth_examine(struct task *task, const struct mailauth_request *request,
                      const struct dns_source *dns, struct mailauth_verdict *out);

#endif
