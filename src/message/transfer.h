/*
 * Decoding a transfer encoding (RFC 2045 §6) piece by piece, in bounded memory: what comes out is
 * what message_decode_body makes of the whole, wherever the pieces are cut.
 */
#ifndef MESSAGE_TRANSFER_H
#define MESSAGE_TRANSFER_H

#include "message/message.h"

enum {
    /* Blanks between a "=" and its line end: RFC 2045 allows 76 characters in a line. */
    TRANSFER_BLANKS_MAX = 1000,
    TRANSFER_HELD_MAX = TRANSFER_BLANKS_MAX + 4,
};

struct transfer {
    enum message_encoding encoding;
    uint32_t bits; /* base64: of a group that is not complete */
    unsigned count;
    char held[TRANSFER_HELD_MAX]; /* quoted-printable: from a "=" whose meaning is open */
    size_t held_len;
};

void transfer_init(struct transfer *transfer, enum message_encoding encoding);
/* Append what is decided. */
void transfer_feed(struct transfer *transfer, struct str bytes, struct buf *out);
void transfer_end(struct transfer *transfer, struct buf *out);

#endif
