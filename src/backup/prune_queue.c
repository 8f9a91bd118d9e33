#include "backup/prune_queue.h"

#include "backup/prune.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <sys/queue.h>

enum { WAITING_MAX = 1024, MANIFEST_MAX = 64 * 1024 };

struct waiting {
    char *newest; /* own */
    uint64_t size_bytes;
    TAILQ_ENTRY(waiting) in_queue;
};

struct prune_queue {
    const struct log *log; /* borrowed, as the next ones */
    const struct backup_policy *policy;
    struct backup_destination *destination;
    struct backup_mirrors *mirrors;
    struct let_go *let_go;
    TAILQ_HEAD(, waiting) waiting;
    size_t count;
    struct backup_prune *prune; /* own; the one under way */
};

static void run(struct prune_queue *queue);

static bool on_removing(void *owner, struct str name)
{
    struct prune_queue *queue = owner;

    return (queue->mirrors == NULL || backup_mirrors_has_room(queue->mirrors, name)) &&
           (queue->let_go == NULL || let_go_note(queue->let_go, name));
}

static void on_removed(void *owner, struct str name)
{
    struct prune_queue *queue = owner;

    if (queue->mirrors != NULL)
        backup_mirrors_removed(queue->mirrors, name);
}

static void on_pruned(void *owner)
{
    struct prune_queue *queue = owner;

    queue->prune = NULL;
    if (queue->let_go != NULL)
        let_go_sync(queue->let_go);
    run(queue);
}

static struct waiting *take_first(struct prune_queue *queue)
{
    struct waiting *first = TAILQ_FIRST(&queue->waiting);

    if (first == NULL)
        return NULL;
    TAILQ_REMOVE(&queue->waiting, first, in_queue);
    queue->count--;
    return first;
}

static void waiting_free(struct waiting **waiting)
{
    mem_free(&(*waiting)->newest);
    mem_free(waiting);
}

static void run(struct prune_queue *queue)
{
    static const struct backup_prune_events events = {on_removing, on_removed, on_pruned};
    struct waiting *first;

    if (queue->prune != NULL || (first = take_first(queue)) == NULL)
        return;
    queue->prune = backup_prune_start(queue->destination, queue->policy, str_from_c(first->newest),
                                      first->size_bytes, queue->log, &events, queue);
    waiting_free(&first);
}

/* A manifest says that the copy was opened and checked, and has so many bytes. */
static bool says_verified(const struct backup_put *put, uint64_t *out_size_bytes)
{
    struct task task;
    CLEANUP(buf_free) struct buf text;
    bool is_verified = false;
    json_t *json;

    task_init(&task, clock_now_ms());
    buf_init(&text, MANIFEST_MAX + 16384);
    if (put->size_bytes <= MANIFEST_MAX &&
        fd_read_all(&task, put->fd, MANIFEST_MAX, &text) == ERR_OK) {
        json = json_loadb(text.ptr == NULL ? "" : text.ptr,
                          text.len < put->size_bytes ? text.len : (size_t)put->size_bytes, 0, NULL);
        is_verified = json_is_true(json_object_get(json, "verified")) &&
                      json_is_integer(json_object_get(json, "size"));
        if (is_verified)
            *out_size_bytes = (uint64_t)json_integer_value(json_object_get(json, "size"));
        json_decref(json);
    }
    task_done(&task);
    return is_verified;
}

void prune_queue_add(struct prune_queue *queue, const struct backup_put *put, size_t root_len)
{
    struct str inner = str_from(put->name, root_len);
    struct waiting *waiting;
    uint64_t size_bytes = put->size_bytes;
    bool is_full = str_starts_with(inner, STR("full/"));

    if (is_full && (!str_ends_with(inner, STR(".json")) || !says_verified(put, &size_bytes)))
        return;
    if (!is_full && !str_starts_with(inner, STR("drop/")) &&
        !str_starts_with(put->name, STR("host/account/")))
        return;
    if (queue->count == WAITING_MAX)
        return; /* the next one does it */
    waiting = NEW(struct waiting);
    waiting->newest = mem_copy_text(put->name.ptr, put->name.len);
    waiting->size_bytes = size_bytes;
    TAILQ_INSERT_TAIL(&queue->waiting, waiting, in_queue);
    queue->count++;
    run(queue);
}

struct prune_queue *prune_queue_new(const struct log *log, const struct backup_policy *policy)
{
    struct prune_queue *queue = NEW(struct prune_queue);

    queue->log = log;
    queue->policy = policy;
    TAILQ_INIT(&queue->waiting);
    return queue;
}

void prune_queue_free(struct prune_queue **pointer)
{
    struct prune_queue *queue = *pointer;
    struct waiting *waiting;

    backup_prune_cancel(&queue->prune);
    while ((waiting = take_first(queue)) != NULL)
        waiting_free(&waiting);
    mem_free(pointer);
}

void prune_queue_set_destination(struct prune_queue *queue, struct backup_destination *destination)
{
    queue->destination = destination;
}

void prune_queue_set_mirrors(struct prune_queue *queue, struct backup_mirrors *mirrors)
{
    queue->mirrors = mirrors;
}

void prune_queue_set_let_go(struct prune_queue *queue, struct let_go *let_go)
{
    queue->let_go = let_go;
}
