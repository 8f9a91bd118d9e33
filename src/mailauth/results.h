/*
 * The Authentication-Results field (RFC 8601): ours, and those in our name that came with a message
 * and must not stay (§5).
 */
#ifndef MAILAUTH_RESULTS_H
#define MAILAUTH_RESULTS_H

#include "mailauth/fields.h"
#include "mailauth/mailauth.h"

/* The field for what `verdict` has, CRLF at its end; in the arena. Empty without an authserv-id. */
struct str mailauth_results_write(struct arena *arena, const struct mailauth_request *request,
                                  const struct mailauth_verdict *verdict);

/* Does a field's value claim to be of this authserv-id? */
bool mailauth_results_is_ours(struct arena *arena, struct str value, struct str authserv);

/* Fills the verdict's removals. More of them than there is room for: the last one goes on to the
 * last of them, with what lies between. */
void mailauth_results_find(struct arena *arena, const struct mailauth_fields *fields,
                           struct str authserv, struct mailauth_verdict *verdict);

#endif
