/* Strings as IMAP writes them (RFC 3501 §4.3, §9 string, nstring). */
#ifndef MESSAGE_IMAPTEXT_H
#define MESSAGE_IMAPTEXT_H

#include "base/buf.h"
#include "base/str.h"

/*
 * Appends a quoted string where that is allowed, else a literal: for 8-bit bytes, CR, LF, and for
 * long text. NUL, which neither may hold, becomes '?'.
 */
void imaptext_string(struct str text, struct buf *out);
/* The same; NIL for a view whose ptr is NULL. */
void imaptext_nstring(struct str text, struct buf *out);

#endif
