/*
 * One attempt to hand a message to the recipients of one destination, now: where to (MX, routes),
 * over which TLS (DANE, MTA-STS, REQUIRETLS), and what each recipient's server said. Nothing is
 * kept on disk and nothing is repeated later: that is the queue's part.
 *
 * A recipient that is TEMPORARY may have been delivered all the same when `is_uncertain`: the
 * connection broke between the end of the message and the reply. Such an attempt tries no other
 * host, so that a lost reply costs one duplicate at most.
 */
#ifndef COURIER_ATTEMPT_H
#define COURIER_ATTEMPT_H

#include "courier/destinations.h"

#include <stdbool.h>
#include <stddef.h>

enum { COURIER_RECIPIENTS_MAX = 100 }; /* every server takes so many (RFC 5321 §4.5.3.1.8) */

struct courier_recipient {
    struct str address; /* local part @ domain, as queued */
    struct str orcpt;   /* "rfc822;ann@example.org", in xtext as RCPT had it; may be empty */
    struct str notify;  /* "NEVER", "SUCCESS,FAILURE", …; may be empty */
};

struct courier_request {
    /* Where to: the recipients' domain, or an address literal in its brackets. UTF-8 labels
     * allowed. */
    struct str domain;
    struct str via;    /* "host:port" of this recipient's own route (docs/routes.md), else empty */
    struct str sender; /* empty: the null path */
    const struct courier_recipient *recipients;
    size_t recipient_count;
    struct str ret, envid; /* RFC 3461: "FULL", "HDRS" or empty; xtext */
    bool require_tls;      /* REQUIRETLS (RFC 8689 §4) */
    bool tls_optional;     /* "TLS-Required: No" (RFC 8689 §5): no policy of the receiver counts */
    bool smtputf8;         /* it was given so (RFC 6531) */
    bool is_8bit;          /* BODY=8BITMIME */
    struct str fields;     /* before the message (DKIM-Signature …): CRLF ends, or empty */
    struct str message;    /* the message; CRLF ends */
};

enum courier_outcome { COURIER_DELIVERED, COURIER_TEMPORARY, COURIER_PERMANENT };

struct courier_result {
    enum courier_outcome outcome;
    bool is_uncertain;   /* TEMPORARY: the final reply was lost */
    bool passes_dsn;     /* DELIVERED: the peer took over NOTIFY (RFC 3461 §4.1); false: a SUCCESS
                          * that was asked for is ours to send, as "relayed" */
    unsigned code;       /* the SMTP reply's; 0: nobody replied, the judgement is our own */
    struct str enhanced; /* "5.1.1" (RFC 3463), always set */
    struct str words;  /* why, for people: one line of printable text, without code and enhanced */
    struct str remote; /* the name (or address) of the host that said it; empty: none did */
    struct str tls;    /* "TLSv1.3, …" as it was used; empty: in clear, or not connected */
};

struct courier_attempt;

/* `results` are in the order of the request's recipients, and hold during the call; the attempt is
 * freed behind it. */
typedef void (*courier_on_done)(void *owner, const struct courier_result *results, size_t count);

/*
 * Starts, and always answers later, from the loop. It first waits for its turn: so many attempts to
 * one destination, so many at all. `request` is copied, but the bytes of `fields` and `message`,
 * which are borrowed until on_done or cancel. 1 to COURIER_RECIPIENTS_MAX recipients.
 */
struct courier_attempt *courier_attempt_start(struct courier_destinations *destinations,
                                              const struct courier_request *request,
                                              courier_on_done on_done, void *owner);
/* No answer is wanted any more; what is under way is broken off. Sets the pointer to NULL. */
void courier_attempt_cancel(struct courier_attempt **attempt);

#endif
