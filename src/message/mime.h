/*
 * Structured MIME fields: a value and its parameters (RFC 2045 §5.1, RFC 2183, RFC 2231). Input is
 * a flat value (header_flat). Writers get these wrong in many ways; readers take what can be meant.
 */
#ifndef MESSAGE_MIME_H
#define MESSAGE_MIME_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>

/*
 * type "/" subtype, in lower case in the arena. False when it is none (RFC 2045 §5.2: such a part
 * is text/plain). *out_position is where the parameters begin.
 */
bool mime_type(struct arena *arena, struct str flat, struct str *out_type, struct str *out_subtype,
               size_t *out_position);
/* The first token: a disposition or a transfer encoding. May be empty. */
struct str mime_token(struct str flat, size_t *out_position);

struct mime_param {
    struct str name;  /* as written: "filename*0*" */
    struct str value; /* without quotes and backslashes; else as written */
};
/* The next parameter; what is not one is skipped. False: no more. Values are views or in the arena.
 */
bool mime_param_next(struct arena *arena, struct str flat, size_t *position,
                     struct mime_param *out);

/*
 * A parameter put together from its pieces and decoded to UTF-8 (RFC 2231 §3, §4; and RFC 2047
 * words, which are not allowed there but usual). Appends; false when there is none.
 */
bool mime_param_decoded(struct arena *arena, struct str flat, size_t position, struct str name,
                        struct buf *out);

/* Moves *position over white space and comments (RFC 5322 §3.2.2), nested to any depth. */
void mime_skip_cfws(struct str text, size_t *position);

#endif
