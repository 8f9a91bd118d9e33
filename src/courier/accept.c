/* QUEUE: a message and whom it is for become rows. Answered when the turn's transaction is synced.
 */
#include "courier/state.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "courier/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t REPEATS_FOR_MS = 24LL * 3600 * 1000;
enum { MESSAGE_MAX = 1 << 30 };

/* --- Orders --- */

void courier_order_free(struct courier_order **order)
{
    if (*order == NULL)
        return;
    fd_close(&(*order)->fd);
    task_done(&(*order)->task);
    mem_free(order);
}

void courier_order_answer(struct courier *courier, struct courier_order *order,
                          enum wire_status status)
{
    struct wire_queue_reply body = {.status = status};

    if (order->asker != NULL &&
        wire_send(order->asker, WIRE_QUEUE_REPLY, order->tag, &body, NULL, 0) != ERR_OK)
        log_warning(courier->log, "answer not sent");
}

/* What is not sealed could shrink under our feet. */
static bool is_sealed_message(int fd, size_t *out_size)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;

    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_WRITE) == 0 ||
        fstat(fd, &status) != 0 || status.st_size <= 0 || status.st_size > MESSAGE_MAX)
        return false;
    *out_size = (size_t)status.st_size;
    return true;
}

static enum wire_status judge_order(struct courier *courier, struct courier_order *order,
                                    struct str envelope)
{
    if (order->fd < 0) { /* no descriptor was free to receive it with: that passes */
        log_warning(courier->log, "a message for the queue came without its content");
        return WIRE_UNAVAILABLE;
    }
    if (!is_sealed_message(order->fd, &order->size_bytes) ||
        order->trace_bytes > order->size_bytes) {
        log_error(courier->log, "a message for the queue that is not sealed");
        return WIRE_INVALID;
    }
    if (envelope_parse(&order->task, envelope, &order->envelope) != ERR_OK) {
        log_failure(courier->log, "queueing", &order->task);
        return WIRE_INVALID;
    }
    if (courier->is_stopping || courier->order_count >= COURIER_ORDERS_MAX)
        return WIRE_UNAVAILABLE;
    return WIRE_OK;
}

void courier_on_queue(struct courier *courier, struct wire_channel *channel,
                      struct wire_message *message)
{
    const struct wire_queue *body = &message->body.queue;
    struct courier_order *order = NEW(struct courier_order);
    enum wire_status status;

    *order = (struct courier_order){
        .asker = channel,
        .tag = message->tag,
        .received_ms = body->received_ms,
        .trace_bytes = body->trace_len,
        .fd = -1,
    };
    task_init(&order->task, clock_now_ms());
    if (message->fd_count > 0) {
        order->fd = message->fds[0];
        message->fds[0] = -1;
    }
    status = judge_order(courier, order, body->envelope);
    if (status != WIRE_OK) {
        courier_order_answer(courier, order, status);
        courier_order_free(&order);
        return;
    }
    TAILQ_INSERT_TAIL(&courier->orders, order, in_list);
    courier->order_count++;
    courier_wake(courier);
}

/* --- Repeats --- */

/*
 * A peer that missed our answer sends the same again: byte for byte but for our trace, from the
 * same sender to the same recipient within a day. It is acknowledged and not queued again.
 */
static enum err is_first(struct courier *courier, struct task *task,
                         const struct envelope *envelope, struct str address,
                         const unsigned char content[static CRYPT_HASH_BYTES], bool *out_is_first)
{
    CLEANUP(buf_free) struct buf data;
    unsigned char digest[CRYPT_HASH_BYTES];

    buf_init(&data, SIZE_MAX);
    buf_put(&data, str_make(content, CRYPT_HASH_BYTES));
    buf_put(&data, envelope->is_submission ? STR("s") : STR("r"));
    buf_put(&data, envelope->sender);
    buf_put(&data, STR("\0"));
    buf_put(&data, address);
    crypt_hash(secret_str(courier->root), STR("queue-accepted"), buf_str(&data), digest);
    return memory_accept_note(courier->queue, task, digest, REPEATS_FOR_MS, out_is_first);
}

/* --- Rows --- */

struct str courier_lane_of(struct task *task, enum queue_kind kind, struct str address,
                           struct str via, struct str url)
{
    struct str name = str_from(address, (size_t)(str_last_index(address, '@') + 1));
    char *lower;

    if (kind == QUEUE_WEBHOOK) {
        ptrdiff_t at = str_find(url, STR("://"));

        name = at < 0 ? url : str_from(url, (size_t)at + 3);
        at = str_index(name, '/');
        name = arena_printf(&task->arena, "webhook %.*s",
                            STR_ARG(str_upto(at < 0 ? name : str_upto(name, (size_t)at), 255)));
    } else if (kind == QUEUE_VACATION || kind == QUEUE_NOTICE) {
        return STR("ours");
    } else if (via.len > 0) {
        name = arena_printf(&task->arena, "via %.*s", STR_ARG(via));
    }
    lower = ARENA_ARRAY(&task->arena, char, name.len + 1);
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.ptr[i]);
    return str_make(lower, name.len);
}

static enum err add_recipient(struct courier *courier, struct task *task, struct queue_recipient *r,
                              struct str via, struct str url)
{
    bool is_new = false;

    r->lane = courier_lane_of(task, r->kind, r->address, via, url);
    r->next_ms = task->now_ms;
    TRY(queue_add_recipient(courier->queue, task, r, &is_new));
    if (is_new && r->state == QUEUE_WAITING)
        courier_note_lane(courier, r->lane, r->next_ms);
    return ERR_OK;
}

static enum err add_route(struct courier *courier, struct task *task,
                          const struct courier_origin *origin, const struct envelope_route *route)
{
    static const enum queue_kind kinds[] = {
        [ROUTE_FORWARD] = QUEUE_FORWARD,
        [ROUTE_WEBHOOK] = QUEUE_WEBHOOK,
        [ROUTE_VACATION] = QUEUE_VACATION,
        [ROUTE_RETURN] = QUEUE_RETURN,
    };
    bool has_target = route->kind == ROUTE_FORWARD || route->kind == ROUTE_RETURN;
    struct queue_recipient r = {
        .message_id = origin->message_id,
        .kind = kinds[route->kind],
        .address = has_target ? route->to : origin->alias,
        .alias = origin->alias,
        .written = origin->written,
        .target = route->json,
        .orcpt = origin->orcpt,
        .notify = origin->notify,
        .state = QUEUE_WAITING,
        .depth = origin->depth,
        .is_stored = origin->is_stored,
    };

    if (has_target && (origin->is_loop || origin->depth > COURIER_DEPTH_MAX)) {
        r.state = QUEUE_FAILED;
        r.status = STR("5.4.6");
        r.words = STR("The message goes in a circle: it has been here before.");
    }
    return add_recipient(courier, task, &r, route->via, route->url);
}

enum err courier_add_routes(struct courier *courier, struct task *task,
                            const struct courier_origin *origin,
                            const struct envelope_route *routes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(add_route(courier, task, origin, &routes[i]));
    return ERR_OK;
}

static bool wants_success(struct str notify)
{
    return str_find(notify, STR("SUCCESS")) >= 0;
}

/* One of ours, with routes. */
static enum err add_passed_on(struct courier *courier, struct task *task, int64_t message_id,
                              struct str content, const struct envelope_recipient *recipient)
{
    struct courier_origin origin = {
        .message_id = message_id,
        .alias = recipient->address,
        .written = recipient->address,
        .orcpt = recipient->orcpt,
        .notify = recipient->notify,
        .is_stored = recipient->is_stored,
        .is_loop = trace_was_delivered_to(content, recipient->address),
    };
    struct queue_recipient notice = {
        .message_id = message_id,
        .kind = QUEUE_NOTICE,
        .address = recipient->address,
        .alias = recipient->address,
        .written = recipient->address,
        .orcpt = recipient->orcpt,
        .notify = recipient->notify,
        .state = QUEUE_WAITING,
    };

    if (recipient->is_held_back) {
        notice.state = QUEUE_FAILED;
        notice.status = STR("5.7.1");
        notice.words = STR("It looks like junk, which is not forwarded.");
        return add_recipient(courier, task, &notice, STR(""), STR(""));
    }
    /* It is in a mailbox; only the sender's wish to hear of it is left. */
    if (recipient->route_count == 0)
        return wants_success(recipient->notify)
                   ? add_recipient(courier, task, &notice, STR(""), STR(""))
                   : ERR_OK;
    return courier_add_routes(courier, task, &origin, recipient->routes, recipient->route_count);
}

/* One of another server's; at once a failure if that server refused the address lately. */
static enum err add_remote(struct courier *courier, struct task *task, int64_t message_id,
                           const struct envelope_recipient *recipient)
{
    struct memory_suppression suppression;
    bool is_suppressed = false;
    struct queue_recipient r = {
        .message_id = message_id,
        .kind = QUEUE_REMOTE,
        .address = recipient->address,
        .alias = recipient->address,
        .written = recipient->address,
        .orcpt = recipient->orcpt,
        .notify = recipient->notify,
        .state = QUEUE_WAITING,
    };

    TRY(memory_suppression_find(courier->queue, task, recipient->address, &is_suppressed,
                                &suppression));
    if (is_suppressed) {
        char since[CLOCK_ISO_ROOM];

        clock_format_iso(suppression.since_ms, since);
        r.state = QUEUE_FAILED;
        r.status = suppression.status;
        r.words = arena_printf(&task->arena,
                               "Not tried: the receiving server refused this address on %.10s, "
                               "and said: %.*s",
                               since, STR_ARG(suppression.words));
    }
    return add_recipient(courier, task, &r, STR(""), STR(""));
}

/* --- A message --- */

static struct queue_message message_of(const struct envelope *envelope,
                                       const struct courier_order *order)
{
    return (struct queue_message){
        .trace = envelope->id,
        .source = envelope->is_submission ? QUEUE_SUBMISSION : QUEUE_ROUTES,
        .mailbox = envelope->mailbox,
        .sender = envelope->sender,
        .helo = envelope->helo,
        .client = envelope->client,
        .auth = envelope->auth,
        .body = envelope->body,
        .ret = envelope->ret,
        .envid = envelope->envid,
        .require_tls = envelope->require_tls,
        .is_utf8 = envelope->is_utf8,
        .may_reply = envelope->may_reply,
        .is_junk = envelope->is_junk,
        .size_bytes = order->size_bytes,
        .trace_bytes = order->trace_bytes,
        .received_ms = order->received_ms,
    };
}

/* What failed before it was tried (a suppressed address, a loop) is told at once. */
static enum err tell_failures(struct courier *courier, struct task *task, int64_t message_id)
{
    struct queue_recipient *rows;
    struct queue_message message;
    struct courier_told *told;
    size_t count, failures = 0;
    bool is_finished;

    TRY(queue_message(courier->queue, task, message_id, &message));
    TRY(queue_recipients(courier->queue, task, message_id, &rows, &count));
    told = ARENA_ARRAY(&task->arena, struct courier_told, count + 1);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].state == QUEUE_FAILED)
            told[failures++] = (struct courier_told){
                &rows[i],
                {.ending = ENDING_PERMANENT, .status = rows[i].status, .words = rows[i].words}};
    }
    if (failures > 0)
        TRY(courier_tell(courier, task, &message, TELL_FAILURE, told, failures));
    return queue_finish(courier->queue, task, message_id, &is_finished);
}

static enum err write_down(struct courier *courier, struct task *task,
                           const struct courier_order *order, struct str content)
{
    const struct envelope *envelope = &order->envelope;
    struct queue_message message = message_of(envelope, order);
    struct str given = str_from(content, order->trace_bytes);
    unsigned char digest[CRYPT_HASH_BYTES];
    int64_t id = 0;

    crypt_digest(given, digest);
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        const struct envelope_recipient *recipient = &envelope->recipients[i];
        bool is_new = false;

        TRY(is_first(courier, task, envelope, recipient->address, digest, &is_new));
        if (!is_new)
            continue;
        if (id == 0)
            TRY(queue_add(courier->queue, task, &message, content, &id));
        if (envelope->is_submission)
            TRY(add_remote(courier, task, id, recipient));
        else
            TRY(add_passed_on(courier, task, id, given, recipient));
    }
    return id == 0 ? ERR_OK : tell_failures(courier, task, id);
}

enum err courier_accept(struct courier *courier, struct task *task, struct courier_order *order)
{
    void *mapped = mmap(NULL, order->size_bytes, PROT_READ, MAP_SHARED, order->fd, 0);
    enum err err;

    if (mapped == MAP_FAILED)
        return fail(task, ERR_BUSY, "map a message: %s", strerror(errno));
    err = write_down(courier, task, order, str_make(mapped, order->size_bytes));
    munmap(mapped, order->size_bytes);
    return err;
}
