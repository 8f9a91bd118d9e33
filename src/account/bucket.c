#include "account/bucket.h"

#include "base/memory.h"
#include "secret/crypt.h"

struct account_buckets {
    struct secret *key; /* own */
};

struct account_buckets *account_buckets_new(const struct secret *host_key)
{
    struct account_buckets *buckets = NEW(struct account_buckets);

    buckets->key = crypt_derive(host_key, STR("backup bucket"), STR(""));
    return buckets;
}

void account_buckets_free(struct account_buckets **buckets)
{
    if (*buckets == NULL)
        return;
    secret_free(&(*buckets)->key);
    mem_free(buckets);
}

/* What the seal is bound to: a row that was changed sends the secret nowhere else. */
static struct str bound_to(struct task *task, const struct account_bucket *bucket)
{
    return arena_printf(&task->arena, "%s\n%.*s\n%.*s\n%.*s", bucket->mailbox.text,
                        STR_ARG(bucket->place), STR_ARG(bucket->region), STR_ARG(bucket->key_id));
}

enum err account_bucket_seal(const struct account_buckets *buckets, struct task *task,
                             struct account_bucket *bucket, struct str secret)
{
    CLEANUP(buf_free) struct buf sealed;

    buf_init(&sealed, SIZE_MAX);
    TRY(crypt_seal(&sealed, secret_str(buckets->key), bound_to(task, bucket), secret));
    bucket->sealed = arena_copy(&task->arena, buf_str(&sealed));
    return ERR_OK;
}

enum err account_bucket_open(const struct account_buckets *buckets, struct task *task,
                             const struct account_bucket *bucket, struct secret **out_secret)
{
    CLEANUP(buf_free) struct buf secret;

    buf_init(&secret, SECRET_LEN_MAX);
    if (crypt_open(&secret, secret_str(buckets->key), bound_to(task, bucket), bucket->sealed) !=
            ERR_OK ||
        secret.len == 0)
        return fail(task, ERR_CORRUPT,
                    "account database: the secret of a mailbox's own bucket does not open");
    *out_secret = secret_copy(buf_str(&secret));
    mem_wipe(secret.ptr, secret.len);
    return ERR_OK;
}
