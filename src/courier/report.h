/*
 * Delivery status notifications as text: multipart/report (RFC 6522) with words for people,
 * message/delivery-status (RFC 3464) for programs, and the message or its header. With addresses in
 * UTF-8 the parts are those of RFC 6533.
 *
 * They tell a sender what he needs to act: never where an alias forwards to, nor names of our hosts
 * but the one that speaks.
 */
#ifndef COURIER_REPORT_H
#define COURIER_REPORT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum report_action { REPORT_FAILED, REPORT_DELAYED, REPORT_DELIVERED, REPORT_RELAYED };

struct report_recipient {
    struct str address; /* as the sender knows it */
    struct str orcpt;   /* "rfc822;…" in xtext, as RCPT had it; may be empty */
    enum report_action action;
    struct str status; /* "5.1.1" */
    struct str words;  /* one line */
    struct str remote; /* the server that said them; empty: we */
};

struct report {
    struct str hostname; /* that reports */
    struct str from;     /* address of the reporter, of one of our domains */
    struct str to;       /* the envelope sender */
    struct str name;     /* unique; of Message-ID and boundary */
    struct str envid;    /* in xtext; may be empty */
    int64_t arrived_ms, now_ms;
    int64_t retry_until_ms; /* DELAYED */
    bool is_full;           /* the whole message, not its header */
    struct str message;     /* that it is about, without our Return-Path */
    const struct report_recipient *recipients;
    size_t recipient_count; /* at least one; the first one's action gives the subject */
};

struct report_text {
    bool is_8bit, is_utf8; /* the transport that it needs */
};

/* Appends the report, CRLF line ends. */
void report_write(const struct report *report, struct buf *out, struct report_text *out_text);

/* RFC 3461 §4: "+2B" becomes "+"; what does not read, and what does not print, becomes "?". */
void report_put_xtext(struct buf *out, struct str xtext);

#endif
