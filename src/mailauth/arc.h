/*
 * The Authenticated Received Chain (RFC 8617 §5.2): each forwarder adds a set of three fields, of
 * which the seal signs all sets up to its own.
 */
#ifndef MAILAUTH_ARC_H
#define MAILAUTH_ARC_H

#include "mailauth/dkim.h"

enum { MAILAUTH_ARC_SETS_MAX = 50 };

struct mailauth_arc_set {
    const struct header_field *results, *message_signature, *seal; /* borrowed */
};

struct mailauth_arc {
    enum mailauth_result result; /* NONE: no chain; PASS; FAIL */
    const char *reason;
    struct str domain; /* of the last seal, when the chain is whole */
    /* private */
    struct mailauth_arc_set sets[MAILAUTH_ARC_SETS_MAX]; /* by instance, from 1 */
    size_t count;
    struct mailauth_dkim message_signature; /* of the last set */
};

/* Finds the sets; what is wrong with them already is in `result`. Else the last one's signature
 * wants hashes of `bodies` (dkim.h). */
void mailauth_arc_read(struct arena *arena, const struct mailauth_fields *fields, int64_t now_ms,
                       struct mailauth_bodies *bodies, struct mailauth_arc *out);
/* Checks the signature and all seals, unless the result is known. */
void mailauth_arc_verify(struct task *task, struct mailauth_lookup *lookup,
                         const struct mailauth_fields *fields, const struct mailauth_bodies *bodies,
                         struct mailauth_arc *arc);

#endif
