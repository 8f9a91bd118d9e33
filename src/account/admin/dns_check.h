/*
 * The inside of `sealpost domain check`: what it asks, and what it says of the answers. dns_check.c
 * asks, dns_spf.c and dns_judge.c judge.
 *
 *   every record at once ──> what SPF needs beyond them, as its evaluation comes to it (again and
 *   again from its beginning, until nothing is missing) ──> the MTA-STS policy, which the courier
 *   fetches, because the keeper has no network ──> the findings
 */
#ifndef ACCOUNT_ADMIN_DNS_CHECK_H
#define ACCOUNT_ADMIN_DNS_CHECK_H

#include "account/admin/dns.h"

enum {
    /* Of one check. SPF alone may need 10 look-ups with up to 10 hosts each (RFC 7208 §4.6.4). */
    ADMIN_CHECK_ASKED_MAX = 256,
    ADMIN_CHECK_SENDERS_MAX = 8, /* addresses that mail goes out from; more are not looked at */
    ADMIN_CHECK_HOSTS_MAX = 20,  /* MX hosts that the policy is held against */
};

enum admin_finding_state {
    ADMIN_FINDING_RIGHT,
    ADMIN_FINDING_MISSING,
    ADMIN_FINDING_WRONG,
    ADMIN_FINDING_UNKNOWN,
};

struct admin_finding {
    enum admin_finding_state state;
    struct str why; /* constant, or in the request's arena */
};

/* One question. The answer's texts are in the request's arena. */
struct admin_asked {
    struct str name;
    enum dns_type type;
    bool is_answered;
    struct dns_answer answer;
};

struct admin_sender {
    struct str address; /* as text */
    enum { ADMIN_SPF_OTHER, ADMIN_SPF_PASS, ADMIN_SPF_LATER, ADMIN_SPF_BROKEN } result;
};

struct admin_check {
    struct admin_request *request; /* borrowed */
    struct admin_dns *dns;
    struct admin_asked asked[ADMIN_CHECK_ASKED_MAX]; /* those of dns->records first */
    size_t asked_count, open_count;
    /* Whom SPF must let pass: this host's addresses, or the smarthost's. The last one stands for
     * everybody: an address that nobody has. */
    struct admin_sender senders[ADMIN_CHECK_SENDERS_MAX + 1];
    size_t sender_count; /* without the last one */
    bool is_policy_asked;
    struct admin_finding policy;
};

/* The question of that name and type, which is asked now if it was not before. NULL: there are too
 * many already. */
const struct admin_asked *admin_check_ask(struct admin_check *check, struct str name,
                                          enum dns_type type);
/* What the DNS has of a record that there is once. NULL: none is of that role. */
const struct dns_answer *admin_check_answer(const struct admin_check *check,
                                            enum admin_dns_role role);

struct admin_finding admin_found(enum admin_finding_state state, const char *why);
/* dns_judge.c: about the record of that number, once all is known. */
struct admin_finding admin_check_judge(struct admin_check *check, size_t index);
/* One record of that version, or the reason why not. */
bool admin_dns_only_one(const struct dns_answer *answer, struct str version, struct str *out_text,
                        struct admin_finding *out_finding);

/* dns_spf.c: evaluates the record for all senders, asking for what is not known yet. */
void admin_check_spf(struct admin_check *check);
struct admin_finding admin_check_judge_spf(struct admin_check *check,
                                           const struct dns_answer *answer);

#endif
