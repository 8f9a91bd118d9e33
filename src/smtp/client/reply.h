/*
 * A server's replies (RFC 5321 §4.2): bytes in, whole replies out, in bounded memory.
 *
 *   Reply-line  = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 *   Reply-code  = %x32-35 %x30-35 %x30-39
 *
 * A line may end with LF alone, and a second digit over 5 is let pass: both exist. Everything else
 * that is not of that form, a reply whose lines have different codes, and one that is longer than
 * the limits below is broken: nothing more is read of this server.
 */
#ifndef SMTP_CLIENT_REPLY_H
#define SMTP_CLIENT_REPLY_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>

enum {
    SMTP_REPLY_LINE_MAX = 4096,  /* RFC 5321 asks for 512 (§4.5.3.1.5) */
    SMTP_REPLY_LINES_MAX = 256,  /* EHLO's is the longest there is */
    SMTP_REPLY_TEXT_MAX = 16384, /* of all its lines */
};

struct smtp_enhanced {
    unsigned class, subject, detail; /* RFC 3463; class 0: none was given */
};

struct smtp_reply {
    unsigned code;
    struct smtp_enhanced enhanced; /* of the reply's class; from its last line */
    struct str text;               /* the lines without code, LF between them; as it came */
};

enum smtp_reply_state {
    SMTP_REPLY_PARTIAL, /* more bytes are needed */
    SMTP_REPLY_WHOLE,
    SMTP_REPLY_BROKEN, /* for good */
};

struct smtp_reply_reader {
    struct buf line; /* own; of a line that is not whole yet */
    struct buf text; /* own */
    unsigned code;   /* of the reply under way */
    unsigned line_count;
    bool is_broken;
    bool is_given; /* `text` is of a reply that was given: emptied with the next byte */
};

void smtp_reply_reader_init(struct smtp_reply_reader *reader);
void smtp_reply_reader_done(struct smtp_reply_reader *reader);

/* Takes from the front of *bytes, at most one reply, which holds until the next call. */
enum smtp_reply_state smtp_reply_read(struct smtp_reply_reader *reader, struct str *bytes,
                                      struct smtp_reply *out);

/* "5.1.1 ": an enhanced code at the front of a line (RFC 2034 §4), which is moved behind it. */
bool smtp_enhanced_parse(struct str *line, struct smtp_enhanced *out);
/*
 * A reply's text for people: its lines joined with a space, without enhanced codes, printable
 * (control characters and bytes that are not UTF-8 become "?"), at most `most` bytes, cut between
 * characters.
 */
void smtp_reply_words(struct str text, size_t most, struct buf *out);

#endif
