/* BODY and BODYSTRUCTURE as IMAP text (RFC 3501 §7.4.2). */
#ifndef MESSAGE_BODYSTRUCTURE_H
#define MESSAGE_BODYSTRUCTURE_H

#include "message/structure.h"

/* `envelopes` holds, by part index, the ENVELOPE text of each embedded message (the child of a
 * MESSAGE_KIND_MESSAGE part). With extension data it is BODYSTRUCTURE, without BODY. */
void bodystructure_write(struct arena *arena, const struct message_structure *structure,
                         const struct structure_notes *notes, const struct str *envelopes,
                         bool with_extension, struct buf *out);

#endif
