/* The beginning of a message's text, for a list of messages (RFC 8970 §3.3). */
#ifndef MESSAGE_PREVIEW_H
#define MESSAGE_PREVIEW_H

#include "message/message.h"

enum {
    MESSAGE_PREVIEW_CHARS = 200, /* characters, not bytes: what RFC 8970 §3.2 recommends */
    /* Of a part, encoded: enough to get past the style sheets of HTML. */
    MESSAGE_PREVIEW_RAW_MAX = 64 * 1024,
};

/*
 * The parts whose text may serve, best first: the first text/plain, the first text/html; neither
 * attachments nor what lies in a forwarded message. NULL: no more.
 */
const struct message_part *message_preview_part(const struct message_structure *structure,
                                                unsigned choice);
/*
 * Appends the beginning of its text: UTF-8, white space as single spaces, quoted lines left out.
 * `body` is the part's body or the first MESSAGE_PREVIEW_RAW_MAX bytes of it. Nothing: no text.
 */
void message_preview(const struct message_part *part, struct str body, struct buf *out);

#endif
