/* Inside the vault only: the log of what was expunged (table expunge, change.h). */
#ifndef VAULT_VANISHED_H
#define VAULT_VANISHED_H

#include "vault/state.h"

/* How many ranges a folder's log may hold; the older half goes when there are more. */
enum { VANISHED_ROWS_MAX = 10000 };

/* Notes that ascending UIDs next to each other vanished under this modseq. */
MUST_CHECK enum err vanished_note(struct vault *vault, struct task *task, int64_t folder_id,
                                  uint64_t modseq, uint32_t first_uid, uint32_t last_uid);
/* Up to this modseq the log no longer tells; 0: it tells everything. */
MUST_CHECK enum err vanished_floor(struct vault *vault, struct task *task, int64_t folder_id,
                                   uint64_t *out_modseq);
/* Housekeeping: shortens the logs of some folders. *out_did: call again. */
MUST_CHECK enum err vanished_trim(struct vault *vault, struct task *task, bool *out_did);

#endif
