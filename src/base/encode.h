/* Hexadecimal and base64 (RFC 4648) between bytes and text. */
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

#endif
