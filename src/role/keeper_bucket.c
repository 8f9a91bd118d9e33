/*
 * Owners' own buckets (account/bucket.h): the archivist hears of them from the keeper, which has
 * their secrets sealed. Of all of them when either of the two is new, a few at a time; then of each
 * that changes.
 */
#include "role/keeper.h"

#include "backup/place.h"
#include "base/clock.h"

enum { AT_A_TIME = 50, PAUSE_MS = 10, AGAIN_MS = 5 * 1000 };

static enum err tell(struct keeper *keeper, struct task *task, const struct account_bucket *bucket)
{
    CLEANUP(secret_free) struct secret *secret = NULL;
    struct wire_channel *archivist = role_peer(keeper->process, WIRE_ROLE_ARCHIVIST, 0);
    struct wire_backup_own body = {.mailbox = bucket->mailbox,
                                   .place = bucket->place,
                                   .region = bucket->region,
                                   .key_id = bucket->key_id};

    if (bucket->place.len > 0) {
        TRY(account_bucket_open(keeper->buckets, task, bucket, &secret));
        body.secret = secret_str(secret);
    }
    if (archivist == NULL || wire_send(archivist, WIRE_BACKUP_OWN, 0, &body, NULL, 0) != ERR_OK)
        return fail(task, ERR_BUSY, "the archivist is away");
    return ERR_OK;
}

/* The next few. One that does not open is passed over, and said in the log. */
static enum err tell_some(struct keeper *keeper, struct task *task, bool *out_is_done)
{
    static const struct account_bucket nobody = {0};

    for (int i = 0; i < AT_A_TIME; i++) {
        struct account_bucket bucket;
        enum err err;

        TRY(account_bucket_next(keeper->database, task, keeper->bucket_told, &bucket));
        err = tell(keeper, task, bucket.row != 0 ? &bucket : &nobody);
        if (err == ERR_CORRUPT) {
            log_failure(keeper->log, "a mailbox's own bucket", task);
            task_forgive(task);
        } else if (err != ERR_OK) {
            return err;
        }
        *out_is_done = bucket.row == 0;
        if (*out_is_done)
            return ERR_OK;
        keeper->bucket_told = bucket.row;
    }
    return ERR_OK;
}

static void on_time(void *owner)
{
    struct keeper *keeper = owner;
    struct task task;
    bool is_done = false;
    enum err err;

    if (role_peer(keeper->process, WIRE_ROLE_ARCHIVIST, 0) == NULL)
        return; /* told when it comes */
    task_init(&task, clock_now_ms());
    err = tell_some(keeper, &task, &is_done);
    if (err != ERR_OK)
        log_failure(keeper->log, "telling of mailboxes' own buckets", &task);
    task_done(&task);
    if (!is_done)
        net_timer_start(keeper->bucket_timer, err == ERR_OK ? PAUSE_MS : AGAIN_MS);
    else /* it knows where all of them have backups */
        account_purge_set_peer(keeper->purge, true, clock_now_ms());
}

void keeper_bucket_tell_all(struct keeper *keeper)
{
    if (keeper->bucket_timer == NULL)
        return; /* not started yet */
    keeper->bucket_told = 0;
    net_timer_start(keeper->bucket_timer, 0);
}

void keeper_bucket_start(struct keeper *keeper)
{
    keeper->bucket_timer = net_timer_new(role_loop(keeper->process), on_time, keeper);
    keeper_bucket_tell_all(keeper);
}

void keeper_bucket_stop(struct keeper *keeper)
{
    net_timer_free(&keeper->bucket_timer);
}

void keeper_bucket_changed(void *owner, const struct id *mailbox)
{
    struct keeper *keeper = owner;
    struct account_bucket bucket;
    struct task task;
    enum err err;

    task_init(&task, clock_now_ms());
    err = account_bucket_find(keeper->database, &task, mailbox, &bucket);
    if (err == ERR_NOT_FOUND) {
        task_forgive(&task);
        bucket = (struct account_bucket){.mailbox = *mailbox};
        err = ERR_OK;
    }
    if (err == ERR_OK)
        err = tell(keeper, &task, &bucket);
    if (err != ERR_OK && err != ERR_BUSY) /* away: told of all when it comes */
        log_failure(keeper->log, "telling of a mailbox's own bucket", &task);
    task_done(&task);
}

const char *keeper_bucket_reason(void *owner, struct task *task, struct str place)
{
    struct backup_place parsed;
    const char *reason = backup_place_parse(&task->arena, place, &parsed);

    (void)owner;
    if (reason != NULL)
        return reason;
    return parsed.is_s3 ? NULL : "it is not S3";
}
