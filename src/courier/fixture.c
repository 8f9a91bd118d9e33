#include "courier/fixture.h"

#include "base/encode.h"
#include "base/memory.h"

#include <stdlib.h>
#include <sys/socket.h>

enum { TTL_S = 300, ANSWER_MAX = 32 };

struct fixture {
    const struct fixture_record *records;
    size_t count, asked;
    struct log log;
    struct wire_channel *near, *far;
    struct dns_client *client;
};

/* The bytes of a record; in the arena. */
static void fill(struct arena *arena, const struct fixture_record *from, struct dns_record *to)
{
    struct ip_address address;
    struct buf bytes;

    to->ttl_s = TTL_S;
    to->preference = from->preference;
    buf_init(&bytes, SIZE_MAX);
    switch (from->type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        if (!ip_address_parse(str_from_c(from->data), &address))
            abort();
        buf_put(&bytes, str_make(address.bytes, address.is_v6 ? 16 : 4));
        break;
    case DNS_TYPE_TLSA:
        if (decode_hex(&bytes, str_from_c(from->data)) != ERR_OK)
            abort();
        break;
    case DNS_TYPE_TXT:
        buf_put(&bytes, str_from_c(from->data));
        break;
    case DNS_TYPE_NS:
    case DNS_TYPE_CNAME:
    case DNS_TYPE_SOA:
    case DNS_TYPE_PTR:
    case DNS_TYPE_MX:
    case DNS_TYPE_SRV:
        to->name = str_from_c(from->data);
        break;
    }
    to->data = arena_copy(arena, buf_str(&bytes));
    buf_free(&bytes);
}

static void find(struct fixture *fixture, struct task *task, const struct wire_dns_query *query,
                 struct dns_answer *out)
{
    *out = (struct dns_answer){.status = DNS_NO_NAME,
                               .records = ARENA_ARRAY(&task->arena, struct dns_record, ANSWER_MAX)};
    for (size_t i = 0; i < fixture->count; i++) {
        const struct fixture_record *record = &fixture->records[i];

        if (!str_equal_nocase(str_from_c(record->name), query->name))
            continue;
        if (out->status == DNS_NO_NAME)
            out->status = DNS_NO_DATA;
        if (out->count == 0)
            out->is_secure = record->is_secure;
        if ((uint64_t)record->type != query->type)
            continue;
        out->is_secure = record->is_secure;
        out->status = record->status;
        if (record->status != DNS_OK)
            return;
        fill(&task->arena, record, &out->records[out->count++]);
    }
}

static void on_question(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct fixture *fixture = owner;
    struct dns_answer answer;
    struct wire_dns_answer body;
    struct buf records;
    struct task task;

    fixture->asked++;
    task_init(&task, 0);
    buf_init(&records, SIZE_MAX);
    find(fixture, &task, &message->body.dns_query, &answer);
    dns_answer_encode(&answer, &records);
    body = (struct wire_dns_answer){
        .status = answer.status, .is_secure = answer.is_secure, .records = buf_str(&records)};
    if (wire_send(channel, WIRE_DNS_ANSWER, message->tag, &body, NULL, 0) != ERR_OK)
        abort();
    buf_free(&records);
    task_done(&task);
}

static void on_answer(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct fixture *fixture = owner;

    (void)channel;
    dns_client_message(fixture->client, message);
}

static void on_gone(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
    abort();
}

static const struct wire_channel_events far_events = {on_question, on_gone};
static const struct wire_channel_events near_events = {on_answer, on_gone};

struct fixture *fixture_new(struct net_loop *loop, const struct fixture_record *records,
                            size_t count)
{
    struct fixture *fixture = NEW(struct fixture);
    int fds[2];

    fixture->records = records;
    fixture->count = count;
    fixture->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        abort();
    fixture->near = wire_channel_new(loop, fds[0], WIRE_ROLE_COURIER, WIRE_ROLE_RESOLVER,
                                     &near_events, fixture, &fixture->log);
    fixture->far = wire_channel_new(loop, fds[1], WIRE_ROLE_RESOLVER, WIRE_ROLE_COURIER,
                                    &far_events, fixture, &fixture->log);
    fixture->client = dns_client_new(loop);
    dns_client_set_peer(fixture->client, fixture->near);
    return fixture;
}

void fixture_free(struct fixture **fixture)
{
    dns_client_free(&(*fixture)->client);
    wire_channel_free(&(*fixture)->near);
    wire_channel_free(&(*fixture)->far);
    mem_free(fixture);
}

struct dns_client *fixture_dns(struct fixture *fixture)
{
    return fixture->client;
}

size_t fixture_asked(const struct fixture *fixture)
{
    return fixture->asked;
}
