/* Jobs: one attempt each, from the queue's rows to a verdict for each of its recipients. */
#include "courier/state.h"

#include "base/clock.h"
#include "base/memory.h"

#include <assert.h>

enum { DAMAGED_WAIT_MS = 10 * 60 * 1000 };

/* --- Taking --- */

static bool has_room(const struct courier *courier, size_t taken_count)
{
    return courier->job_count + taken_count < courier->options.jobs_max &&
           courier->job_bytes < COURIER_BYTES_MAX && !courier->is_stopping && courier->ways != NULL;
}

/* The lane's next attempt as a job. NULL: nothing of it is due. */
static enum err try_one(struct courier *courier, struct task *task, struct str lane,
                        struct courier_job **out)
{
    CLEANUP(courier_job_free) struct courier_job *job = NEW(struct courier_job);
    int64_t due_ms;

    job->courier = courier;
    task_init(&job->task, task->now_ms);
    buf_init(&job->content, SIZE_MAX);
    buf_init(&job->fields, SIZE_MAX);
    job->lane = arena_copy(&job->task.arena, lane);
    TRY(queue_take(courier->queue, &job->task, job->lane, task->now_ms, COURIER_RECIPIENTS_MAX,
                   &job->recipients, &job->count));
    TRY(queue_lane_due(courier->queue, task, job->lane, &due_ms));
    lanes_set_due(courier->lanes, job->lane, due_ms);
    *out = NULL;
    if (job->count == 0)
        return ERR_OK;
    job->verdicts = ARENA_ARRAY(&job->task.arena, struct courier_verdict, job->count);
    TRY(queue_message(courier->queue, &job->task, job->recipients[0].message_id, &job->message));
    *out = job;
    job = NULL;
    return ERR_OK;
}

/* What is damaged holds up its lane, and no other. */
static enum err take_one(struct courier *courier, struct task *task, struct str lane,
                         struct courier_job **out)
{
    struct str name = arena_copy(&task->arena, lane);
    enum err err = try_one(courier, task, name, out);

    if (err != ERR_CORRUPT && err != ERR_NOT_FOUND)
        return err;
    log_error(courier->log, "a destination waits: %s", task->words);
    task_forgive(task);
    lanes_set_due(courier->lanes, name, task->now_ms + DAMAGED_WAIT_MS);
    *out = NULL;
    return ERR_OK;
}

enum err courier_take_jobs(struct courier *courier, struct task *task, struct courier_jobs *out)
{
    struct str lane;
    size_t count = 0;

    while (has_room(courier, count) && lanes_next(courier->lanes, task->now_ms, &lane)) {
        struct courier_job *job = NULL;

        TRY(take_one(courier, task, lane, &job));
        if (job == NULL)
            continue;
        TAILQ_INSERT_TAIL(out, job, in_list);
        lanes_begin(courier->lanes, job->lane);
        courier->job_bytes += job->message.size_bytes;
        count++;
    }
    return ERR_OK;
}

/* Not begun: the rows are as they were, and due. */
void courier_drop_jobs(struct courier *courier, struct courier_jobs *taken)
{
    struct courier_job *job;

    while ((job = TAILQ_FIRST(taken)) != NULL) {
        TAILQ_REMOVE(taken, job, in_list);
        courier->job_bytes -= job->message.size_bytes;
        lanes_end(courier->lanes, job->lane);
        lanes_wait(courier->lanes, job->lane, job->task.now_ms);
        courier_job_free(&job);
    }
}

/* --- Doing --- */

static void begin_kind(struct courier_job *job)
{
    const struct queue_recipient *first = &job->recipients[0];

    switch (first->kind) {
    case QUEUE_REMOTE:
        /* What was remote when it was submitted may have become ours since. */
        if (first->attempts == 0)
            courier_remote_begin(job, job->message.sender);
        else
            courier_local_begin(job);
        return;
    case QUEUE_FORWARD:
    case QUEUE_RETURN:
    case QUEUE_LOCAL:
        courier_local_begin(job);
        return;
    case QUEUE_WEBHOOK:
        courier_hook_begin(job);
        return;
    case QUEUE_VACATION:
        job->wants_reply = true;
        courier_job_end_all(job, ENDING_DELIVERED, "2.0.0", STR(""));
        return;
    case QUEUE_NOTICE:
        courier_job_end_all(job, ENDING_DELIVERED, "2.0.0", STR("Delivered to the mailbox."));
        return;
    }
}

static void begin(struct courier_job *job)
{
    struct courier *courier = job->courier;
    enum err err = queue_content(courier->queue, &job->task, job->message.id, &job->content);

    if (err == ERR_OK) {
        begin_kind(job);
        return;
    }
    log_failure(courier->log, "reading a queued message", &job->task);
    if (err == ERR_CORRUPT)
        courier_job_end_all(job, ENDING_PERMANENT, "5.3.0",
                            STR("The message was damaged while it waited."));
    else
        courier_job_end_all(job, ENDING_POSTPONED, "4.3.0", STR("The queue could not be read."));
}

void courier_begin_jobs(struct courier *courier, struct courier_jobs *taken)
{
    struct courier_job *job;

    while ((job = TAILQ_FIRST(taken)) != NULL) {
        TAILQ_REMOVE(taken, job, in_list);
        TAILQ_INSERT_TAIL(&courier->jobs, job, in_list);
        if (++courier->job_count > courier->most_jobs)
            courier->most_jobs = courier->job_count;
        begin(job);
    }
}

/* --- Ending --- */

void courier_job_end(struct courier_job *job)
{
    struct courier *courier = job->courier;

    assert(!job->has_ended);
    job->has_ended = true;
    TAILQ_REMOVE(&courier->jobs, job, in_list);
    TAILQ_INSERT_TAIL(&courier->ended, job, in_list);
    courier->job_count--;
    courier->job_bytes -= job->message.size_bytes;
    lanes_end(courier->lanes, job->lane);
    courier_wake(courier);
}

void courier_job_end_all(struct courier_job *job, enum courier_ending ending, const char *status,
                         struct str words)
{
    for (size_t i = 0; i < job->count; i++)
        job->verdicts[i] = (struct courier_verdict){
            .ending = ending,
            .status = arena_copy(&job->task.arena, str_from_c(status)),
            .words = arena_copy(&job->task.arena, words),
        };
    courier_job_end(job);
}

void courier_job_free(struct courier_job **job)
{
    if (*job == NULL)
        return;
    if ((*job)->attempt != NULL)
        (*job)->courier->ways->cancel(&(*job)->attempt);
    if ((*job)->ask != NULL)
        asks_cancel((*job)->courier->asks, &(*job)->ask);
    if ((*job)->hook != NULL)
        webhook_cancel(&(*job)->hook);
    buf_free(&(*job)->content);
    buf_free(&(*job)->fields);
    task_done(&(*job)->task);
    mem_free(job);
}
