/*
 * Inside the vault only: what is kept of a content beside its own row, made at arrival, or in
 * slices for contents that came before a mailbox had it. All but the loading is within a change
 * (state.h).
 */
#ifndef VAULT_FACTS_H
#define VAULT_FACTS_H

#include "message/message.h"
#include "vault/state.h"

/* identity.c */
MUST_CHECK enum err facts_add_identity(struct vault *vault, struct task *task, int64_t content_id,
                                       const struct message_summary *summary);
MUST_CHECK enum err facts_remove_identity(struct vault *vault, struct task *task,
                                          int64_t content_id);
/* Whether all contents have theirs. */
MUST_CHECK enum err facts_load_identities(struct vault *vault, struct task *task);
MUST_CHECK enum err facts_identity_slice(struct vault *vault, struct task *task);

/* preview.c: the same */
MUST_CHECK enum err facts_add_preview(struct vault *vault, struct task *task, int64_t content_id,
                                      struct str raw, const struct message_structure *structure);
MUST_CHECK enum err facts_remove_preview(struct vault *vault, struct task *task,
                                         int64_t content_id);
MUST_CHECK enum err facts_load_previews(struct vault *vault, struct task *task);
MUST_CHECK enum err facts_preview_slice(struct vault *vault, struct task *task);

#endif
