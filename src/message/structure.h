/*
 * The MIME tree as byte offsets (RFC 2046): one pass over the message, no recursion, linear in its
 * size, whatever the nesting.
 */
#ifndef MESSAGE_STRUCTURE_H
#define MESSAGE_STRUCTURE_H

#include "base/arena.h"
#include "message/message.h"

/* What BODYSTRUCTURE needs of a part's header. */
enum structure_field {
    STRUCTURE_CONTENT_TYPE,
    STRUCTURE_CONTENT_ENCODING,
    STRUCTURE_CONTENT_DISPOSITION,
    STRUCTURE_CONTENT_ID,
    STRUCTURE_CONTENT_DESCRIPTION,
    STRUCTURE_CONTENT_MD5,
    STRUCTURE_CONTENT_LANGUAGE,
    STRUCTURE_CONTENT_LOCATION,
    STRUCTURE_FIELDS,
};

/* Beside each part: its fields' raw values in the message; ptr NULL where there is none. Flat (see
 * header_flat) once the part's header was read. */
struct structure_notes {
    struct str fields[STRUCTURE_FIELDS];
    size_t params;      /* where the parameters begin in CONTENT_TYPE */
    bool is_type_given; /* the type is the header's own, with its parameters */
};

/*
 * Fills `out` and `*out_notes` (one for each part), in the arena; notes and `raw` must outlive each
 * other. In the tree: a multipart has children, a message exactly one; what is labelled so but has
 * none (no boundary occurs, a transfer encoding hides it, a limit) is a leaf of another type.
 * body_start is always header_start + header_len; children lie inside their parent's body.
 */
void structure_scan(struct arena *arena, struct str raw, struct message_structure *out,
                    struct structure_notes **out_notes);

#endif
