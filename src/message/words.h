/* Encoded words in header fields (RFC 2047, RFC 2231 §5). */
#ifndef MESSAGE_WORDS_H
#define MESSAGE_WORDS_H

#include "base/buf.h"
#include "base/str.h"

/*
 * Appends an unfolded value as UTF-8, its encoded words decoded; neighbours in one charset are
 * joined before they are converted, since writers split characters between them. What is no encoded
 * word stays, raw 8-bit text by charset_guess_to_utf8. Linear; valid UTF-8 without NUL.
 */
void words_decode(struct str text, struct buf *out);

#endif
