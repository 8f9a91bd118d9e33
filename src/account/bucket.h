/*
 * Owners' own buckets (S3), to which the backups of their mailboxes are copied (backup/mirror.h).
 * The secret of the key lies sealed in the account database, under a key derived from the host key;
 * it is opened for the archivist only, and shown to nobody.
 */
#ifndef ACCOUNT_BUCKET_H
#define ACCOUNT_BUCKET_H

#include "account/database.h"

struct account_bucket {
    int64_t row;
    struct id mailbox;
    struct str place, region, key_id, created; /* in the task's arena */
    struct str sealed;
};

/* Table `backup_buckets` (account/sqlite/bucket.c). Puts one in the place of what the mailbox had;
 * in the caller's transaction. */
MUST_CHECK enum err account_bucket_put(struct account_database *database, struct task *task,
                                       const struct account_bucket *bucket);
/* ERR_NOT_FOUND: it has none. */
MUST_CHECK enum err account_bucket_find(struct account_database *database, struct task *task,
                                        const struct id *mailbox, struct account_bucket *out);
/* The first with a row greater than `after`; row 0: none. */
MUST_CHECK enum err account_bucket_next(struct account_database *database, struct task *task,
                                        int64_t after, struct account_bucket *out);
MUST_CHECK enum err account_bucket_remove(struct account_database *database, struct task *task,
                                          const struct id *mailbox);

struct account_buckets;

struct account_buckets *account_buckets_new(const struct secret *host_key);
void account_buckets_free(struct account_buckets **buckets);
/* Fills `sealed`, in the task's arena. */
MUST_CHECK enum err account_bucket_seal(const struct account_buckets *buckets, struct task *task,
                                        struct account_bucket *bucket, struct str secret);
/* ERR_CORRUPT: another key, or another row's. */
MUST_CHECK enum err account_bucket_open(const struct account_buckets *buckets, struct task *task,
                                        const struct account_bucket *bucket,
                                        struct secret **out_secret);

#endif
