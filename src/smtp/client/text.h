/*
 * A message on its way to a server behind DATA (RFC 5321 §4.5.2): a dot before each line that
 * begins with one, CRLF at every line's end whatever it was, and the final dot. Made piece by
 * piece.
 */
#ifndef SMTP_CLIENT_TEXT_H
#define SMTP_CLIENT_TEXT_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>

struct smtp_text {
    struct str parts[2]; /* borrowed; what was not given out yet, one behind the other */
    bool is_in_line;     /* behind a byte that is not a line's end */
    bool is_ended;       /* the final dot was given out */
};

void smtp_text_init(struct smtp_text *text, struct str fields, struct str message);
/* Appends until `out` holds about `high` bytes, or to the end. */
void smtp_text_fill(struct smtp_text *text, struct buf *out, size_t high);

#endif
