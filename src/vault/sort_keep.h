/*
 * Inside the vault only: the rows of what SORT compares (sort_key), one of each content. They are
 * made in idle moments, some hundreds of contents at a time and each time in one transaction with
 * how far they are, so that a crash leaves neither a gap nor a row too many; a content that goes
 * takes its row with it. Whoever meets a content without a row makes the key from the content's own
 * row, which is the same, and dearer.
 */
#ifndef VAULT_SORT_KEEP_H
#define VAULT_SORT_KEEP_H

#include "vault/sort.h"
#include "vault/state.h"

/*
 * The key of a content from its row, but for what is the message's own; sent_ms stays where the
 * content has no valid date. In the task's arena. ERR_NOT_FOUND: the content was purged.
 */
MUST_CHECK enum err sort_make(struct vault *vault, struct task *task, int64_t content_id,
                              unsigned fields, struct vault_sort_key *key);

MUST_CHECK enum err sort_load(struct vault *vault, struct task *task);
/* So many contents have no row that filling should not wait for an idle moment. */
bool sort_is_behind(const struct vault *vault, int64_t contents);
/* Within a change: goes on filling; false: there is not enough to do. */
MUST_CHECK enum err sort_slice(struct vault *vault, struct task *task, bool *out_did);
/* Within a change: the content goes. */
MUST_CHECK enum err sort_forget(struct vault *vault, struct task *task, int64_t content_id);
/* ERR_CORRUPT: the content's row is there, and not what it should be. */
MUST_CHECK enum err sort_check(struct vault *vault, struct task *task, int64_t content_id);

#endif
