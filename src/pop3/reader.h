/* Cuts the client's bytes into lines. A bare LF ends a line as well. */
#ifndef POP3_READER_H
#define POP3_READER_H

#include "base/buf.h"

struct pop3_reader {
    struct buf in;  /* begins with the line being read */
    size_t scanned; /* up to here no line end is left to be found */
};

enum pop3_read {
    POP3_READ_MORE,     /* no whole line yet */
    POP3_READ_LINE,     /* *out is one, without its end */
    POP3_READ_TOO_LONG, /* more than POP3_LINE_MAX bytes without an end */
};

void pop3_reader_init(struct pop3_reader *reader);
void pop3_reader_add(struct pop3_reader *reader, struct str bytes);
/* What comes next; the view holds until the reader is touched. */
enum pop3_read pop3_reader_next(struct pop3_reader *reader, struct str *out);
/* Takes the line that was given off the input, and wipes it. */
void pop3_reader_consume(struct pop3_reader *reader);
/* All input that is there goes. */
void pop3_reader_drop(struct pop3_reader *reader);

#endif
