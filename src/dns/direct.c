/*
 * The life of a question:
 *
 *   UDP ──> TCP ──> over      UDP -> UDP   time-out: to the next server, on a new socket
 *                             UDP -> TCP   the answer was cut (TC), or too much nonsense came
 *                             TCP -> UDP   it broke: the next server
 *   any -> over               an answer, or DNS_DIRECT_TIMEOUT_MS
 */
#include "dns/direct.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "dns/name.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

struct server {
    struct sockaddr_storage address;
    socklen_t len;
};

TAILQ_HEAD(direct_queries, dns_direct_query);

struct dns_direct {
    struct net_loop *loop; /* borrowed */
    struct server servers[DNS_DIRECT_SERVERS_MAX];
    size_t server_count;
    struct direct_queries queries; /* own */
};

struct dns_direct_query {
    struct dns_direct *direct; /* borrowed */
    struct dns_name name;
    enum dns_type type;
    uint16_t id;
    bool is_tcp;
    size_t server; /* index */
    unsigned wrong_count;
    int fd;                  /* own; -1: none now */
    struct net_watch *watch; /* own */
    struct net_timer *timer; /* own */
    int64_t end_ms;
    struct buf out; /* what is still to be sent over TCP */
    struct buf in;  /* what came over TCP, its length first */
    dns_on_reply on_reply;
    void *owner; /* borrowed */
    TAILQ_ENTRY(dns_direct_query) in_list;
};

enum { TCP_PREFIX = 2 }; /* RFC 1035 §4.2.2 */

struct dns_direct *dns_direct_new(struct net_loop *loop)
{
    struct dns_direct *direct = NEW(struct dns_direct);

    direct->loop = loop;
    TAILQ_INIT(&direct->queries);
    return direct;
}

void dns_direct_free(struct dns_direct **direct)
{
    struct dns_direct_query *query;

    if (*direct == NULL)
        return;
    while ((query = TAILQ_FIRST(&(*direct)->queries)) != NULL)
        dns_direct_query_cancel(&query);
    mem_free(direct);
}

void dns_direct_add(struct dns_direct *direct, const struct sockaddr_storage *address,
                    socklen_t len)
{
    assert(direct->server_count < DNS_DIRECT_SERVERS_MAX);
    direct->servers[direct->server_count++] = (struct server){*address, len};
}

static void close_socket(struct dns_direct_query *query)
{
    net_watch_free(&query->watch);
    fd_close(&query->fd);
    buf_free(&query->out);
    buf_free(&query->in);
}

void dns_direct_query_cancel(struct dns_direct_query **query_pointer)
{
    struct dns_direct_query *query = *query_pointer;

    if (query == NULL)
        return;
    close_socket(query);
    net_timer_free(&query->timer);
    TAILQ_REMOVE(&query->direct->queries, query, in_list);
    mem_free(query_pointer);
}

static void finish(struct dns_direct_query *query, struct task *task, const struct dns_reply *reply)
{
    dns_on_reply on_reply = query->on_reply;
    void *owner = query->owner;

    dns_direct_query_cancel(&query);
    on_reply(owner, task, reply);
}

static void finish_failed(struct dns_direct_query *query)
{
    static const struct dns_reply failed = {.answer = {.status = DNS_FAILED}};
    struct task task;

    task_init(&task, clock_now_ms());
    finish(query, &task, &failed);
    task_done(&task);
}

/* ---- Sending ---- */

static void on_readable(void *owner);
static void on_writable(void *owner);

static bool open_socket(struct dns_direct_query *query, int type)
{
    const struct server *server = &query->direct->servers[query->server];

    close_socket(query);
    query->fd = socket(server->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (query->fd < 0)
        return false;
    if (connect(query->fd, (const struct sockaddr *)(const void *)&server->address, server->len) !=
            0 &&
        errno != EINPROGRESS) {
        fd_close(&query->fd);
        return false;
    }
    query->watch = net_watch_new(query->direct->loop, query->fd, on_readable, on_writable, query);
    return true;
}

static void new_message(struct dns_direct_query *query, struct buf *out)
{
    random_bytes(&query->id, sizeof(query->id));
    dns_message_query(out, query->id, dns_name_str(&query->name), query->type, false);
}

/* The timer is set already: a failure here waits for it, like a datagram that got lost. */
static void send_udp(struct dns_direct_query *query)
{
    CLEANUP(buf_free) struct buf message;

    query->is_tcp = false;
    query->wrong_count = 0;
    buf_init(&message, SIZE_MAX);
    if (!open_socket(query, SOCK_DGRAM))
        return;
    new_message(query, &message);
    if (send(query->fd, message.ptr, message.len, MSG_NOSIGNAL) < 0)
        close_socket(query);
    else
        net_watch_want(query->watch, true, false);
}

static void start_tcp(struct dns_direct_query *query)
{
    struct buf message;
    unsigned char prefix[TCP_PREFIX];

    query->is_tcp = true;
    if (!open_socket(query, SOCK_STREAM))
        return;
    buf_init(&query->out, SIZE_MAX);
    buf_init(&query->in, TCP_PREFIX + DNS_MESSAGE_MAX);
    buf_init(&message, SIZE_MAX);
    new_message(query, &message);
    prefix[0] = (unsigned char)(message.len >> 8);
    prefix[1] = (unsigned char)message.len;
    buf_put(&query->out, str_make(prefix, sizeof(prefix)));
    buf_put(&query->out, buf_str(&message));
    buf_free(&message);
    net_watch_want(query->watch, true, true);
}

static void on_time(void *owner)
{
    struct dns_direct_query *query = owner;
    int64_t left_ms = query->end_ms - clock_monotonic_ms();

    if (left_ms <= 0 || query->direct->server_count == 0) {
        finish_failed(query);
        return;
    }
    query->server = (query->server + 1) % query->direct->server_count;
    net_timer_start(query->timer, left_ms < DNS_DIRECT_RETRY_MS ? left_ms : DNS_DIRECT_RETRY_MS);
    send_udp(query);
}

/* With the time that a UDP question has. */
static void go_to_tcp(struct dns_direct_query *query)
{
    int64_t left_ms = query->end_ms - clock_monotonic_ms();

    net_timer_start(query->timer,
                    left_ms < 2 * DNS_DIRECT_RETRY_MS ? left_ms : 2 * DNS_DIRECT_RETRY_MS);
    start_tcp(query);
}

static void on_writable(void *owner)
{
    struct dns_direct_query *query = owner;
    ssize_t sent = send(query->fd, query->out.ptr, query->out.len, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            close_socket(query); /* the timer goes on to the next server */
        return;
    }
    buf_consume(&query->out, (size_t)sent);
    net_watch_want(query->watch, true, query->out.len > 0);
}

/* ---- Receiving ---- */

/* True: the query is over, or went on to TCP. */
static bool take_message(struct dns_direct_query *query, struct str message)
{
    struct dns_reply reply;
    struct task task;
    bool is_taken;

    task_init(&task, clock_now_ms());
    message = arena_copy(&task.arena, message); /* the answer's views outlive the query's buffers */
    is_taken = dns_message_parse(&task, message, query->id, dns_name_str(&query->name), query->type,
                                 &reply) == ERR_OK;
    if (is_taken && reply.is_truncated && !query->is_tcp) {
        go_to_tcp(query);
    } else if (is_taken) {
        if (reply.is_truncated)
            reply = (struct dns_reply){.answer = {.status = DNS_FAILED}};
        reply.answer.is_secure = false;
        finish(query, &task, &reply);
    }
    task_done(&task);
    return is_taken;
}

static void read_udp(struct dns_direct_query *query)
{
    size_t room_bytes;
    char *room = net_loop_scratch(query->direct->loop, &room_bytes);
    ssize_t got;

    for (;;) {
        bool is_taken;

        got = recv(query->fd, room, room_bytes, 0);
        if (got < 0) {
            if (errno != EAGAIN && errno != EINTR)
                close_socket(query); /* nobody listens there: the timer goes on */
            return;
        }
        is_taken = take_message(query, str_make(room, (size_t)got));
        mem_wipe(room, (size_t)got);
        if (is_taken)
            return;
        if (++query->wrong_count >= DNS_DIRECT_WRONG_MAX) {
            go_to_tcp(query);
            return;
        }
    }
}

static void read_tcp(struct dns_direct_query *query)
{
    size_t room_bytes, wanted = TCP_PREFIX;
    char *room = net_loop_scratch(query->direct->loop, &room_bytes);
    ssize_t got;

    if (query->in.len >= TCP_PREFIX)
        wanted += (size_t)(unsigned char)query->in.ptr[0] << 8 | (unsigned char)query->in.ptr[1];
    got = recv(query->fd, room, wanted - query->in.len, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            close_socket(query);
        return;
    }
    buf_put(&query->in, str_make(room, (size_t)got));
    mem_wipe(room, (size_t)got);
    if (query->in.len < TCP_PREFIX || query->in.len < wanted || wanted == TCP_PREFIX)
        return; /* level-triggered: the rest follows */
    if (!take_message(query, str_from(buf_str(&query->in), TCP_PREFIX)))
        close_socket(query);
}

static void on_readable(void *owner)
{
    struct dns_direct_query *query = owner;

    if (query->is_tcp)
        read_tcp(query);
    else
        read_udp(query);
}

struct dns_direct_query *dns_direct_ask(struct dns_direct *direct, struct str name,
                                        enum dns_type type, dns_on_reply on_reply, void *owner)
{
    struct dns_direct_query *query = NEW(struct dns_direct_query);
    bool is_name = dns_name_set(&query->name, name);

    query->direct = direct;
    query->type = type;
    query->fd = -1;
    query->on_reply = on_reply;
    query->owner = owner;
    query->timer = net_timer_new(direct->loop, on_time, query);
    query->end_ms = clock_monotonic_ms() + (is_name ? DNS_DIRECT_TIMEOUT_MS : 0);
    /* on_time moves on by one: to the first. */
    query->server = direct->server_count > 0 ? direct->server_count - 1 : 0;
    TAILQ_INSERT_TAIL(&direct->queries, query, in_list);
    net_timer_start(query->timer, 0);
    return query;
}
