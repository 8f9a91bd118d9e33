/*
 * Header blocks (RFC 5322 §2.2): one field after another, as bytes. Lines end at LF; a line that
 * begins with a space or tab continues the field before it. Linear in the block.
 */
#ifndef MESSAGE_HEADER_H
#define MESSAGE_HEADER_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>

/*
 * What one field may contribute to a summary (ENVELOPE, BODYSTRUCTURE, subject, …), and what all
 * fields of a message may; once that is used up, still so much for each (of addresses, for the
 * first field of each name). The rest is only found in the message itself. No writer comes near; a
 * hostile one would fill the memory.
 */
enum {
    HEADER_FIELD_MAX = 256 * 1024,
    HEADER_BUDGET = 4 * 1024 * 1024,
    HEADER_FIELD_MIN = 256,
};

struct header_field {
    struct str name;  /* without white space before the colon; empty: a line that is no field */
    struct str value; /* after the colon, folding and all, without its final line break */
    struct str whole; /* the lines as they are, line breaks included */
};

/*
 * The field at *position, which moves behind it. False at the empty line that ends the block, or
 * at its end; *position then is where that empty line starts.
 */
bool header_field_next(struct str header, size_t *position, struct header_field *out);

/*
 * A value as text in one line: trimmed, the line breaks of its folding taken out, NUL made '?', cut
 * to what *budget allows, which is lowered. A view of `value` where nothing had to change, else in
 * the arena.
 */
struct str header_flat(struct arena *arena, struct str value, size_t *budget);

#endif
