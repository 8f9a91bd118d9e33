/* Modified UTF-7, the form of mailbox names on the wire (RFC 3501 §5.1.3). */
#ifndef IMAP_UTF7_H
#define IMAP_UTF7_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Appends the encoded name; `name` is UTF-8 (a byte that is not is written as U+FFFD). */
void imap_utf7_encode(struct str name, struct buf *out);
/*
 * Appends the UTF-8. Strict, so that a name has one encoding only: ERR_INVALID for bytes outside
 * printable ASCII, for printable ASCII inside a shift, an unfinished or empty shift in the middle,
 * two shifts without a character between them, bits left over that are not zero, lone surrogates.
 */
MUST_CHECK enum err imap_utf7_decode(struct str encoded, struct buf *out);

#endif
