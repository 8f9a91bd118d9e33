/*
 * A stored message as the lines of a multi-line response (RFC 1939 §3): every line ends in CRLF, a
 * line that begins with a dot gets a second one. A line may have ended in a bare LF, the last one
 * without any end; a CR elsewhere is left alone. It comes in pieces, cut anywhere.
 */
#ifndef POP3_LINES_H
#define POP3_LINES_H

#include "base/buf.h"

#include <stdint.h>

#define POP3_LINES_ALL UINT64_MAX

struct pop3_lines {
    uint64_t body_lines_left; /* TOP's number, or POP3_LINES_ALL */
    bool is_in_body;
    bool is_in_line; /* something of the present line has come */
    bool is_blank;   /* of the present line only a CR has come, or nothing */
    char last;       /* byte, when is_in_line */
    bool is_done;    /* the number of lines is reached: the rest is not wanted */
};

/* `body_lines`: so many of the body, and the header; or POP3_LINES_ALL. */
void pop3_lines_init(struct pop3_lines *lines, uint64_t body_lines);
/* Appends what the next bytes of the message become. */
void pop3_lines_add(struct pop3_lines *lines, struct str bytes, struct buf *out);
/* The end of the message: completes the last line, and writes the terminating dot. */
void pop3_lines_end(struct pop3_lines *lines, struct buf *out);

#endif
