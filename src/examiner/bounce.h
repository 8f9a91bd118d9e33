/*
 * What a report of another server says about mail that failed there (RFC 3464, RFC 6522, RFC 6533):
 * which message, which addresses, why. Only a claim: whoever acts on it has to know that he sent
 * that message to that address (courier/bounce.c).
 */
#ifndef EXAMINER_BOUNCE_H
#define EXAMINER_BOUNCE_H

#include "base/arena.h"
#include "message/message.h"

enum {
    BOUNCE_RECIPIENTS_MAX = 50, /* those behind are not read */
    BOUNCE_STATUS_MAX = 64 * 1024, /* bytes read of the report's part for programs */
    BOUNCE_ADDRESS_MAX = 512,
    BOUNCE_ID_MAX = 998,
};

/*
 * JSON, at most 64 KiB (docs/routes.md); empty: it is no report, tells of no failure for good, or
 * does not say which message it means.
 */
struct str examiner_read_bounce(struct arena *arena, struct str message,
                                const struct message_structure *structure);

#endif
