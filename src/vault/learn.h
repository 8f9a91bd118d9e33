/* Inside the vault only: learning what is junk (junk.h). All but the loading is within a change. */
#ifndef VAULT_LEARN_H
#define VAULT_LEARN_H

#include "vault/state.h"

/* learn.c keeps them in tables: a released number never changes. */
enum learn_kind { LEARN_NOTHING = 0, LEARN_SPAM = 1, LEARN_WANTED = 2 };

/* What a copy or move between these teaches: into Junk, or out of it, except to Trash. */
enum learn_kind learn_of_move(const struct folder *from, const struct folder *to);
/* What keywords that a message gained teach: $Junk, $NotJunk. `flags` are those it has now. */
enum learn_kind learn_of_flags(const struct vault *vault, uint64_t gained, uint64_t flags);
/* Notes that a content is to be learned; an earlier note gives way. */
MUST_CHECK enum err learn_later(struct vault *vault, struct task *task, int64_t content_id,
                                enum learn_kind kind);
/* The content goes; what was learned of it stays learned. */
MUST_CHECK enum err learn_forget(struct vault *vault, struct task *task, int64_t content_id);

MUST_CHECK enum err learn_load(struct vault *vault, struct task *task);
/* Learns a few of those that wait. */
MUST_CHECK enum err learn_slice(struct vault *vault, struct task *task, bool *out_did);

#endif
