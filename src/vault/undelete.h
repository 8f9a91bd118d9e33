/*
 * Expunged mail, and what went with a deleted folder, is kept for its owner for a while
 * (vault_set_undelete) and can be brought back. Not what was moved: that is elsewhere.
 *
 * Until sessions have heard of an expunge its message is where it was. vault_undelete_prepare ends
 * that: a session that has not announced it yet can no longer read the message. So begin with it:
 *
 *   vault_undelete_prepare until it is done, then
 *   vault_undelete_list or vault_undelete_restore with one run until it is done
 *
 * Each call is a slice of some 10 ms, and between two others may change the mailbox.
 */
#ifndef VAULT_UNDELETE_H
#define VAULT_UNDELETE_H

#include "vault/folder.h"

struct vault_undelete_filter {
    int64_t since_ms;   /* expunged then or later; INT64_MIN: whenever */
    struct str folder;  /* it was in this one, or below; empty: any. By the name that it has now */
    struct str subject; /* a part of it, without regard to case; empty: any */
};

/* Zeros to begin with. */
struct vault_undelete_run {
    int64_t position, end; /* ids of hidden messages: looked at up to, and to be looked at */
    uint64_t looked_at;
    uint64_t restored;
    bool has_begun, is_done;
};

MUST_CHECK enum err vault_undelete_prepare(struct vault *vault, struct task *task,
                                           bool *out_is_done);

struct vault_hidden {
    int64_t id; /* of this message among the hidden: a run's position to go on behind it */
    struct str folder; /* where it would go back to */
    struct str subject, from;
    uint64_t flags;
    uint64_t size_bytes;
    int64_t internal_date_ms;
    int64_t expunged_ms;
};
/* Those of the next slice that the filter lets through, oldest expunge first; in the task's arena.
 */
MUST_CHECK enum err vault_undelete_list(struct vault *vault, struct task *task,
                                        const struct vault_undelete_filter *filter,
                                        struct vault_undelete_run *run,
                                        struct vault_hidden **out_messages, size_t *out_count);
/*
 * Brings those of the next slice back: into the folder that they were in (made again, with its
 * parents, if it is gone; what the rest of the file knows no name for goes to INBOX), with flags,
 * keywords, dates and unique-id, without \Deleted, under new UIDs. Durable.
 *
 * ERR_LIMIT: the quota has no room for the next; run->restored tells how many were brought back.
 */
MUST_CHECK enum err vault_undelete_restore(struct vault *vault, struct task *task,
                                           const struct vault_undelete_filter *filter,
                                           struct vault_undelete_run *run);

struct vault_undelete_usage {
    uint64_t bytes, messages; /* kept; without what sessions may still read */
    uint64_t limit_bytes;
    int64_t keep_ms;
};
void vault_undelete_usage(const struct vault *vault, struct vault_undelete_usage *out);
/* Housekeeping would let some of it go now. */
bool vault_undelete_is_due(const struct vault *vault, const struct task *task);

#endif
