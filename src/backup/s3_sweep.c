/* Uploads that were begun and that nobody came back for: their parts cost room, and no list shows them. */
#include "backup/s3_internal.h"

#include "backup/s3_xml.h"
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
    CLEANUP(buf_free) struct buf query;
    struct str prefix = s3_client_prefix(sweep->s3->client);

    buf_init(&query, SIZE_MAX);
    while (sweep->next < sweep->count) {
        const struct s3_upload *upload = &sweep->uploads[sweep->next++];
        struct s3_request request = {.method = NET_HTTP_DELETE,
                                     .name = str_from(upload->key, prefix.len)};

        if (!str_starts_with(upload->key, prefix) || !backup_name_is_valid(request.name) ||
            clock_now_ms() - upload->initiated_ms < SWEEP_OLD_MS)
            continue;
        s3_query_put(&query, "uploadId", upload->id);
        request.query = buf_str(&query);
        sweep->exchange = s3_start(sweep->s3->client, &request, on_swept, sweep);
        return;
    }
    end(sweep);
}

static void on_uploads(void *owner, const struct s3_reply *reply)
{
    struct s3_sweep *sweep = owner;
    struct s3_upload *uploads;
    struct task task;
    size_t count;

    sweep->exchange = NULL;
    sweep->count = sweep->next = 0;
    task_init(&task, clock_now_ms());
    if (reply->err == ERR_OK &&
        s3_xml_uploads(&task, reply->body, &uploads, &count) == ERR_OK) {
        sweep->uploads = ARENA_ARRAY(&sweep->arena, struct s3_upload, count + 1);
        for (size_t i = 0; i < count; i++)
            sweep->uploads[i] = (struct s3_upload){
                .key = arena_copy(&sweep->arena, uploads[i].key),
                .id = arena_copy(&sweep->arena, uploads[i].id),
                .initiated_ms = uploads[i].initiated_ms};
        sweep->count = count;
    }
    task_done(&task);
    drop_next(sweep);
}

static void sweep_now(void *owner)
{
    struct s3_sweep *sweep = owner;
    CLEANUP(buf_free) struct buf query;
    struct s3_request request = {.method = NET_HTTP_GET, .response_limit = S3_XML_BODY_MAX};

    if (sweep->s3->sweep_ms > 0)
        net_timer_start(sweep->patience, sweep->s3->sweep_ms);
    buf_init(&query, SIZE_MAX);
    s3_query_put(&query, "prefix", s3_client_prefix(sweep->s3->client));
    s3_query_put(&query, "uploads", STR(""));
    request.query = buf_str(&query);
    sweep->exchange = s3_start(sweep->s3->client, &request, on_uploads, sweep);
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
