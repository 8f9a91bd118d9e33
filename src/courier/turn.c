/*
 * One transaction a turn of the loop: what was queued, how jobs ended, what begins next. It is
 * synced once for all of them, and then everybody is answered.
 *
 * When it fails, each order and job is written by itself, so that one that cannot be written holds
 * up no other; a disk that fails fails them all, and jobs that ended wait until it works again.
 */
#include "courier/state.h"

#include "base/clock.h"
#include "base/memory.h"

enum {
    FAILING_WAIT_MS = 1000,
    OPEN_WAIT_MS = 30 * 1000,
    MANY_JOBS = 16,
    LONG_WAIT_MS = 60 * 60 * 1000,
    TIDY_FIRST_MS = 1000,
    TIDY_EVERY_MS = 10 * 60 * 1000,
    DAY_MS = 24 * 60 * 60 * 1000,
    SET_BACK_MS = 10 * 1000, /* less is corrected all the time */
};

/* --- Lanes --- */

void courier_note_lane(struct courier *courier, struct str lane, int64_t due_ms)
{
    if (courier->news_count == courier->news_room) {
        courier->news_room = courier->news_room == 0 ? 64 : courier->news_room * 2;
        courier->news = mem_resize(courier->news, courier->news_room, sizeof(struct courier_news));
    }
    courier->news[courier->news_count++] = (struct courier_news){
        .lane = str_make(mem_copy_text(lane.ptr, lane.len), lane.len), .due_ms = due_ms};
}

void courier_lanes_publish(struct courier *courier, bool is_committed)
{
    for (size_t i = 0; i < courier->news_count; i++) {
        if (is_committed)
            lanes_wait(courier->lanes, courier->news[i].lane, courier->news[i].due_ms);
        mem_free(&courier->news[i].lane.ptr);
    }
    courier->news_count = 0;
}

/* --- Writing --- */

static enum wire_status status_of(enum err err)
{
    switch (err) {
    case ERR_OK:
        return WIRE_OK;
    case ERR_LIMIT:
        return WIRE_DISK_FULL;
    case ERR_INVALID:
        return WIRE_INVALID;
    case ERR_DENIED:
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
    case ERR_BUSY:
    case ERR_IO:
    case ERR_CORRUPT:
        break;
    }
    return WIRE_UNAVAILABLE;
}

static void drop_order(struct courier *courier, struct courier_order *order,
                       enum wire_status status)
{
    courier_order_answer(courier, order, status);
    TAILQ_REMOVE(&courier->orders, order, in_list);
    courier->order_count--;
    courier_order_free(&order);
}

static void drop_ended(struct courier *courier, struct courier_job *job)
{
    TAILQ_REMOVE(&courier->ended, job, in_list);
    courier_job_free(&job);
}

static enum err record_all(struct courier *courier, struct task *task)
{
    struct courier_order *order;
    struct courier_job *job;

    TAILQ_FOREACH(job, &courier->ended, in_list)
        TRY(courier_record(courier, task, job));
    TAILQ_FOREACH(order, &courier->orders, in_list)
        TRY(courier_accept(courier, task, order));
    return ERR_OK;
}

/* Everything together. */
static enum err write_all(struct courier *courier, struct task *task, struct courier_jobs *taken)
{
    bool is_durable = !TAILQ_EMPTY(&courier->orders) || !TAILQ_EMPTY(&courier->ended);
    enum err err;

    TRY(queue_begin(courier->queue, task));
    err = record_all(courier, task);
    if (err == ERR_OK)
        err = courier_take_jobs(courier, task, taken);
    if (err != ERR_OK) {
        queue_rollback(courier->queue);
        return err;
    }
    return queue_commit(courier->queue, task, is_durable);
}

static enum err write_order(struct courier *courier, struct task *task, struct courier_order *order)
{
    enum err err;

    TRY(queue_begin(courier->queue, task));
    err = courier_accept(courier, task, order);
    if (err == ERR_OK)
        return queue_commit(courier->queue, task, true);
    queue_rollback(courier->queue);
    return err;
}

static enum err write_job(struct courier *courier, struct task *task, struct courier_job *job)
{
    enum err err;

    TRY(queue_begin(courier->queue, task));
    err = courier_record(courier, task, job);
    if (err == ERR_OK)
        return queue_commit(courier->queue, task, true);
    queue_rollback(courier->queue);
    return err;
}

static bool is_damaged(enum err err)
{
    return err == ERR_CORRUPT || err == ERR_INVALID || err == ERR_DENIED || err == ERR_NOT_FOUND;
}

/* Each by itself. Jobs that cannot be written because the disk fails wait. */
static void write_singly(struct courier *courier)
{
    struct courier_order *order, *next_order;
    struct courier_job *job, *next_job;
    bool is_writing = true;

    for (order = TAILQ_FIRST(&courier->orders); order != NULL; order = next_order) {
        struct task task;
        enum err err;

        next_order = TAILQ_NEXT(order, in_list);
        task_init(&task, clock_now_ms());
        err = write_order(courier, &task, order);
        courier_lanes_publish(courier, err == ERR_OK);
        if (err != ERR_OK)
            log_failure(courier->log, "queueing", &task);
        task_done(&task);
        drop_order(courier, order, status_of(err));
    }
    for (job = TAILQ_FIRST(&courier->ended); job != NULL && is_writing; job = next_job) {
        struct task task;
        enum err err;

        next_job = TAILQ_NEXT(job, in_list);
        task_init(&task, clock_now_ms());
        err = write_job(courier, &task, job);
        courier_lanes_publish(courier, err == ERR_OK);
        if (err != ERR_OK)
            log_failure(courier->log, "writing down an attempt", &task);
        task_done(&task);
        /* What is damaged stays ACTIVE, and is tried again by the next process. */
        if (err == ERR_OK || is_damaged(err))
            drop_ended(courier, job);
        else
            is_writing = false;
    }
}

/* --- The turn --- */

static void all_written(struct courier *courier)
{
    while (!TAILQ_EMPTY(&courier->orders))
        drop_order(courier, TAILQ_FIRST(&courier->orders), WIRE_OK);
    while (!TAILQ_EMPTY(&courier->ended))
        drop_ended(courier, TAILQ_FIRST(&courier->ended));
}

static void refuse_orders(struct courier *courier, enum wire_status status)
{
    while (!TAILQ_EMPTY(&courier->orders))
        drop_order(courier, TAILQ_FIRST(&courier->orders), status);
}

/* When there is something to do again without anybody calling. */
static void plan(struct courier *courier)
{
    int64_t wait_ms = lanes_first_due(courier->lanes), now_ms = clock_now_ms();

    if (courier->is_failing)
        wait_ms = FAILING_WAIT_MS;
    else if (!TAILQ_EMPTY(&courier->ended)) /* what ended as it began */
        wait_ms = 0;
    else if (courier->job_count >= courier->options.jobs_max || courier->is_stopping ||
             courier->job_bytes >= COURIER_BYTES_MAX || wait_ms > now_ms + LONG_WAIT_MS)
        wait_ms = LONG_WAIT_MS; /* the end of a job wakes us earlier */
    else
        wait_ms = wait_ms > now_ms ? wait_ms - now_ms : 0;
    net_timer_start(courier->turn, wait_ms);
}

static void tell_if_stopped(struct courier *courier)
{
    if (courier->is_stopping && courier->on_stopped != NULL && courier->job_count == 0 &&
        TAILQ_EMPTY(&courier->ended)) {
        net_callback on_stopped = courier->on_stopped;

        courier->on_stopped = NULL;
        on_stopped(courier->on_stopped_owner);
    }
}

static bool write_turn(struct courier *courier)
{
    struct courier_jobs taken = TAILQ_HEAD_INITIALIZER(taken);
    struct task task;
    enum err err;

    task_init(&task, clock_now_ms());
    err = write_all(courier, &task, &taken);
    courier_lanes_publish(courier, err == ERR_OK);
    if (err == ERR_OK) {
        all_written(courier);
        courier_begin_jobs(courier, &taken);
    } else {
        courier_drop_jobs(courier, &taken);
        log_failure(courier->log, "writing the queue", &task);
    }
    task_done(&task);
    return err == ERR_OK;
}

static enum err mark_active(struct courier *courier, struct task *task,
                            const struct courier_jobs *jobs)
{
    const struct courier_job *job;

    TAILQ_FOREACH(job, jobs, in_list) {
        for (size_t i = 0; i < job->count + job->others_back; i++)
            TRY(queue_activate(courier->queue, task, job->recipients[i].id));
    }
    return ERR_OK;
}

static void on_lane(void *owner, struct str lane, int64_t due_ms)
{
    struct courier *courier = owner;

    lanes_wait(courier->lanes, lane, due_ms);
}

static enum err reopen(struct courier *courier, struct task *task)
{
    enum err err;

    TRY(queue_reopen(courier->queue, task));
    TRY(queue_begin(courier->queue, task));
    err = mark_active(courier, task, &courier->jobs);
    if (err == ERR_OK)
        err = mark_active(courier, task, &courier->ended);
    if (err == ERR_OK)
        err = queue_lanes(courier->queue, task, on_lane, courier);
    if (err == ERR_OK)
        return queue_commit(courier->queue, task, false);
    queue_rollback(courier->queue);
    return err;
}

/*
 * A sync failed, and nobody knows what the file has: it is opened anew, as it is. What was answered
 * "not now" may be there all the same, and is known when it is sent again; what is under way stays
 * so.
 */
static bool recover(struct courier *courier)
{
    struct task task;
    enum err err;

    if (!queue_is_broken(courier->queue))
        return true;
    task_init(&task, clock_now_ms());
    err = reopen(courier, &task);
    if (err == ERR_OK)
        log_warning(courier->log, "the queue's file was opened anew");
    else
        log_failure(courier->log, "opening the queue", &task);
    task_done(&task);
    return err == ERR_OK;
}

/* --- The clock --- */

static enum err write_set_back(struct courier *courier, struct task *task, int64_t by_ms)
{
    uint64_t count = 0;
    enum err err;

    TRY(queue_begin(courier->queue, task));
    err = queue_set_back(courier->queue, task, by_ms, &count);
    if (err == ERR_OK)
        err = queue_lanes(courier->queue, task, on_lane, courier);
    if (err != ERR_OK) {
        queue_rollback(courier->queue);
        return err;
    }
    if (count > 0)
        log_warning(courier->log, "the clock was set back by %lld s: what waits is due as much earlier",
                    (long long)(by_ms / 1000));
    return queue_commit(courier->queue, task, false);
}

/*
 * Times in the queue are the wall clock's. Where that one falls behind the clock that never jumps, what
 * waits would wait so much longer; where it runs ahead, it is only due earlier. What was set back while
 * nobody ran is for `tidy`.
 */
static void heed_clock(struct courier *courier)
{
    int64_t offset_ms = clock_now_ms() - clock_monotonic_ms();
    int64_t back_ms = courier->clock_offset_ms - offset_ms;
    struct task task;

    courier->clock_offset_ms = offset_ms;
    if (back_ms < SET_BACK_MS)
        return;
    task_init(&task, clock_now_ms());
    if (write_set_back(courier, &task, back_ms) != ERR_OK) {
        log_failure(courier->log, "a clock that was set back", &task);
        courier->clock_offset_ms += back_ms; /* again with the next turn */
    }
    task_done(&task);
}

static void on_turn(void *owner)
{
    struct courier *courier = owner;

    if (courier->queue == NULL && !courier_open(courier)) {
        /* The key is on its way, or the file is not what it should be. */
        refuse_orders(courier, WIRE_UNAVAILABLE);
        if (courier->root != NULL)
            net_timer_start(courier->turn, OPEN_WAIT_MS);
        tell_if_stopped(courier);
        return;
    }
    if (!queue_is_broken(courier->queue))
        heed_clock(courier);
    courier->is_failing = !recover(courier) || !write_turn(courier);
    if (courier->is_failing && !queue_is_broken(courier->queue))
        write_singly(courier);
    if (courier->is_failing) /* who waits is better told to come back */
        refuse_orders(courier, WIRE_UNAVAILABLE);
    if (courier->job_count == 0 && courier->most_jobs >= MANY_JOBS) {
        mem_give_back();
        courier->most_jobs = 0;
    }
    plan(courier);
    tell_if_stopped(courier);
}

void courier_wake(struct courier *courier)
{
    if (!courier->is_failing)
        net_timer_start(courier->turn, 0);
}

/* --- What is done now and then --- */

/* The longest waits that anything may have: a webhook's receiver asks for a day at most. */
static enum err straighten(struct courier *courier, struct task *task, uint64_t *out_count)
{
    int64_t most_ms = 2 * courier->options.schedule.most_ms;
    int64_t webhook_ms = most_ms > DAY_MS ? most_ms : DAY_MS + DAY_MS / 10;

    if (most_ms < 2 * COURIER_POSTPONED_MS)
        most_ms = 2 * COURIER_POSTPONED_MS;
    return queue_straighten(courier->queue, task, task->now_ms + most_ms,
                            task->now_ms + webhook_ms, out_count);
}

static enum err tidy(struct courier *courier, struct task *task)
{
    uint64_t straightened = 0;

    TRY(memory_expire(courier->queue, task));
    TRY(straighten(courier, task, &straightened));
    if (straightened == 0)
        return ERR_OK;
    log_warning(courier->log, "the clock was set back: what waited too long is due now");
    return queue_lanes(courier->queue, task, on_lane, courier);
}

static void on_tidy(void *owner)
{
    struct courier *courier = owner;
    struct task task;
    enum err err = ERR_BUSY;

    task_init(&task, clock_now_ms());
    if (courier->queue != NULL && !queue_is_broken(courier->queue))
        err = queue_begin(courier->queue, &task);
    if (err == ERR_OK) {
        err = tidy(courier, &task);
        if (err == ERR_OK)
            err = queue_commit(courier->queue, &task, false);
        else
            queue_rollback(courier->queue);
        if (err != ERR_OK)
            log_failure(courier->log, "tidying the queue", &task);
    }
    task_done(&task);
    courier_wake(courier);
    net_timer_start(courier->tidying, TIDY_EVERY_MS);
}

void courier_turn_init(struct courier *courier)
{
    courier->turn = net_timer_new(courier->loop, on_turn, courier);
    courier->tidying = net_timer_new(courier->loop, on_tidy, courier);
    courier->clock_offset_ms = clock_now_ms() - clock_monotonic_ms();
    net_timer_start(courier->tidying, TIDY_FIRST_MS);
}
