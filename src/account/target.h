/*
 * Where a forward leads. An administrator writes
 *
 *   someone@example.org   that address
 *   someone@              that user of the domain that the mail was for
 *   @example.org          the user that the mail was for, in that domain (also: example.org)
 *   mail.example.org:25   the address that the mail was for, through that host and port
 *
 * and, in a target of a regular expression, $1 … $9 anywhere in it (account/pattern.h). A +tag of
 * the address that the mail was for is passed on, unless the target has one of its own.
 */
#ifndef ACCOUNT_TARGET_H
#define ACCOUNT_TARGET_H

#include "base/task.h"

/* What mail was for, as its sender wrote it, in the arena. */
struct account_destination {
    struct str local;  /* the whole local part, quoted where it was */
    struct str detail; /* its +tag; empty: none */
    struct str domain; /* normalised */
};

struct account_forward {
    struct str to;  /* an address */
    struct str via; /* host:port; empty: by MX */
};

/* A target's text, without groups, for this destination; results in the arena. ERR_INVALID: it is
 * none of the four forms; words for the administrator. */
MUST_CHECK enum err account_target_resolve(struct task *task, struct str text,
                                           const struct account_destination *destination,
                                           struct account_forward *out_forward);

/* The URL of a webhook: http or https, a host, no user or password in it. ERR_INVALID with words.
 * Whether its address may be called is judged when it is (courier). */
MUST_CHECK enum err account_webhook_check(struct task *task, struct str url);

#endif
