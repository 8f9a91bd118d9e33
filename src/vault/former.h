/*
 * Inside the vault only: which UIDVALIDITY names had in former times. What programs remember of a
 * folder that was deleted or renamed must not look as if it were of the one that has its name now:
 * that one's UIDVALIDITY is greater (RFC 3501 §2.3.1.1). A new folder's always is; one that is
 * renamed may be older.
 */
#ifndef VAULT_FORMER_H
#define VAULT_FORMER_H

#include "vault/state.h"

enum { VAULT_FORMER_MAX = 16 * 1024 }; /* names; of more, the oldest count as one */

/* Within a change: a folder with that UIDVALIDITY has the name no longer. */
MUST_CHECK enum err former_note(struct vault *vault, struct task *task, struct str name,
                                uint32_t uidvalidity);
/* The greatest that was noted of the name, or is not known not to be of it; 0: none. */
MUST_CHECK enum err former_uidvalidity(struct vault *vault, struct task *task, struct str name,
                                       uint32_t *out);

#endif
