/* Inside the vault only: given unique-ids (maildrop.h), written within a change (state.h). */
#ifndef VAULT_UIDL_H
#define VAULT_UIDL_H

#include "vault/state.h"

/* Whether it could be the one that the server makes of a message in a folder of this UIDVALIDITY.
 */
bool uidl_has_own_shape(struct str uidl, uint32_t uidvalidity);
/* Notes the unique-id that a message brought along, unless one of the folder has it already. */
MUST_CHECK enum err uidl_give(struct vault *vault, struct task *task, int64_t folder_id,
                              uint32_t uid, struct str uidl);
/* The same for a message that was copied or moved, if its source has one. */
MUST_CHECK enum err uidl_take_along(struct vault *vault, struct task *task, int64_t from_id,
                                    uint32_t from_uid, int64_t to_id, uint32_t to_uid);

#endif
