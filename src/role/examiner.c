/*
 * The examiner (design §2): looks at one foreign message at a time. What it finds is in
 * examiner/examine.h and render.h; here it is connected to its peers. It has no network and holds
 * nothing; of files it reads the spam model, in <data>/spam.
 *
 * Foreign bytes are at their worst here, so the process is expendable: a message that takes longer
 * than WATCH_S ends it (SIGALRM), one that takes more memory than MEMORY_BYTES, too (RLIMIT_AS, and
 * an allocation that fails aborts). Master starts another one at once; whoever waits for an answer
 * hears that the channel is gone. All that waits is bounded by deadlines well before that.
 *
 * It does one thing at a time, and waits in the middle of it for the resolver and the scanner;
 * their channels are served meanwhile (wire_channel_wait), all others are read when it is done.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "base/memory.h"
#include "dns/client.h"
#include "examiner/examine.h"
#include "examiner/render.h"
#include "role/role.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    WATCH_S = 10,
    DNS_WAIT_MS = 5000,       /* for all questions of one message */
    SCAN_WAIT_MS = 7000,      /* since the message's beginning */
    QUEUE_MAX = 64,           /* what came while another message was looked at */
    LARGE_BYTES = 256 * 1024, /* such a message leaves memory behind that is given back */
};

#define MEMORY_BYTES (UINT64_C(512) << 20)
/* A message of this size fits into it several times; larger ones get their size on top. */
#define MESSAGE_USUAL (UINT64_C(64) << 20)

/* One EXAMINE or RENDER. */
struct order {
    struct wire_channel *channel; /* borrowed: whom to answer */
    uint64_t tag;
    struct task task; /* own; the texts of the request, and what is made of it */
    bool is_render;
    struct examiner_request examine;
    struct render_request render;
    int fd;        /* own; the message */
    void *message; /* own, mapped; NULL: not, or empty */
    size_t message_len;
    TAILQ_ENTRY(order) in_queue;
};
TAILQ_HEAD(orders, order);

/* The scanner's answer to the message that is being looked at. */
struct awaited_scan {
    uint64_t tag;
    bool is_here;
    struct examiner_scan answer;
    struct task *task; /* borrowed: where its texts go */
    int64_t deadline_ms;
};

struct examiner {
    struct role_process *process; /* borrowed */
    struct dns_client *dns;       /* own */
    struct spam_model *model;     /* own; NULL: none was trained */
    char *folder, *model_path;    /* own */
    struct orders queue;
    size_t queue_count;
    struct net_timer *timer; /* own; the next order */
    struct awaited_scan scan;
};

static void order_free(struct order *order)
{
    if (order->message != NULL)
        munmap(order->message, order->message_len);
    fd_close(&order->fd);
    task_done(&order->task);
    mem_free(&order);
}

/* ---- Answers ---- */

static void answer_examine(struct examiner *examiner, struct order *order, enum wire_status status,
                           const struct examiner_result *result)
{
    struct wire_examine_reply body = {
        .status = status,
        .action = result->action,
        .words = result->words,
        .fields = result->fields,
        .removals = result->removals,
        .may_reply = result->may_reply,
        .score = result->score,
        .is_authenticated = result->is_authenticated,
        .is_from_sender = result->is_from_sender,
        .is_spam = result->is_spam,
        .bounce = result->bounce,
    };

    if (wire_send(order->channel, WIRE_EXAMINE_REPLY, order->tag, &body, NULL, 0) != ERR_OK)
        log_warning(role_log(examiner->process), "a verdict could not be sent");
}

static void answer_render(struct examiner *examiner, struct order *order, enum wire_status status,
                          int fd)
{
    struct wire_render_reply body = {.status = status};

    if (wire_send(order->channel, WIRE_RENDER_REPLY, order->tag, &body, &fd, fd < 0 ? 0 : 1) !=
        ERR_OK)
        log_warning(role_log(examiner->process), "a rendering could not be sent");
}

static void refuse(struct examiner *examiner, struct order *order, enum wire_status status)
{
    static const struct examiner_result nothing = {.action = EXAMINER_DEFER};

    if (order->is_render)
        answer_render(examiner, order, status, -1);
    else
        answer_examine(examiner, order, status, &nothing);
}

/* ---- The scanner ---- */

static void take_scan_reply(struct examiner *examiner, const struct wire_message *message)
{
    const struct wire_scan_reply *reply = &message->body.scan_reply;
    struct awaited_scan *scan = &examiner->scan;

    if (scan->task == NULL || scan->is_here || message->tag != scan->tag)
        return; /* of a message that is done */
    scan->is_here = true;
    scan->answer = (struct examiner_scan){
        .is_failed = reply->status != WIRE_OK,
        .is_virus = reply->is_virus,
        .name = arena_copy(&scan->task->arena, reply->words),
        .score = reply->score,
        .symbols = arena_copy(&scan->task->arena, reply->symbols),
    };
}

static void ask_scanner(struct examiner *examiner, struct order *order, int64_t began_ms)
{
    struct wire_channel *scanner = role_peer(examiner->process, WIRE_ROLE_SCANNER, 0);
    struct wire_scan body = {.client = order->examine.client,
                             .helo = order->examine.helo,
                             .sender = order->examine.sender,
                             .reverse_name = order->examine.reverse_name};

    examiner->scan = (struct awaited_scan){.tag = examiner->scan.tag + 1,
                                           .task = &order->task,
                                           .deadline_ms = began_ms + SCAN_WAIT_MS};
    if (scanner == NULL ||
        wire_send(scanner, WIRE_SCAN, examiner->scan.tag, &body, &order->fd, 1) != ERR_OK) {
        examiner->scan.is_here = true;
        examiner->scan.answer.is_failed = true;
    }
}

static void await_scan(void *owner, struct task *task, struct examiner_scan *out)
{
    struct examiner *examiner = owner;
    struct awaited_scan *scan = &examiner->scan;

    (void)task;
    while (!scan->is_here) {
        struct wire_channel *scanner = role_peer(examiner->process, WIRE_ROLE_SCANNER, 0);
        int64_t left_ms = scan->deadline_ms - clock_monotonic_ms();

        if (scanner == NULL || left_ms <= 0 || !wire_channel_wait(scanner, left_ms))
            break;
    }
    *out = scan->answer;
    out->is_failed = out->is_failed || !scan->is_here;
    scan->task = NULL;
}

/* ---- Work ---- */

static void examine(struct examiner *examiner, struct order *order)
{
    const struct config *config = role_config(examiner->process);
    int64_t began_ms = clock_monotonic_ms();
    bool has_scanner = config->clamd.len > 0 || config->rspamd.len > 0;
    struct dns_waiting waiting = {.client = examiner->dns, .deadline_ms = began_ms + DNS_WAIT_MS};
    struct dns_source dns = dns_waiting_source(&waiting);
    struct dns_waiting filtering = {.client = examiner->dns,
                                    .deadline_ms = began_ms + DNS_WAIT_MS,
                                    .service = DNS_SERVICE_FILTER};
    struct dns_source links = dns_waiting_source(&filtering);
    struct examiner_tools tools = {
        .dns = &dns,
        .link_check = config->dns_filter_upstreams[0].len > 0 ? &links : NULL,
        .model = examiner->model,
        .owner = examiner,
        .await_scan = has_scanner ? await_scan : NULL,
        .authserv = config->hostname,
        .rejects_by_dmarc = config->dmarc_reject,
        .needs_scan = config->scan_required,
        .arc_trust = config->arc_trust,
        .arc_trust_count = CONFIG_ADDRESSES_MAX,
    };
    struct examiner_result result;

    if (has_scanner)
        ask_scanner(examiner, order, began_ms);
    order->examine.message =
        str_make(order->message == NULL ? "" : order->message, order->message_len);
    examiner_examine(&order->task, &order->examine, &tools, &result);
    log_debug(role_log(examiner->process), "examined bytes=%zu action=%d score=%lld ms=%lld",
              order->message_len, (int)result.action, (long long)result.score,
              (long long)(clock_monotonic_ms() - began_ms));
    answer_examine(examiner, order, WIRE_OK, &result);
    dns_waiting_done(&waiting);
    dns_waiting_done(&filtering);
}

static void render(struct examiner *examiner, struct order *order)
{
    CLEANUP(fd_close) int fd = -1;
    struct task *task = &order->task;
    enum err err;

    order->render.message =
        str_make(order->message == NULL ? "" : order->message, order->message_len);
    err = memfd_new(task, &fd);
    if (err == ERR_OK)
        err = render_message(task, &order->render, fd);
    if (err == ERR_OK)
        err = memfd_seal(task, fd);
    if (err != ERR_OK) {
        log_failure(role_log(examiner->process), "rendering", task);
        refuse(examiner, order, err == ERR_INVALID ? WIRE_INVALID : WIRE_UNAVAILABLE);
        return;
    }
    answer_render(examiner, order, WIRE_OK, fd);
}

/* What is not sealed could shrink under our feet. */
static bool map_message(struct order *order)
{
    int seals = fcntl(order->fd, F_GET_SEALS);
    off_t size = lseek(order->fd, 0, SEEK_END);

    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_WRITE) == 0 || size < 0)
        return false;
    order->message_len = (size_t)size;
    if (size == 0)
        return true;
    order->message = mmap(NULL, order->message_len, PROT_READ, MAP_SHARED, order->fd, 0);
    if (order->message != MAP_FAILED)
        return true;
    order->message = NULL;
    return false;
}

static void work(void *owner)
{
    struct examiner *examiner = owner;
    struct order *order = TAILQ_FIRST(&examiner->queue);
    bool is_large;

    if (order == NULL)
        return;
    TAILQ_REMOVE(&examiner->queue, order, in_queue);
    examiner->queue_count--;
    alarm(WATCH_S);
    if (!map_message(order)) {
        log_error(role_log(examiner->process), "a message came that cannot be mapped, or unsealed");
        refuse(examiner, order, WIRE_INVALID);
    } else if (order->is_render) {
        render(examiner, order);
    } else {
        examine(examiner, order);
    }
    is_large = order->message_len > LARGE_BYTES;
    order_free(order);
    if (is_large)
        mem_give_back();
    alarm(0);
    if (!TAILQ_EMPTY(&examiner->queue))
        net_timer_start(examiner->timer, 0); /* others' messages have their turn first */
}

/* ---- Messages ---- */

static void copy_examine(struct order *order, const struct wire_examine *given)
{
    struct arena *arena = &order->task.arena;

    order->examine = (struct examiner_request){
        .client = arena_copy(arena, given->client),
        .helo = arena_copy(arena, given->helo),
        .sender = arena_copy(arena, given->sender),
        .reverse_name = arena_copy(arena, given->reverse_name),
        .is_nameless = given->is_nameless,
        .is_trusted = given->is_trusted,
        .list_score = (int64_t)(given->list_score > INT32_MAX ? INT32_MAX : given->list_score),
        .now_ms = given->now_ms,
    };
}

static void enqueue(struct examiner *examiner, struct wire_channel *channel,
                    struct wire_message *message)
{
    struct order *order = NEW(struct order);

    order->channel = channel;
    order->tag = message->tag;
    order->is_render = message->type == WIRE_RENDER;
    order->fd = -1;
    task_init(&order->task, clock_now_ms());
    if (message->fd_count == 0 || examiner->queue_count == QUEUE_MAX) {
        refuse(examiner, order, WIRE_UNAVAILABLE);
        order_free(order);
        return;
    }
    order->fd = message->fds[0];
    message->fds[0] = -1;
    if (order->is_render)
        order->render = (struct render_request){
            .envelope = arena_copy(&order->task.arena, message->body.render.envelope),
            .with_raw = message->body.render.with_raw,
            .trace_len = message->body.render.trace_len,
        };
    else
        copy_examine(order, &message->body.examine);
    TAILQ_INSERT_TAIL(&examiner->queue, order, in_queue);
    examiner->queue_count++;
    net_timer_start(examiner->timer, 0);
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    struct examiner *examiner = role_state(process);

    if (message->type == WIRE_DNS_ANSWER)
        dns_client_message(examiner->dns, message);
    else if (message->type == WIRE_SCAN_REPLY)
        take_scan_reply(examiner, message);
    else if (message->type == WIRE_EXAMINE || message->type == WIRE_RENDER)
        enqueue(examiner, channel, message);
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    struct examiner *examiner = role_state(process);

    if (wire_channel_peer(channel) == WIRE_ROLE_RESOLVER)
        dns_client_set_peer(examiner->dns, channel);
}

/* Nobody would hear the answers. */
static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct examiner *examiner = role_state(process);
    struct order *order, *next;

    if (wire_channel_peer(channel) == WIRE_ROLE_RESOLVER)
        dns_client_set_peer(examiner->dns, NULL);
    for (order = TAILQ_FIRST(&examiner->queue); order != NULL; order = next) {
        next = TAILQ_NEXT(order, in_queue);
        if (order->channel != channel)
            continue;
        TAILQ_REMOVE(&examiner->queue, order, in_queue);
        examiner->queue_count--;
        order_free(order);
    }
}

/* ---- The process ---- */

static void read_model(struct examiner *examiner)
{
    struct spam_model *model = NULL;
    struct task task;
    enum err err;

    task_init(&task, clock_now_ms());
    err = spam_model_open(&task, examiner->model_path, &model);
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        log_failure(role_log(examiner->process), "reading the spam model", &task);
    } else {
        spam_model_close(&examiner->model);
        examiner->model = model;
    }
    task_done(&task);
}

/* Beyond what the process has by now: libraries, tables, the model. */
static enum err limit_memory(struct examiner *examiner, struct task *task)
{
    uint64_t largest = role_config(examiner->process)->message_size_max;
    CLEANUP(buf_free) struct buf text;
    struct str rest, pages;
    struct rlimit limit;
    uint64_t now = 0;

    buf_init(&text, SIZE_MAX);
    if (IS_SANITIZED)
        return ERR_OK; /* whose shadow memory is larger than any limit */
    TRY(file_read(task, AT_FDCWD, "/proc/self/statm", 4096, &text));
    rest = buf_str(&text);
    if (!str_split(&rest, ' ', &pages) || !parse_u64(pages, &now))
        return fail(task, ERR_IO, "/proc/self/statm makes no sense");
    now = now * (uint64_t)sysconf(_SC_PAGESIZE) + MEMORY_BYTES;
    if (largest > MESSAGE_USUAL)
        now += largest;
    limit = (struct rlimit){.rlim_cur = now, .rlim_max = now};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return fail(task, ERR_IO, "limiting the memory: %s", strerror(errno));
    return ERR_OK;
}

static enum err setup(struct role_process *process, struct task *task)
{
    struct examiner *examiner = NEW(struct examiner);
    const char *folder = config_path(role_config(process), task, "spam");
    const char *model_path = config_path(role_config(process), task, "spam/model");

    role_set_state(process, examiner);
    examiner->process = process;
    examiner->folder = mem_copy_text(folder, strlen(folder));
    examiner->model_path = mem_copy_text(model_path, strlen(model_path));
    TAILQ_INIT(&examiner->queue);
    examiner->timer = net_timer_new(role_loop(process), work, examiner);
    examiner->dns = dns_client_new(role_loop(process));
    message_init_library();
    /* The sandbox names it, so it must exist. */
    TRY(dir_make(task, AT_FDCWD, examiner->folder, true));
    read_model(examiner);
    return limit_memory(examiner, task);
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    struct examiner *examiner = role_state(process);

    sandbox_allow_path(rules, examiner->folder, SANDBOX_READ);
    rules->may_set_alarm = true;
}

static void on_reload(struct role_process *process)
{
    read_model(role_state(process));
}

/* Two more than cores: some of them wait for the DNS. */
static size_t process_count(const struct config *config, size_t cores)
{
    size_t count = config->examiners > 0 ? (size_t)config->examiners : cores + 2;

    return count < 2 ? 2 : count > CONFIG_EXAMINERS_MAX ? CONFIG_EXAMINERS_MAX : count;
}

const struct role role_examiner = {
    .kind = WIRE_ROLE_EXAMINER,
    .setup = setup,
    .sandbox = sandbox,
    .on_peer = on_peer,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_reload = on_reload,
    .process_count = process_count,
    .is_expendable = true,
};
