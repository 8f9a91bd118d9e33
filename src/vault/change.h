/*
 * Hearing of changes. All sessions of a mailbox live in its one process: after every commit each
 * subscriber hears which folders changed, and asks for the difference when its protocol lets it
 * speak.
 */
#ifndef VAULT_CHANGE_H
#define VAULT_CHANGE_H

#include "vault/message.h"

struct vault_subscriber {
    /* After the commit, never inside a transaction. folder_id -1: the list of folders changed
     * (created, renamed, deleted). Must not write to the vault. */
    void (*on_change)(struct vault_subscriber *subscriber, int64_t folder_id);
    /* private */
    struct vault_subscriber *next;
};
void vault_subscribe(struct vault *vault, struct vault_subscriber *subscriber); /* borrowed */
void vault_unsubscribe(struct vault *vault, struct vault_subscriber *subscriber);

struct vault_changes {
    struct vault_uid_flags *changed; /* new messages and new flags, ascending UID */
    size_t changed_count;
    uint32_t *expunged; /* ascending */
    size_t expunged_count;
    uint64_t modseq; /* the folder's highest now: the next `since` */
};
/* What happened after `since` (a MODSEQ). In the task's arena. */
MUST_CHECK enum err vault_changes_since(struct vault *vault, struct task *task, int64_t folder_id,
                                        uint64_t since, struct vault_changes *out);
/* Only the expunged UIDs of that; nothing is read of the messages. */
MUST_CHECK enum err vault_expunged_since(struct vault *vault, struct task *task, int64_t folder_id,
                                         uint64_t since, uint32_t **out_uids, size_t *out_count);
/* The folder's highest MODSEQ, from memory. 0: the folder is gone. */
uint64_t vault_folder_modseq(const struct vault *vault, int64_t folder_id);

#endif
