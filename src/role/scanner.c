/*
 * The scanner: asks clamd and rspamd about a message, where they are configured (scanner/scan.h).
 * It is apart from the examiner so that what looks into foreign bytes has no network. It connects
 * to the two, touches no file and holds nothing.
 */
#include "scanner/scan.h"

#include "base/clock.h"
#include "base/memory.h"
#include "role/config_value.h"
#include "role/role.h"

#include <sys/queue.h>

enum { ORDERS_MAX = 256 };

/* One SCAN of an examiner's. */
struct order {
    struct scanning *scanning;    /* borrowed */
    struct wire_channel *channel; /* borrowed: whom to answer */
    uint64_t tag;
    struct scan *scan; /* own */
    LIST_ENTRY(order) in_orders;
};
LIST_HEAD(orders, order);

struct scanning {
    struct role_process *process; /* borrowed */
    struct net_http *http;        /* own */
    struct scanner *scanner;      /* own; NULL until the start */
    struct orders orders;
    size_t order_count;
};

static void order_free(struct order *order)
{
    scan_cancel(&order->scan);
    LIST_REMOVE(order, in_orders);
    order->scanning->order_count--;
    mem_free(&order);
}

static void answer(struct scanning *scanning, struct wire_channel *channel, uint64_t tag,
                   const struct scan_result *result)
{
    struct wire_scan_reply body = {
        .status = result->is_complete ? WIRE_OK : WIRE_UNAVAILABLE,
        .is_virus = result->is_virus,
        .words = result->name,
        .score = result->score,
        .symbols = result->symbols,
    };

    if (wire_send(channel, WIRE_SCAN_REPLY, tag, &body, NULL, 0) != ERR_OK)
        log_warning(role_log(scanning->process), "a scan's result could not be sent");
}

static void on_done(void *owner, const struct scan_result *result)
{
    struct order *order = owner;

    order->scan = NULL;
    answer(order->scanning, order->channel, order->tag, result);
    order_free(order);
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    static const struct scan_result nothing = {.is_complete = false};
    struct scanning *scanning = role_state(process);
    const struct wire_scan *scan = &message->body.scan;
    struct scan_request request = {.client = scan->client,
                                   .helo = scan->helo,
                                   .sender = scan->sender,
                                   .reverse_name = scan->reverse_name};
    struct order *order;

    if (message->type != WIRE_SCAN)
        return;
    if (message->fd_count == 0 || scanning->order_count == ORDERS_MAX) {
        answer(scanning, channel, message->tag, &nothing);
        return;
    }
    request.fd = message->fds[0];
    order = NEW(struct order);
    order->scanning = scanning;
    order->channel = channel;
    order->tag = message->tag;
    LIST_INSERT_HEAD(&scanning->orders, order, in_orders);
    scanning->order_count++;
    order->scan = scan_start(scanning->scanner, &request, on_done, order);
}

/* Nobody would hear the answers. */
static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct scanning *scanning = role_state(process);
    struct order *order, *next;

    for (order = LIST_FIRST(&scanning->orders); order != NULL; order = next) {
        next = LIST_NEXT(order, in_orders);
        if (order->channel == channel)
            order_free(order);
    }
}

/* The texts were found to be right when the configuration was read. */
static void make_scanner(struct scanning *scanning)
{
    const struct config *config = role_config(scanning->process);
    struct scanner_options options = {
        .loop = role_loop(scanning->process),
        .http = scanning->http,
        .log = role_log(scanning->process),
        .rspamd = config->rspamd,
    };

    if (config->clamd.len > 0 &&
        config_parse_server(config->clamd, &options.clamd, &options.clamd_len) != NULL)
        options.clamd_len = 0;
    scanning->scanner = scanner_new(&options);
}

static enum err setup(struct role_process *process, struct task *task)
{
    struct scanning *scanning = NEW(struct scanning);
    struct net_http_options options = {.connections_max = 0};

    role_set_state(process, scanning);
    scanning->process = process;
    LIST_INIT(&scanning->orders);
    return net_http_new(role_loop(process), task, &options, &scanning->http);
}

/* Whether the two are there may change with a reload, the sandbox cannot. */
static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    (void)process;
    rules->may_connect = true;
    rules->may_connect_local = true;
}

static enum err start(struct role_process *process, struct task *task)
{
    (void)task;
    make_scanner(role_state(process));
    return ERR_OK;
}

/* Those under way end without an answer, which their examiners take for one that did not come. */
static void on_reload(struct role_process *process)
{
    struct scanning *scanning = role_state(process);
    static const struct scan_result nothing = {.is_complete = false};

    while (!LIST_EMPTY(&scanning->orders)) {
        struct order *order = LIST_FIRST(&scanning->orders);

        answer(scanning, order->channel, order->tag, &nothing);
        order_free(order);
    }
    scanner_free(&scanning->scanner);
    make_scanner(scanning);
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct scanning *scanning = role_state(process);

    (void)grace_ms;
    while (!LIST_EMPTY(&scanning->orders))
        order_free(LIST_FIRST(&scanning->orders));
    scanner_free(&scanning->scanner);
    net_http_free(&scanning->http);
    net_loop_stop(role_loop(process));
}

const struct role role_scanner = {
    .kind = WIRE_ROLE_SCANNER,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_reload = on_reload,
    .on_stop = on_stop,
};
