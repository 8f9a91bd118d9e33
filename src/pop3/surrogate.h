/*
 * What a client that did not say UTF8 gets of a message with UTF-8 in its header.
 *
 * RFC 6856 §2.1 forbids to send such a message as it is, and leaves the choice between an error and
 * a surrogate. An error would let one message, sent by anybody, end the download of many a client
 * before the ones behind it, at every attempt; so there is a surrogate, by RFC 6858 §2:
 *
 *   address fields   an address beyond ASCII becomes invalid@internationalized-address.invalid, and
 *                    stands in the name before it
 *   Subject          encoded words (RFC 2047)
 *   Content-…        parameters beyond ASCII are left out
 *   others           left out
 *
 * A header may be as long as the message. Only the fields that end within its first 64 KiB are
 * treated so; in those behind, each byte beyond ASCII becomes a '?', which takes neither memory nor
 * a look ahead. As so long a header is sent before all of it is known, whether it is valid UTF-8
 * throughout cannot be asked: it is never sent as it is, a field among the first that is not valid
 * is left out, and the "+OK" tells of a surrogate even where nothing had to change. RETR and TOP
 * are alike in all of this.
 *
 * The body, and the headers of its parts, stay as they are. 8-bit bytes in a header are common in
 * old mail and spam, and have always been delivered: a message is only taken for one of the new
 * kind when it was declared to be one, and its header is valid UTF-8, or too long to tell. Declared
 * it is by SMTPUTF8 (its first Received field says so, RFC 6531 §4.3), or by who stored it with
 * IMAP's APPEND: with UTF8 (RFC 6855 §4), or in a session that enabled UTF8=ACCEPT (RFC 9755),
 * which the vault notes (vault_content_has_utf8_header) from its version 9 on if its header is
 * valid. What was exported and imported, or put back from a backup message by message, is not
 * noted.
 *
 * LIST and STAT tell the octets of the message, not of the surrogate: to know which ones need one,
 * every message would have to be read at login (RFC 6858 §3 allows the same of RFC822.SIZE).
 */
#ifndef POP3_SURROGATE_H
#define POP3_SURROGATE_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdbool.h>

enum {
    POP3_SURROGATE_HEADER_MAX = 64 * 1024, /* what lies behind is not rewritten, but masked */
    POP3_SURROGATE_MAX = 64 * 1024, /* above it, rewritten fields are left out as others are */
};

/* By the beginning of a message: did it come with SMTPUTF8? */
bool pop3_surrogate_is_likely(struct str beginning);
/* By the beginning of a message: its header ends there, and is ASCII. */
bool pop3_surrogate_is_ruled_out(struct str beginning);
/* The length of the header at the beginning, without the empty line; all, when none is there. */
size_t pop3_surrogate_header_len(struct str beginning);
/* Whether the header is one that needs a surrogate; a longer one than POP3_SURROGATE_HEADER_MAX, of
 * which only so much needs to be there, always is. */
bool pop3_surrogate_is_needed(struct str header);
/* The length of the fields that end within the header's first `max` bytes. */
size_t pop3_surrogate_fields_len(struct str header, size_t max);
/* Appends the surrogate's header: ASCII, field by field. `arena` holds what is needed on the way.
 */
void pop3_surrogate_write(struct arena *arena, struct str header, struct buf *out);

/* The rest of a message whose header is too long, in pieces cut anywhere. */
struct pop3_surrogate_rest {
    bool is_in_header; /* else nothing is left to do */
    bool is_at_start;  /* of a line: nothing of it has come */
    bool is_after_cr;  /* which alone has come of the line */
};
/* At the beginning of a field, or at the empty line. */
void pop3_surrogate_rest_init(struct pop3_surrogate_rest *rest);
/* Masks the header's bytes that are beyond ASCII. */
void pop3_surrogate_rest_mask(struct pop3_surrogate_rest *rest, char *bytes, size_t len);

#endif
