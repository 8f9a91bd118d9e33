/* Hexadecimal and base64 (RFC 4648) between bytes and text; words for a shell. */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Lower-case digits, no separators. */
MUST_CHECK enum err encode_hex(struct buf *out, struct str bytes);
/* Both cases; ERR_INVALID for anything else or an odd length. */
MUST_CHECK enum err decode_hex(struct buf *out, struct str text);

/* RFC 4648 §4, padded, no line breaks. */
MUST_CHECK enum err encode_base64(struct buf *out, struct str bytes);
/* Strict: padding required, no white space, unused bits zero; ERR_INVALID otherwise. */
MUST_CHECK enum err decode_base64(struct buf *out, struct str text);

/* As one word of a command that is shown to be pasted: in single quotes where a shell would read more
 * into it. */
void encode_shell_word(struct buf *out, struct str text);

#endif
