/*
 * The judgement on one foreign message: who it is from (mailauth), whether it is spam (spam), what
 * others say of it (the scanner), and what is to be done. All bytes are foreign. What needs the
 * world outside comes in as functions; they may wait, for as long as they say.
 *
 * In this order, the first that applies:
 *
 *   a virus; an executable, script or bomb                      REJECT
 *   DMARC fails, the domain asks for reject (`dmarc_reject`)    REJECT, unless its ARC is trusted
 *   points from SPAM_SCORE_REFUSE on                            REJECT
 *   DMARC could not be found out, but would decide              DEFER
 *   the scanner is needed (`scan_required`) but did not answer  DEFER
 *   points from SPAM_SCORE_JUNK on, which DMARC gives alone     JUNK
 *
 * DMARC would not decide when the author's organization has passed SPF or DKIM and only the policy
 * cannot be read, nor when the policy asks for nothing (RFC 7489 §6.6.3): a domain whose DNS is
 * broken for good does not lose what proves itself.
 */
#ifndef EXAMINER_EXAMINE_H
#define EXAMINER_EXAMINE_H

#include "base/buf.h"
#include "examiner/verdict.h"
#include "mailauth/mailauth.h"
#include "spam/spam.h"

struct examiner_request {
    struct str message; /* as it came */
    struct str client, helo, sender, reverse_name;
    bool is_nameless; /* the DNS says that the client has no name */
    bool is_trusted; /* who it is from is believed: the DNS is not asked, nor how it calls itself */
    int64_t list_score; /* thousandths */
    int64_t now_ms;
};

/* What clamd and rspamd found; all zero: nothing. */
struct examiner_scan {
    bool is_failed; /* one of them should have answered but did not */
    bool is_virus;
    struct str name;    /* of the virus */
    int64_t score;      /* thousandths, SPAM_SCORE_REFUSE being where rspamd would refuse */
    struct str symbols; /* its reasons: "NAME NAME …" */
};

struct examiner_tools {
    const struct dns_source *dns;
    const struct dns_source *link_check; /* NULL: none is configured */
    const struct spam_model *model;      /* NULL: none was trained */
    void *owner;
    /* The scanner's answer, which was asked beforehand; waits for it. NULL: there is no scanner. */
    void (*await_scan)(void *owner, struct task *task, struct examiner_scan *out);
    struct str authserv;         /* our name in Authentication-Results */
    bool rejects_by_dmarc;       /* `dmarc_reject`; otherwise such a message is JUNK */
    bool needs_scan;             /* `scan_required` */
    const struct str *arc_trust; /* domains whose ARC seal counts (`arc_trust`) */
    size_t arc_trust_count;
};

struct examiner_result {
    enum examiner_action action;
    struct str words;    /* for REJECT and DEFER; ASCII, one line */
    struct str fields;   /* to put before the message, CRLF at their ends */
    struct str removals; /* as wire_examine_reply has them */
    struct str bounce;   /* what a report says of our users' mail (examiner/bounce.h) */
    bool may_reply;
    bool is_authenticated; /* the From field's domain is what it says */
    bool is_from_sender;   /* the envelope's sender's domain sends from there (SPF): he may be told */
    bool is_spam;          /* REJECT, and for nothing but its points */
    int64_t score;
};

/* Results are in the task's arena. Never fails. */
void examiner_examine(struct task *task, const struct examiner_request *request,
                      const struct examiner_tools *tools, struct examiner_result *out);

#endif
