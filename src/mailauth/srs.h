/*
 * Envelope senders of forwarded mail (Sender Rewriting Scheme): SRS0=HHHH=TT=domain=local@ours, and
 * SRS1 for what another forwarder rewrote before us. The hash makes sure that nobody uses us as a
 * relay by inventing such addresses; TT is the day, and old ones end.
 */
#ifndef MAILAUTH_SRS_H
#define MAILAUTH_SRS_H

#include "base/buf.h"
#include "base/task.h"

enum { SRS_KEY_BYTES = 32, SRS_LIFETIME_DAYS = 21 };

/* `sender` rewritten to be of `domain`. ERR_LIMIT: too long for a local part (RFC 5321 §4.5.3.1.1);
 * the caller sends with another sender then. */
MUST_CHECK enum err srs_rewrite(struct task *task, struct str key, struct str sender,
                                struct str domain, int64_t now_ms, struct buf *out);
/* Is this local part of that form at all (whoever made it)? */
bool srs_is_one(struct str local);
/* Back to the address one step before. ERR_DENIED: not ours, altered, or too old. */
MUST_CHECK enum err srs_reverse(struct task *task, struct str key, struct str local,
                                int64_t now_ms, struct buf *out);

#endif
