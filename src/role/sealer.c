/*
 * The sealer (design §2): seals mail for absent owners. What it does is in dropbox/sealing.h; here
 * it is connected to its peers. It holds the running chains and the drop root key, no mailbox key,
 * and may touch nothing but <data>/drop.
 *
 * What the store sends in one turn of the loop is queued, and worked through behind it: mails for
 * one mailbox share a commit. Before the keeper has sent the key, everything waits. A lane is
 * released in its turn, after the mails that came before it.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "dropbox/sealing.h"
#include "role/role.h"
#include "role/sealer_backup.h"
#include "role/swap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BATCH_MAX = 64,               /* mails in one commit */
    BATCH_BYTES = 32 << 20,       /* and their size, unless one alone is larger */
    QUEUE_MAX = 4096,             /* more than the store lets wait */
    FLUSH_AT = 256,               /* descriptors held before the turn has ended */
    MESSAGE_MAX = 1 << 30,
};

enum order_kind { ORDER_DELIVER, ORDER_RELEASE };

/* One DELIVER or LANE_RELEASE of the store's. */
struct order {
    enum order_kind kind;
    uint64_t tag;
    struct id mailbox;
    char *sender, *recipient, *folder; /* own; for DELIVER */
    int64_t received_ms;
    uint64_t trace_len;
    int fd; /* own; the message */
    size_t size_bytes;
    void *mapped; /* own; NULL while it is not */
    TAILQ_ENTRY(order) in_queue;
};
TAILQ_HEAD(orders, order);

struct sealer {
    struct role_process *process;
    struct sealing *sealing; /* own; NULL until the key came */
    struct secret *key;      /* own; what `sealing` has */
    struct orders queue;
    size_t queue_count;
    struct net_timer *timer; /* own; behind this turn's events */
    char *drop_root;         /* own */
    struct sealer_backup *backup; /* own; NULL: none are made */
    bool has_warned_of_swap;
};

static void order_free(struct order **order)
{
    if (*order == NULL)
        return;
    if ((*order)->mapped != NULL)
        munmap((*order)->mapped, (*order)->size_bytes);
    fd_close(&(*order)->fd);
    mem_free(&(*order)->sender);
    mem_free(&(*order)->recipient);
    mem_free(&(*order)->folder);
    mem_free(order);
}

/* --- Answers --- */

static enum wire_status status_of(enum err err)
{
    switch (err) {
    case ERR_OK:
        return WIRE_OK;
    case ERR_LIMIT:
        return WIRE_DISK_FULL;
    /* The keeper knows the mailbox, so its folder is lost, or about to go: no reason to refuse its mail
     * for good. */
    case ERR_NOT_FOUND:
    case ERR_CORRUPT:
    case ERR_DENIED:
    case ERR_INVALID:
        return WIRE_DAMAGED;
    case ERR_EXISTS:
    case ERR_BUSY:
    case ERR_IO:
        break;
    }
    return WIRE_UNAVAILABLE;
}

static void answer(struct sealer *sealer, const struct order *order, enum wire_status status)
{
    struct wire_channel *store = role_peer(sealer->process, WIRE_ROLE_STORE, 0);
    struct wire_deliver_reply delivered = {.status = status};
    struct wire_lane_release_reply released = {.mailbox = order->mailbox, .status = status};
    enum err err = ERR_BUSY;

    if (store != NULL && order->kind == ORDER_DELIVER)
        err = wire_send(store, WIRE_DELIVER_REPLY, order->tag, &delivered, NULL, 0);
    else if (store != NULL)
        err = wire_send(store, WIRE_LANE_RELEASE_REPLY, order->tag, &released, NULL, 0);
    if (err != ERR_OK)
        log_warning(role_log(sealer->process), "answer not sent to store reason=%s", err_name(err));
}

/* The keeper counts what waits toward the quota. */
static void report_usage(struct sealer *sealer, const struct id *mailbox,
                         const struct records_totals *totals)
{
    struct wire_channel *keeper = role_peer(sealer->process, WIRE_ROLE_KEEPER, 0);
    struct wire_mailbox_usage usage = {
        .mailbox = *mailbox,
        .is_drop = true,
        .bytes = totals->bytes,
        .messages = totals->count,
    };

    if (keeper == NULL || wire_send(keeper, WIRE_MAILBOX_USAGE, 0, &usage, NULL, 0) != ERR_OK)
        log_debug(role_log(sealer->process), "usage not sent to keeper mailbox=%s", mailbox->text);
}

/* --- Work --- */

static void drop_order(struct sealer *sealer, struct order *order)
{
    TAILQ_REMOVE(&sealer->queue, order, in_queue);
    sealer->queue_count--;
    order_free(&order);
}

/* The orders for the first one's mailbox that can be committed with it. */
static size_t gather(struct sealer *sealer, struct order *out[static BATCH_MAX])
{
    const struct order *first = TAILQ_FIRST(&sealer->queue);
    struct order *order;
    size_t count = 0, bytes = 0;

    TAILQ_FOREACH(order, &sealer->queue, in_queue) {
        if (!id_equal(&order->mailbox, &first->mailbox))
            continue;
        if (order->kind != ORDER_DELIVER || count == BATCH_MAX ||
            (count > 0 && bytes + order->size_bytes > BATCH_BYTES))
            break;
        bytes += order->size_bytes;
        out[count++] = order;
    }
    return count;
}

/* Views of the mails; false when a message cannot be mapped. */
static bool map_mails(struct order **orders, size_t count, struct dropbox_mail *out)
{
    for (size_t i = 0; i < count; i++) {
        struct order *order = orders[i];

        if (order->size_bytes > 0) {
            void *mapped = mmap(NULL, order->size_bytes, PROT_READ, MAP_SHARED, order->fd, 0);

            if (mapped == MAP_FAILED)
                return false;
            order->mapped = mapped;
        }
        out[i] = (struct dropbox_mail){
            .sender = str_from_c(order->sender),
            .recipient = str_from_c(order->recipient),
            .folder = str_from_c(order->folder),
            .received_ms = order->received_ms,
            .trace_len = order->trace_len,
            .raw = str_make(order->mapped == NULL ? "" : order->mapped, order->size_bytes),
        };
    }
    return true;
}

static void deliver_batch(struct sealer *sealer)
{
    struct order *orders[BATCH_MAX];
    struct dropbox_mail mails[BATCH_MAX];
    struct records_totals totals;
    size_t count = gather(sealer, orders);
    struct task task;
    enum err err;

    task_init(&task, clock_now_ms());
    if (map_mails(orders, count, mails))
        err = sealing_deliver(sealer->sealing, &task, &orders[0]->mailbox, mails, count, &totals);
    else
        err = fail(&task, ERR_IO, "map a message: %s", strerror(errno));
    if (err == ERR_OK)
        report_usage(sealer, &orders[0]->mailbox, &totals);
    if (err == ERR_OK)
        sealer_backup_note(sealer->backup, &orders[0]->mailbox);
    else
        log_failure(role_log(sealer->process), "sealing", &task);
    task_done(&task);
    for (size_t i = 0; i < count; i++) {
        answer(sealer, orders[i], status_of(err));
        drop_order(sealer, orders[i]);
    }
}

static void release(struct sealer *sealer, struct order *order)
{
    const struct records_totals none = {0};

    sealing_release(sealer->sealing, &order->mailbox);
    sealer_backup_forget(sealer->backup, &order->mailbox);
    report_usage(sealer, &order->mailbox, &none); /* its owner takes it over now */
    answer(sealer, order, WIRE_OK);
    drop_order(sealer, order);
}

static void work(void *owner)
{
    struct sealer *sealer = owner;
    struct order *order;

    if (sealer->sealing == NULL)
        return;
    while ((order = TAILQ_FIRST(&sealer->queue)) != NULL) {
        switch (order->kind) {
        case ORDER_DELIVER:
            deliver_batch(sealer);
            break;
        case ORDER_RELEASE:
            release(sealer, order);
            break;
        }
    }
    swap_warn_once(role_log(sealer->process), &sealer->has_warned_of_swap);
}

/* --- Messages --- */

static void enqueue(struct sealer *sealer, struct order *order)
{
    if (sealer->queue_count >= QUEUE_MAX) {
        answer(sealer, order, WIRE_UNAVAILABLE);
        order_free(&order);
        return;
    }
    TAILQ_INSERT_TAIL(&sealer->queue, order, in_queue);
    if (++sealer->queue_count % FLUSH_AT == 0)
        work(sealer);
    else
        net_timer_start(sealer->timer, 0);
}

static char *copy_text(struct str text)
{
    return mem_copy_text(text.ptr, text.len);
}

static void on_deliver(struct sealer *sealer, struct wire_message *message)
{
    const struct wire_deliver *deliver = &message->body.deliver;
    struct order *order = NEW(struct order);
    struct stat status;
    int seals;

    order->kind = ORDER_DELIVER;
    order->tag = message->tag;
    order->mailbox = deliver->mailbox;
    order->sender = copy_text(deliver->sender);
    order->recipient = copy_text(deliver->recipient);
    order->folder = copy_text(deliver->folder);
    order->received_ms = deliver->received_ms;
    order->trace_len = deliver->trace_len;
    order->fd = -1;
    if (message->fd_count > 0) {
        order->fd = message->fds[0];
        message->fds[0] = -1;
    }
    if (order->fd < 0) { /* no descriptor was free to receive it with: that passes */
        log_warning(role_log(sealer->process), "a delivery came without its message");
        answer(sealer, order, WIRE_UNAVAILABLE);
        order_free(&order);
        return;
    }
    /* What is not sealed could shrink under our feet. */
    seals = fcntl(order->fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_WRITE) == 0 ||
        fstat(order->fd, &status) != 0 || status.st_size > MESSAGE_MAX) {
        log_error(role_log(sealer->process), "delivery without a sealed message");
        answer(sealer, order, WIRE_INVALID);
        order_free(&order);
        return;
    }
    order->size_bytes = (size_t)status.st_size;
    enqueue(sealer, order);
}

static void on_release(struct sealer *sealer, const struct wire_message *message)
{
    struct order *order = NEW(struct order);

    order->kind = ORDER_RELEASE;
    order->tag = message->tag;
    order->mailbox = message->body.lane_release.mailbox;
    order->fd = -1;
    enqueue(sealer, order);
}

static void on_host_key(struct sealer *sealer, struct str key)
{
    struct sealing_options options = {
        .drop_root = sealer->drop_root,
        .log = role_log(sealer->process),
    };

    /* A keeper that was restarted sends it again. */
    if (key.len == 0 ||
        (sealer->key != NULL && secret_equal(secret_str(sealer->key), key)))
        return;
    sealing_free(&sealer->sealing);
    secret_free(&sealer->key);
    sealer->key = secret_copy(key);
    options.key = sealer->key;
    sealer->sealing = sealing_new(&options);
    sealer_backup_set_sealing(sealer->backup, sealer->sealing);
    net_timer_start(sealer->timer, 0);
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    struct sealer *sealer = role_state(process);

    (void)channel;
    if (message->type == WIRE_DELIVER)
        on_deliver(sealer, message);
    else if (message->type == WIRE_LANE_RELEASE)
        on_release(sealer, message);
    else if (message->type == WIRE_HOST_KEY)
        on_host_key(sealer, message->body.host_key.key);
    else if (message->type == WIRE_BACKUP_PUT_REPLY)
        sealer_backup_answered(sealer->backup, message);
}

/* Nobody would hear the answers, and an unanswered mail is sent again. */
static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct sealer *sealer = role_state(process);

    if (wire_channel_peer(channel) == WIRE_ROLE_ARCHIVIST)
        sealer_backup_archivist_gone(sealer->backup);
    if (wire_channel_peer(channel) != WIRE_ROLE_STORE)
        return;
    while (!TAILQ_EMPTY(&sealer->queue))
        drop_order(sealer, TAILQ_FIRST(&sealer->queue));
}

/* --- The process --- */

static enum err setup(struct role_process *process, struct task *task)
{
    struct sealer *sealer = NEW(struct sealer);
    const char *drop_root = config_path(role_config(process), task, "drop");

    role_set_state(process, sealer);
    sealer->process = process;
    sealer->drop_root = mem_copy_text(drop_root, strlen(drop_root));
    TAILQ_INIT(&sealer->queue);
    sealer->timer = net_timer_new(role_loop(process), work, sealer);
    sealer->backup = sealer_backup_new(process, sealer->drop_root);
    db_init_library();
    /* The sandbox names it, so it must exist. */
    return dir_make(task, AT_FDCWD, sealer->drop_root, true);
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    struct sealer *sealer = role_state(process);

    sandbox_allow_path(rules, sealer->drop_root, SANDBOX_READ_WRITE);
}

static enum err start(struct role_process *process, struct task *task)
{
    (void)process;
    (void)task;
    return ERR_OK;
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct sealer *sealer = role_state(process);

    (void)grace_ms;
    work(sealer);
    sealer_backup_free(&sealer->backup);
    sealing_free(&sealer->sealing);
    secret_free(&sealer->key);
    net_loop_stop(role_loop(process));
}

const struct role role_sealer = {
    .kind = WIRE_ROLE_SEALER,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_stop = on_stop,
};
