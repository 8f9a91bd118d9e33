/*
 * The text of a message as it comes in: behind DATA with its dots (RFC 5321 §4.5.2), or in BDAT
 * chunks without them (RFC 3030 §2).
 *
 * Lines end with CRLF and nothing else does: <CRLF>.<CRLF> alone is the end of data. A CR or LF by
 * itself makes the whole message refused, because servers that disagree about where a message ends
 * let one sender speak for another (SMTP smuggling). BDAT is held to the same rule: BINARYMIME is
 * not offered, so its content is lines, too. All other bytes pass as they are, except NUL, which
 * no body without BINARYMIME may hold (RFC 2045 §2.7, §2.8).
 */
#ifndef SMTP_READER_H
#define SMTP_READER_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SMTP_TEXT_LINE_MAX = 1024 * 1024, /* RFC 5321 asks for 1,000; long lines exist */
};

enum smtp_reader_at {
    SMTP_AT_LINE_START,    /* behind a CRLF, or at the beginning */
    SMTP_AT_DOT,           /* behind <CRLF>. */
    SMTP_AT_DOT_CR,        /* behind <CRLF>.<CR> */
    SMTP_AT_TEXT,          /* within a line */
    SMTP_AT_CR,            /* within a line, behind a CR */
    SMTP_AT_BARE_START,    /* behind an LF that had no CR; the message is refused already */
    SMTP_AT_BARE_DOT,      /* behind <LF>. */
    SMTP_AT_BARE_DOT_CR,   /* behind <LF>.<CR> */
};

struct smtp_reader {
    enum smtp_reader_at at;
    bool is_dotted;       /* DATA; false: BDAT */
    bool is_ended;        /* <CRLF>.<CRLF> was read */
    bool has_bare;        /* a CR or LF by itself */
    bool has_false_end;   /* a lone dot between line ends of which one was not CRLF: a client that
                             sends this may take it for the end and wait for the reply */
    bool has_nul;
    bool has_long_line;
    uint64_t line_len;
    /* Gets the text without its added dots, in runs; nothing more once the message is refused. */
    void (*on_text)(void *owner, struct str run);
    void *owner; /* borrowed */
};

void smtp_reader_init(struct smtp_reader *reader, bool is_dotted,
                      void (*on_text)(void *owner, struct str run), void *owner);
/* Takes bytes up to the end of data; how many. Less than all only when is_ended. */
size_t smtp_reader_take(struct smtp_reader *reader, struct str bytes);
/* The last BDAT chunk was taken: a CR at its very end is a bare one. */
void smtp_reader_finish(struct smtp_reader *reader);
/* True once the message cannot be accepted any more. */
bool smtp_reader_is_refused(const struct smtp_reader *reader);

#endif
