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
    /* Likewise; an annotation was set or removed, of a folder or (0) of the mailbox as a whole.
     * NULL: not of interest. `entry` is borrowed for the call. */
    void (*on_metadata)(struct vault_subscriber *subscriber, int64_t folder_id, struct str entry);
    /* Bits of keywords that it has in mind, where no row may have them: they are not given to other
     * keywords meanwhile (message.h). */
    uint64_t keywords_held;
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
    bool is_expunged_unknown; /* the log no longer reaches back so far: compare with the folder */
    uint64_t modseq;          /* the folder's highest now: the next `since` */
};
/* What happened after `since` (a MODSEQ). In the task's arena. */
MUST_CHECK enum err vault_changes_since(struct vault *vault, struct task *task, int64_t folder_id,
                                        uint64_t since, struct vault_changes *out);
/* Between which UIDs the messages are that changed, or came, after `since`; from memory. first >
 * last: there are none. Messages in between need not have changed. */
void vault_changed_range(const struct vault *vault, int64_t folder_id, uint64_t since,
                         uint32_t *out_first, uint32_t *out_last);
/* The folder's highest MODSEQ, from memory. 0: the folder is gone, or has become \Noselect. */
uint64_t vault_folder_modseq(const struct vault *vault, int64_t folder_id);
/* It is there, be it \Noselect. From memory. */
bool vault_folder_exists(const struct vault *vault, int64_t folder_id);

/* It is still the same mailbox: a name that was deleted and made again can have the same id. From
 * memory. */
bool vault_folder_is_valid(const struct vault *vault, int64_t folder_id, uint32_t incarnation);

/* UIDs first … last, inclusive. */
struct vault_uid_range {
    uint32_t first, last;
};
/*
 * The UIDs that vanished after `since` (RFC 7162 §3.2), ascending, neighbours joined, in the task's
 * arena. Not known: the log no longer reaches back so far, and gives none.
 */
MUST_CHECK enum err vault_vanished_since(struct vault *vault, struct task *task, int64_t folder_id,
                                         uint64_t since, bool *out_is_known,
                                         struct vault_uid_range **out_ranges, size_t *out_count);

#endif
