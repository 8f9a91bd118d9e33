/*
 * Automatic replies (RFC 3834): to whom one may go, and its text. The examiner has judged already
 * whether the message may be answered at all (may_reply: no list, no bulk, no automaton).
 */
#ifndef COURIER_REPLY_H
#define COURIER_REPLY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* Not to nobody, to the alias itself, to a program's address or a list's (§2). */
bool reply_may_go_to(struct str sender, struct str alias);
/* Is the alias named in To or Cc (or as it was resent)? Mail that merely passed by is not answered.
 * A +tag behind the local part is let pass. */
bool reply_is_addressed_to(struct str message, struct str alias);

struct reply {
    struct str from, to;      /* addresses: the alias, the envelope sender */
    struct str subject, text; /* UTF-8; an empty subject: made of the message's */
    struct str name;          /* unique; of Message-ID */
    int64_t now_ms;
    struct str message; /* that is answered */
};

/* Appends the reply, ASCII throughout but for addresses, CRLF line ends. */
void reply_write(const struct reply *reply, struct buf *out);

#endif
