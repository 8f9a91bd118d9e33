/*
 * Uploads of some names that were begun and not ended: dropped, whatever their age. Their parts are
 * in no list of objects. Whoever asked to end one of them, and was not answered, can end none any
 * more.
 */
#include "backup/s3_internal.h"

#include "base/clock.h"
#include "base/memory.h"

enum { ROUNDS_MAX = 100 }; /* of S3_UPLOADS_MAX */

struct abandon_call {
    struct backup_call base;
    struct s3 *s3; /* borrowed */
    struct arena arena;
    struct str prefix; /* in the arena, as the next */
    struct s3_upload *uploads;
    size_t count, next, rounds;
    struct s3_exchange *exchange; /* own */
    backup_on_done on_done;
    void *owner; /* borrowed */
};

static void abandon_free(struct abandon_call *call)
{
    s3_cancel(&call->exchange);
    arena_free(&call->arena);
    mem_free(&call);
}

static void abandon_cancel(struct backup_call *base)
{
    abandon_free(CONTAINER_OF(base, struct abandon_call, base));
}

static void finish(struct abandon_call *call, enum err err, const char *words)
{
    struct backup_result result = {.err = err, .words = words, .fd = -1, .is_last = true};

    call->on_done(call->owner, &result);
    abandon_free(call);
}

static void look(struct abandon_call *call);

static void drop_next(struct abandon_call *call);

static void on_dropped(void *owner, const struct s3_reply *reply)
{
    struct abandon_call *call = owner;

    call->exchange = NULL;
    if (reply->err != ERR_OK && reply->err != ERR_NOT_FOUND)
        finish(call, reply->err, reply->words);
    else
        drop_next(call);
}

static void drop_next(struct abandon_call *call)
{
    if (call->next < call->count) {
        const struct s3_upload *upload = &call->uploads[call->next++];

        call->exchange = s3_upload_drop(call->s3, upload->key, upload->id, on_dropped, call);
    } else if (call->count < S3_UPLOADS_MAX) {
        finish(call, ERR_OK, "");
    } else if (++call->rounds == ROUNDS_MAX) {
        finish(call, ERR_INVALID, "S3: a list of uploads without an end");
    } else {
        look(call);
    }
}

/* Not every server has such a list, and not every key may see it; then none was begun with it, as
 * s3_put.c looks there first. */
static bool is_forgiven(const struct s3_reply *reply)
{
    return reply->err == ERR_DENIED || reply->status == 501 || reply->status == 405;
}

static void on_uploads(void *owner, const struct s3_reply *reply)
{
    struct abandon_call *call = owner;
    struct s3_upload *uploads;
    enum err err = reply->err;
    struct task task;

    call->exchange = NULL;
    task_init(&task, clock_now_ms());
    if (err == ERR_OK)
        err = s3_uploads_read(call->s3, &task, call->prefix, reply->body, &uploads, &call->count);
    if (err == ERR_OK) {
        call->uploads = s3_uploads_copy(&call->arena, uploads, call->count);
        call->next = 0;
        drop_next(call);
    } else if (is_forgiven(reply)) {
        finish(call, ERR_OK, "");
    } else {
        finish(call, err, reply->err != ERR_OK ? reply->words : task.words);
    }
    task_done(&task);
}

static void look(struct abandon_call *call)
{
    call->exchange = s3_uploads_ask(call->s3, call->prefix, on_uploads, call);
}

static const struct backup_destination_kind abandon_kind = {.cancel = abandon_cancel};

struct backup_call *s3_abandon(struct backup_destination *destination, struct str prefix,
                               backup_on_done on_done, void *owner)
{
    struct abandon_call *call = NEW(struct abandon_call);

    call->base.kind = &abandon_kind;
    call->s3 = CONTAINER_OF(destination, struct s3, base);
    call->prefix = arena_copy(&call->arena, prefix);
    call->on_done = on_done;
    call->owner = owner;
    look(call);
    return &call->base;
}
