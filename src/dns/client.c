/*
 * Every question has the same time-out, so the list of open ones is in the order of their ends, and
 * one timer serves them all. Answers are found by their tag through a small table.
 *
 * A question that cannot be sent, or whose resolver went, stands in the list `over`, to be answered
 * with FAILED from the loop. Its `turn` is that of the timer: what is put there while the timer
 * hands out answers waits for the next one, so that an owner who asks again at once does not spin.
 */
#include "dns/client.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <sys/queue.h>

enum { BUCKETS = 256 };

struct dns_query {
    struct dns_client *client; /* borrowed */
    uint64_t tag;
    int64_t end_ms;
    bool is_over;
    uint64_t turn; /* when it is over: of the timer, then */
    dns_on_answer on_answer;
    void *owner; /* borrowed */
    TAILQ_ENTRY(dns_query) in_list;
    LIST_ENTRY(dns_query) in_bucket;
};
TAILQ_HEAD(queries, dns_query);
LIST_HEAD(bucket, dns_query);

struct dns_client {
    struct wire_channel *channel; /* borrowed; NULL while the resolver is away */
    struct net_timer *timer;      /* own */
    struct queries open, over;    /* own */
    struct bucket buckets[BUCKETS];
    uint64_t last_tag, turn;
};

static void unlink_query(struct dns_query *query)
{
    TAILQ_REMOVE(query->is_over ? &query->client->over : &query->client->open, query, in_list);
    LIST_REMOVE(query, in_bucket);
}

static void set_over(struct dns_query *query)
{
    struct dns_client *client = query->client;

    TAILQ_REMOVE(&client->open, query, in_list);
    TAILQ_INSERT_TAIL(&client->over, query, in_list);
    query->is_over = true;
    query->turn = client->turn;
    net_timer_start(client->timer, 0);
}

/* The query is gone before its owner hears of it: he may ask anew inside. */
static void answer(struct dns_query *query, struct task *task, const struct dns_answer *given)
{
    dns_on_answer on_answer = query->on_answer;
    void *owner = query->owner;

    unlink_query(query);
    mem_free(&query);
    on_answer(owner, task, given);
}

static void on_time(void *owner)
{
    static const struct dns_answer failed = {.status = DNS_FAILED};
    struct dns_client *client = owner;
    int64_t now_ms = clock_monotonic_ms();
    struct dns_query *query;

    while ((query = TAILQ_FIRST(&client->open)) != NULL && query->end_ms <= now_ms)
        set_over(query);
    client->turn++;
    while ((query = TAILQ_FIRST(&client->over)) != NULL && query->turn < client->turn) {
        struct task task;

        task_init(&task, clock_now_ms());
        answer(query, &task, &failed);
        task_done(&task);
    }
    if (!TAILQ_EMPTY(&client->over))
        net_timer_start(client->timer, 0);
    else if (!TAILQ_EMPTY(&client->open))
        net_timer_start(client->timer, TAILQ_FIRST(&client->open)->end_ms - now_ms);
    else
        net_timer_stop(client->timer);
}

struct dns_client *dns_client_new(struct net_loop *loop)
{
    struct dns_client *client = NEW(struct dns_client);

    client->timer = net_timer_new(loop, on_time, client);
    TAILQ_INIT(&client->open);
    TAILQ_INIT(&client->over);
    return client;
}

void dns_client_free(struct dns_client **client)
{
    struct dns_query *query;

    if (*client == NULL)
        return;
    while ((query = TAILQ_FIRST(&(*client)->open)) != NULL ||
           (query = TAILQ_FIRST(&(*client)->over)) != NULL)
        dns_query_cancel(&query);
    net_timer_free(&(*client)->timer);
    mem_free(client);
}

void dns_client_set_peer(struct dns_client *client, struct wire_channel *channel)
{
    client->channel = channel;
    /* Whoever is there now has not heard of what was asked before. */
    while (!TAILQ_EMPTY(&client->open))
        set_over(TAILQ_FIRST(&client->open));
}

static struct bucket *bucket_of(struct dns_client *client, uint64_t tag)
{
    return &client->buckets[tag % BUCKETS];
}

void dns_client_message(struct dns_client *client, const struct wire_message *message)
{
    const struct wire_dns_answer *body = &message->body.dns_answer;
    struct dns_answer given = {.status = DNS_FAILED};
    struct dns_query *query;
    struct task task;

    if (message->type != WIRE_DNS_ANSWER)
        return;
    LIST_FOREACH (query, bucket_of(client, message->tag), in_bucket) {
        if (query->tag == message->tag && !query->is_over)
            break;
    }
    if (query == NULL)
        return; /* too late, or not wanted any more */
    task_init(&task, clock_now_ms());
    if (body->status < DNS_FAILED && dns_answer_decode(&task, body->records, &given) == ERR_OK) {
        given.status = (enum dns_status)body->status;
        given.is_secure = body->is_secure;
    }
    answer(query, &task, &given);
    task_done(&task);
}

static struct dns_query *ask(struct dns_client *client, struct str name, enum dns_type type,
                             enum dns_service service, dns_on_answer on_answer, void *owner)
{
    struct wire_dns_query body = {.name = name,
                                  .type = type,
                                  .is_list = service == DNS_SERVICE_LISTS,
                                  .is_filtered = service == DNS_SERVICE_FILTER};
    struct dns_query *query = NEW(struct dns_query);
    bool is_first = TAILQ_EMPTY(&client->open) && TAILQ_EMPTY(&client->over);

    query->client = client;
    query->tag = ++client->last_tag;
    query->end_ms = clock_monotonic_ms() + DNS_CLIENT_TIMEOUT_MS;
    query->on_answer = on_answer;
    query->owner = owner;
    TAILQ_INSERT_TAIL(&client->open, query, in_list);
    LIST_INSERT_HEAD(bucket_of(client, query->tag), query, in_bucket);
    if (client->channel == NULL ||
        wire_send(client->channel, WIRE_DNS_QUERY, query->tag, &body, NULL, 0) != ERR_OK)
        set_over(query);
    else if (is_first)
        net_timer_start(client->timer, DNS_CLIENT_TIMEOUT_MS);
    return query;
}

struct dns_query *dns_client_ask(struct dns_client *client, struct str name, enum dns_type type,
                                 bool is_list, dns_on_answer on_answer, void *owner)
{
    return ask(client, name, type, is_list ? DNS_SERVICE_LISTS : DNS_SERVICE_GENERAL, on_answer,
               owner);
}

void dns_query_cancel(struct dns_query **query)
{
    if (*query == NULL)
        return;
    unlink_query(*query);
    mem_free(query);
}

/* ---- Waiting ---- */

struct wait {
    struct task *task; /* borrowed; the asker's */
    struct dns_answer *out;
    struct dns_query *query; /* own; NULL: answered */
};

static struct dns_answer copy_answer(struct task *task, const struct dns_answer *given)
{
    struct dns_answer copy = *given;

    copy.records = ARENA_ARRAY(&task->arena, struct dns_record, given->count + 1);
    for (size_t i = 0; i < given->count; i++) {
        copy.records[i] = given->records[i];
        copy.records[i].name = arena_copy(&task->arena, given->records[i].name);
        copy.records[i].data = arena_copy(&task->arena, given->records[i].data);
    }
    return copy;
}

static void on_waited_answer(void *owner, struct task *task, const struct dns_answer *given)
{
    struct wait *wait = owner;

    (void)task;
    wait->query = NULL;
    *wait->out = copy_answer(wait->task, given);
}

/* Until *query is answered, which makes it NULL, or cannot be. */
static void wait_for(struct dns_client *client, struct dns_query **query, int64_t deadline_ms)
{
    int64_t now_ms = clock_monotonic_ms();

    while (*query != NULL && !(*query)->is_over && client->channel != NULL &&
           now_ms < deadline_ms) {
        (void)wire_channel_wait(client->channel, deadline_ms - now_ms);
        now_ms = clock_monotonic_ms();
    }
    dns_query_cancel(query);
}

void dns_client_ask_blocking(struct dns_client *client, struct task *task, struct str name,
                             enum dns_type type, enum dns_service service, int64_t deadline_ms,
                             struct dns_answer *out)
{
    struct wait wait = {.task = task, .out = out};

    *out = (struct dns_answer){.status = DNS_FAILED};
    if (client->channel == NULL || clock_monotonic_ms() >= deadline_ms)
        return;
    wait.query = ask(client, name, type, service, on_waited_answer, &wait);
    wait_for(client, &wait.query, deadline_ms);
}

static struct dns_expected *find_expected(struct dns_waiting *waiting, struct str name,
                                          enum dns_type type)
{
    for (size_t i = 0; i < waiting->expected_count; i++) {
        struct dns_expected *expected = &waiting->expected[i];

        if (expected->type == type && str_equal_nocase(expected->name, name))
            return expected;
    }
    return NULL;
}

static void on_expected_answer(void *owner, struct task *task, const struct dns_answer *given)
{
    struct dns_expected *expected = owner;

    (void)task;
    expected->query = NULL;
    expected->answer = copy_answer(expected->task, given);
}

static void expect(void *owner, struct task *task, struct str name, enum dns_type type)
{
    struct dns_waiting *waiting = owner;
    struct dns_expected *expected = &waiting->expected[waiting->expected_count];

    if (waiting->expected_count == DNS_EXPECTED_MAX || waiting->client->channel == NULL ||
        find_expected(waiting, name, type) != NULL)
        return;
    *expected = (struct dns_expected){.task = task, .name = name, .type = type,
                                      .answer = {.status = DNS_FAILED}};
    expected->query =
        ask(waiting->client, name, type, waiting->service, on_expected_answer, expected);
    waiting->expected_count++;
}

static void ask_waiting(void *owner, struct task *task, struct str name, enum dns_type type,
                        struct dns_answer *out)
{
    struct dns_waiting *waiting = owner;
    struct dns_expected *expected = find_expected(waiting, name, type);

    if (expected != NULL) {
        wait_for(waiting->client, &expected->query, waiting->deadline_ms);
        *out = expected->answer;
        return;
    }
    dns_client_ask_blocking(waiting->client, task, name, type, waiting->service,
                            waiting->deadline_ms, out);
}

struct dns_source dns_waiting_source(struct dns_waiting *waiting)
{
    return (struct dns_source){.owner = waiting, .ask = ask_waiting, .expect = expect};
}

void dns_waiting_done(struct dns_waiting *waiting)
{
    for (size_t i = 0; i < waiting->expected_count; i++)
        dns_query_cancel(&waiting->expected[i].query);
    waiting->expected_count = 0;
}
