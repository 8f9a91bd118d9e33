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

/*
 * The parameters in their order, those that were cut into pieces whole again, in the place of the
 * first piece that comes (RFC 2231 §6 wants that of BODYSTRUCTURE): "name*0", "name*1" are "name";
 * when a piece was encoded, it is "name*", all of it encoded. Pieces behind a missing one stay as
 * they are, and so do all of more than MIME_JOINED_MAX names; a piece that comes twice is left out.
 * `position` is what mime_type or mime_token gave.
 */
enum { MIME_JOINED_MAX = 4 };
struct mime_params {
    struct str flat;
    size_t begin, position;
    struct {
        struct str name;
        struct mime_param whole;
        size_t pieces; /* of it, which follow on each other, from 0 on */
        bool is_told;
    } joined[MIME_JOINED_MAX];
    size_t joined_count;
};
void mime_params_init(struct mime_params *params, struct str flat, size_t position);
bool mime_params_next(struct arena *arena, struct mime_params *params, struct mime_param *out);

/* Moves *position over white space and comments (RFC 5322 §3.2.2), nested to any depth. */
void mime_skip_cfws(struct str text, size_t *position);

#endif
