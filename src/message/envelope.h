/* What the header of a message (not of any part) tells, and ENVELOPE as IMAP text. */
#ifndef MESSAGE_ENVELOPE_H
#define MESSAGE_ENVELOPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "message/address.h"

enum envelope_field {
    ENVELOPE_DATE,
    ENVELOPE_SUBJECT,
    ENVELOPE_FROM,
    ENVELOPE_SENDER,
    ENVELOPE_REPLY_TO,
    ENVELOPE_TO,
    ENVELOPE_CC,
    ENVELOPE_BCC,
    ENVELOPE_IN_REPLY_TO,
    ENVELOPE_MESSAGE_ID,
    ENVELOPE_REFERENCES,
    ENVELOPE_FIELDS,
};

struct envelope {
    struct str values[ENVELOPE_FIELDS]; /* flat, of the first such field; ptr NULL: none */
    struct address_list addresses[ENVELOPE_FIELDS]; /* of all FROM … BCC fields */
    uint32_t received_count;
};

/* Everything is in the arena or in `header`. `budget` is for header_flat. */
void envelope_read(struct arena *arena, struct str header, size_t *budget, struct envelope *out);

/*
 * The parenthesised list of RFC 3501 §7.4.2: (date subject from sender reply-to to cc bcc
 * in-reply-to message-id). Texts as they are in the message, unfolded, nothing decoded.
 */
void envelope_write(const struct envelope *envelope, struct buf *out);

#endif
