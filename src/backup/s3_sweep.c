/* Uploads that were begun and that nobody came back for: their parts cost room, and no list shows them. */
#include "backup/s3_internal.h"

#include "base/clock.h"
#include "base/memory.h"

enum {
    SWEEP_FIRST_MS = 60 * 1000,
    SWEEP_EVERY_MS = 24 * 60 * 60 * 1000,
    SWEEP_OLD_MS = 7 * 24 * 60 * 60 * 1000,
};

struct s3_sweep {
    struct s3 *s3; /* borrowed */
    struct arena arena;
    struct s3_upload *uploads; /* in the arena */
    size_t count, next;
    struct net_timer *timer;      /* own; the next time */
    struct net_timer *patience;   /* own; the end of this one */
    struct s3_exchange *exchange; /* own */
};

static void drop_next(struct s3_sweep *sweep);

static void end(struct s3_sweep *sweep)
{
    arena_free(&sweep->arena);
    sweep->count = sweep->next = 0;
    net_timer_stop(sweep->patience);
    net_timer_start(sweep->timer, SWEEP_EVERY_MS);
}

/* A connection that others may need: what is left is for the next time. */
static void on_patience_over(void *owner)
{
    struct s3_sweep *sweep = owner;

    s3_cancel(&sweep->exchange);
    sweep->exchange = NULL;
    end(sweep);
}

static void on_swept(void *owner, const struct s3_reply *reply)
{
    struct s3_sweep *sweep = owner;

    sweep->exchange = NULL;
    if (reply->err == ERR_OK)
        log_info(sweep->s3->log, "an upload that was not ended is dropped");
    drop_next(sweep);
}

static void drop_next(struct s3_sweep *sweep)
{
    while (sweep->next < sweep->count) {
        const struct s3_upload *upload = &sweep->uploads[sweep->next++];

        if (clock_now_ms() - upload->initiated_ms < SWEEP_OLD_MS)
            continue;
        sweep->exchange = s3_upload_drop(sweep->s3, upload->key, upload->id, on_swept, sweep);
        return;
    }
    end(sweep);
}

static void on_uploads(void *owner, const struct s3_reply *reply)
{
    struct s3_sweep *sweep = owner;
    struct s3_upload *uploads;
    struct task task;

    sweep->exchange = NULL;
    sweep->count = sweep->next = 0;
    task_init(&task, clock_now_ms());
    if (reply->err == ERR_OK &&
        s3_uploads_read(sweep->s3, &task, STR(""), reply->body, &uploads, &sweep->count) == ERR_OK)
        sweep->uploads = s3_uploads_copy(&sweep->arena, uploads, sweep->count);
    task_done(&task);
    drop_next(sweep);
}

static void sweep_now(void *owner)
{
    struct s3_sweep *sweep = owner;

    if (sweep->s3->sweep_ms > 0)
        net_timer_start(sweep->patience, sweep->s3->sweep_ms);
    sweep->exchange = s3_uploads_ask(sweep->s3, STR(""), on_uploads, sweep);
}

struct s3_sweep *s3_sweep_new(struct s3 *s3)
{
    struct s3_sweep *sweep = NEW(struct s3_sweep);

    sweep->s3 = s3;
    sweep->timer = net_timer_new(s3->loop, sweep_now, sweep);
    sweep->patience = net_timer_new(s3->loop, on_patience_over, sweep);
    net_timer_start(sweep->timer, SWEEP_FIRST_MS);
    return sweep;
}

void s3_sweep_free(struct s3_sweep **sweep)
{
    if (*sweep == NULL)
        return;
    s3_cancel(&(*sweep)->exchange);
    net_timer_free(&(*sweep)->timer);
    net_timer_free(&(*sweep)->patience);
    arena_free(&(*sweep)->arena);
    mem_free(sweep);
}
