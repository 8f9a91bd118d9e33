/*
 *   DOWN ──> CONNECTING ──> UP          any -> DOWN   an error, nonsense, or a reply that is a
 * second late; then CONNECTING again after a while
 *
 * Replies come in the order of the commands: `pending` has one element for each. Who gave up on his
 * reply is no longer in his element (on_value is NULL), but the element stays.
 */
#include "dns/redis.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "base/memory.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    LATE_MS = 1000,
    CONNECT_MS = 2000,
    RETRY_FIRST_MS = 200,
    RETRY_MAX_MS = 30 * 1000,
    OUTPUT_MAX = 4 * 1024 * 1024,
    PENDING_MAX = 8192,
};

struct dns_redis_get {
    int64_t asked_ms;
    dns_redis_on_value on_value;           /* NULL: nobody waits (any more) */
    void *owner;                           /* borrowed */
    struct dns_redis *redis;               /* borrowed */
    TAILQ_ENTRY(dns_redis_get) in_list;    /* pending */
    TAILQ_ENTRY(dns_redis_get) in_waiting; /* those with on_value */
};
TAILQ_HEAD(pending, dns_redis_get);

enum redis_state { REDIS_DOWN, REDIS_CONNECTING, REDIS_UP };

struct dns_redis {
    struct net_loop *loop; /* borrowed */
    const struct log *log; /* borrowed */
    struct sockaddr_storage address;
    socklen_t address_len;
    enum redis_state state;
    int fd;                  /* own; -1 while DOWN */
    struct net_watch *watch; /* own */
    struct net_timer *timer; /* own; what the state waits for */
    redisReader *reader;     /* own */
    struct buf out;
    struct pending pending; /* own */
    struct pending waiting; /* those of them whose owner still waits, in the same order */
    size_t pending_count;
    int64_t retry_ms;
    struct str password; /* borrowed; empty: none */
    bool has_warned;
    bool was_refused; /* on this connection; said once */
};

/* ---- Replies ----
 *
 * Texts and "nil". An array, which would be allocated as large as it says, is refused.
 */

struct reply {
    size_t len;
    bool is_value, is_error;
    char bytes[];
};

static struct reply *reply_new(const char *bytes, size_t len, bool is_value)
{
    struct reply *reply = mem_new(1, sizeof(*reply) + len + 1);

    if (len > 0)
        memcpy(reply->bytes, bytes, len);
    reply->len = len;
    reply->is_value = is_value;
    return reply;
}

static void *make_string(const redisReadTask *task, char *bytes, size_t len)
{
    struct reply *reply = reply_new(bytes, len, task->type == REDIS_REPLY_STRING);

    reply->is_error = task->type == REDIS_REPLY_ERROR;
    return reply;
}

static void *make_array(const redisReadTask *task, int elements)
{
    (void)task;
    (void)elements;
    return NULL; /* hiredis takes it for a lack of memory, and we for nonsense */
}

static void *make_integer(const redisReadTask *task, long long value)
{
    (void)task;
    (void)value;
    return reply_new("", 0, false);
}

static void *make_nil(const redisReadTask *task)
{
    (void)task;
    return reply_new("", 0, false);
}

static void free_reply(void *reply)
{
    mem_free(&reply);
}

static redisReplyObjectFunctions reply_functions = {make_string, make_array, make_integer, make_nil,
                                                    free_reply};

/* ---- The connection ---- */

static void on_readable(void *owner);
static void on_writable(void *owner);

static void stop_waiting(struct dns_redis *redis, struct dns_redis_get *get)
{
    if (get->on_value != NULL)
        TAILQ_REMOVE(&redis->waiting, get, in_waiting);
    get->on_value = NULL;
}

static void answer_first(struct dns_redis *redis, struct str value)
{
    struct dns_redis_get *get = TAILQ_FIRST(&redis->pending);
    dns_redis_on_value on_value = get->on_value;
    void *owner = get->owner;

    stop_waiting(redis, get);
    TAILQ_REMOVE(&redis->pending, get, in_list);
    redis->pending_count--;
    mem_free(&get);
    if (on_value != NULL)
        on_value(owner, value);
}

static void disconnect(struct dns_redis *redis)
{
    net_watch_free(&redis->watch);
    fd_close(&redis->fd);
    if (redis->reader != NULL)
        redisReaderFree(redis->reader);
    redis->reader = NULL;
    buf_reset(&redis->out);
    redis->state = REDIS_DOWN;
}

static void go_down(struct dns_redis *redis, const char *why)
{
    disconnect(redis);
    if (!redis->has_warned)
        log_warning(redis->log, "Redis is not there: DNS answers are not shared reason=\"%s\"",
                    why);
    redis->has_warned = true;
    redis->retry_ms = redis->retry_ms == 0 ? RETRY_FIRST_MS : redis->retry_ms * 2;
    if (redis->retry_ms > RETRY_MAX_MS)
        redis->retry_ms = RETRY_MAX_MS;
    net_timer_start(redis->timer, redis->retry_ms);
    /* Those who wait hear of it; what they ask now finds us DOWN. */
    while (!TAILQ_EMPTY(&redis->pending))
        answer_first(redis, str_make(NULL, 0));
}

static void connect_socket(struct dns_redis *redis)
{
    redis->state = REDIS_CONNECTING;
    net_timer_start(redis->timer, CONNECT_MS);
    redis->fd = socket(redis->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (redis->fd < 0 || (connect(redis->fd, (const struct sockaddr *)(const void *)&redis->address,
                                  redis->address_len) != 0 &&
                          errno != EINPROGRESS)) {
        go_down(redis, strerror(errno));
        return;
    }
    redis->reader = redisReaderCreateWithFunctions(&reply_functions);
    if (redis->reader == NULL)
        abort();
    redis->watch = net_watch_new(redis->loop, redis->fd, on_readable, on_writable, redis);
    net_watch_want(redis->watch, true, true);
}

/* What the timer waits for while UP: the next one who waits too long, the next late reply. */
static void set_timer(struct dns_redis *redis)
{
    const struct dns_redis_get *waiting = TAILQ_FIRST(&redis->waiting);
    const struct dns_redis_get *pending = TAILQ_FIRST(&redis->pending);
    int64_t end_ms;

    if (pending == NULL) {
        net_timer_stop(redis->timer);
        return;
    }
    end_ms = pending->asked_ms + LATE_MS;
    if (waiting != NULL && waiting->asked_ms + DNS_REDIS_TIMEOUT_MS < end_ms)
        end_ms = waiting->asked_ms + DNS_REDIS_TIMEOUT_MS;
    net_timer_start(redis->timer, end_ms - clock_monotonic_ms());
}

static void check_late(struct dns_redis *redis)
{
    int64_t now_ms = clock_monotonic_ms();
    struct dns_redis_get *get;

    while ((get = TAILQ_FIRST(&redis->waiting)) != NULL &&
           now_ms - get->asked_ms >= DNS_REDIS_TIMEOUT_MS) {
        dns_redis_on_value on_value = get->on_value;
        void *owner = get->owner;

        stop_waiting(redis, get);
        on_value(owner, str_make(NULL, 0));
    }
    get = TAILQ_FIRST(&redis->pending);
    if (get != NULL && now_ms - get->asked_ms >= LATE_MS)
        go_down(redis, "no reply in time");
    else
        set_timer(redis);
}

static void on_time(void *owner)
{
    struct dns_redis *redis = owner;

    switch (redis->state) {
    case REDIS_DOWN:
        connect_socket(redis);
        break;
    case REDIS_CONNECTING:
        go_down(redis, "no connection in time");
        break;
    case REDIS_UP:
        check_late(redis);
        break;
    }
}

static struct dns_redis_get *send_command(struct dns_redis *redis, int count, const char **words,
                                          const size_t *lens);

static void set_up(struct dns_redis *redis)
{
    const char *words[] = {"AUTH", redis->password.ptr};
    const size_t lens[] = {4, redis->password.len};

    if (redis->has_warned)
        log_info(redis->log, "Redis is there again");
    redis->state = REDIS_UP;
    redis->has_warned = false;
    redis->was_refused = false;
    redis->retry_ms = 0;
    if (redis->password.len > 0)
        (void)send_command(redis, ARRAY_LEN(words), words, lens);
    set_timer(redis);
}

/* Only here anything is sent, so that no callback finds the connection gone in its middle. */
static void on_writable(void *owner)
{
    struct dns_redis *redis = owner;
    ssize_t sent;

    if (redis->state == REDIS_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof(error);

        if (getsockopt(redis->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
            go_down(redis, strerror(error));
            return;
        }
        set_up(redis);
    }
    if (redis->out.len > 0) {
        sent = send(redis->fd, redis->out.ptr, redis->out.len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            go_down(redis, strerror(errno));
            return;
        }
        buf_consume(&redis->out, sent > 0 ? (size_t)sent : 0);
    }
    net_watch_want(redis->watch, true, redis->out.len > 0);
}

/* NULL, or why the connection is of no use. */
static const char *take_replies(struct dns_redis *redis)
{
    void *found;

    for (;;) {
        struct reply *reply;
        struct str value;

        found = NULL;
        if (redisReaderGetReply(redis->reader, &found) != REDIS_OK)
            return "not a reply of Redis";
        if (found == NULL)
            break;
        reply = found;
        if (reply->is_error && !redis->was_refused) {
            redis->was_refused = true;
            log_warning(redis->log, "Redis refuses to share DNS answers reason=\"%.*s\"",
                        (int)(reply->len < 80 ? reply->len : 80), reply->bytes);
        }
        value = reply->is_value ? str_make(reply->bytes, reply->len) : str_make(NULL, 0);
        if (TAILQ_EMPTY(&redis->pending)) {
            mem_free(&reply);
            return "a reply that nobody asked for";
        }
        answer_first(redis, value);
        mem_free(&reply);
    }
    if (redis->reader->len - redis->reader->pos > DNS_REDIS_VALUE_MAX + 64)
        return "a reply that is too large";
    return NULL;
}

static void on_readable(void *owner)
{
    struct dns_redis *redis = owner;
    size_t room_bytes;
    char *room = net_loop_scratch(redis->loop, &room_bytes);
    ssize_t got = recv(redis->fd, room, room_bytes, 0);
    const char *why = NULL;

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            go_down(redis, got == 0 ? "the connection was closed" : strerror(errno));
        return;
    }
    if (redisReaderFeed(redis->reader, room, (size_t)got) != REDIS_OK)
        why = "not a reply of Redis";
    mem_wipe(room, (size_t)got);
    if (why == NULL)
        why = take_replies(redis);
    if (why != NULL)
        go_down(redis, why);
    else
        set_timer(redis);
}

struct dns_redis *dns_redis_new(struct net_loop *loop, const struct sockaddr_storage *address,
                                socklen_t len, struct str password, const struct log *log)
{
    struct dns_redis *redis = NEW(struct dns_redis);

    redis->loop = loop;
    redis->log = log;
    redis->password = password;
    redis->address = *address;
    redis->address_len = len;
    redis->fd = -1;
    redis->timer = net_timer_new(loop, on_time, redis);
    buf_init(&redis->out, OUTPUT_MAX);
    TAILQ_INIT(&redis->pending);
    TAILQ_INIT(&redis->waiting);
    net_timer_start(redis->timer, 0); /* from the loop: inside the sandbox by then */
    return redis;
}

void dns_redis_free(struct dns_redis **redis)
{
    struct dns_redis_get *get;

    if (*redis == NULL)
        return;
    disconnect(*redis);
    while ((get = TAILQ_FIRST(&(*redis)->pending)) != NULL) {
        TAILQ_REMOVE(&(*redis)->pending, get, in_list);
        mem_free(&get);
    }
    net_timer_free(&(*redis)->timer);
    buf_free(&(*redis)->out);
    mem_free(redis);
}

/* ---- Commands ---- */

/* NULL: not sent. */
static struct dns_redis_get *send_command(struct dns_redis *redis, int count, const char **words,
                                          const size_t *lens)
{
    struct dns_redis_get *get;
    char *command = NULL;
    int len;
    enum err err;

    if (redis->state != REDIS_UP || redis->pending_count >= PENDING_MAX)
        return NULL;
    len = redisFormatCommandArgv(&command, count, words, lens);
    if (len < 0)
        abort();
    err = buf_append(&redis->out, str_make(command, (size_t)len));
    redisFreeCommand(command);
    if (err != ERR_OK)
        return NULL;
    net_watch_want(redis->watch, true, true);
    get = NEW(struct dns_redis_get);
    get->redis = redis;
    get->asked_ms = clock_monotonic_ms();
    TAILQ_INSERT_TAIL(&redis->pending, get, in_list);
    redis->pending_count++;
    return get;
}

struct dns_redis_get *dns_redis_get(struct dns_redis *redis, struct str key,
                                    dns_redis_on_value on_value, void *owner)
{
    const char *words[] = {"GET", key.ptr};
    const size_t lens[] = {3, key.len};
    struct dns_redis_get *get = send_command(redis, ARRAY_LEN(words), words, lens);

    if (get == NULL)
        return NULL;
    get->on_value = on_value;
    get->owner = owner;
    TAILQ_INSERT_TAIL(&redis->waiting, get, in_waiting);
    set_timer(redis);
    return get;
}

void dns_redis_get_cancel(struct dns_redis_get **get)
{
    if (*get != NULL)
        stop_waiting((*get)->redis, *get);
    *get = NULL;
}

void dns_redis_set(struct dns_redis *redis, struct str key, struct str value, uint32_t ttl_s)
{
    char seconds[16];
    const char *words[] = {"SET", key.ptr, value.ptr, "EX", seconds};
    size_t lens[] = {3, key.len, value.len, 2, 0};

    if (ttl_s == 0 || value.len > DNS_REDIS_VALUE_MAX)
        return;
    lens[4] = (size_t)snprintf(seconds, sizeof(seconds), "%u", ttl_s);
    if (send_command(redis, ARRAY_LEN(words), words, lens) != NULL)
        set_timer(redis);
}
