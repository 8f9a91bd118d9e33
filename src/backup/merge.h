/*
 * Messages of a restored mailbox into the live one, beside what is there: folders of the same names
 * below a new one, with flags, keywords and dates. In slices, so that sessions go on.
 */
#ifndef BACKUP_MERGE_H
#define BACKUP_MERGE_H

#include "vault/vault.h"

struct merge_options {
    struct str into;   /* the folder that is made, or added to; borrowed */
    struct str folder; /* only this one of the restored mailbox; empty: all */
    bool skip_duplicates; /* messages whose bytes are in the live folder of the same name already */
};

struct merge_counts {
    uint64_t done, total, skipped;
};

struct merge;

/* Both vaults are borrowed. ERR_NOT_FOUND: no such folder in `from`; ERR_INVALID: the name. */
MUST_CHECK enum err merge_begin(struct task *task, struct vault *from, struct vault *to,
                                const struct merge_options *options, struct merge **out_merge);
/* One message, or a little more. What was merged stays whatever becomes of the rest. */
MUST_CHECK enum err merge_step(struct merge *merge, struct task *task, bool *out_more);
const struct merge_counts *merge_counts(const struct merge *merge);
void merge_free(struct merge **merge);

#endif
