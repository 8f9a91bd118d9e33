/*
 * An answer to our question: the first bytes choose its type, flags and counts, the rest are its
 * records. What is accepted keeps the bounds of dns/answer.h, and travels between roles unchanged.
 */
#include "base/macros.h"
#include "dns/message.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const struct dns_record *a, const struct dns_record *b)
{
    assert(a->ttl_s == b->ttl_s && a->ttl_s <= DNS_TTL_MAX_S && a->preference == b->preference &&
           a->weight == b->weight && a->port == b->port && str_equal(a->name, b->name) &&
           str_equal(a->data, b->data));
    assert(a->name.len == 0 || a->name.ptr[a->name.len - 1] != '.');
}

static void check(struct task *task, const struct dns_reply *reply)
{
    struct dns_answer again;
    struct buf records;

    assert(reply->answer.count <= DNS_RECORDS_MAX);
    assert((reply->answer.status == DNS_OK && !reply->is_truncated) == (reply->answer.count > 0));
    assert(reply->ttl_s <= DNS_TTL_MAX_S);
    buf_init(&records, SIZE_MAX);
    dns_answer_encode(&reply->answer, &records);
    assert(dns_answer_decode(task, buf_str(&records), &again) == ERR_OK);
    assert(again.count == reply->answer.count);
    for (size_t i = 0; i < again.count; i++)
        check_record(&again.records[i], &reply->answer.records[i]);
    buf_free(&records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {
        DNS_TYPE_A,  DNS_TYPE_NS,  DNS_TYPE_CNAME, DNS_TYPE_SOA, DNS_TYPE_PTR,
        DNS_TYPE_MX, DNS_TYPE_TXT, DNS_TYPE_AAAA,  DNS_TYPE_SRV, DNS_TYPE_TLSA,
    };
    enum { HEAD = 6 };
    struct dns_reply reply;
    enum dns_type type;
    struct buf message;
    struct task task;

    if (size < HEAD)
        return 0;
    type = types[data[0] % ARRAY_LEN(types)];
    task_init(&task, 0);
    buf_init(&message, SIZE_MAX);
    /* Our question, turned into an answer to it; without the OPT at its end. */
    dns_message_query(&message, 0, STR("www.example.test"), type, false);
    buf_truncate(&message, message.len - 11);
    message.ptr[2] = (char)(0x80 | data[1]);
    message.ptr[3] = (char)data[2];
    message.ptr[7] = (char)data[3];
    message.ptr[9] = (char)data[4];
    message.ptr[11] = (char)data[5];
    buf_put(&message, str_make(data + HEAD, size - HEAD));
    if (dns_message_parse(&task, buf_str(&message), 0, STR("www.example.test"), type, &reply) ==
        ERR_OK)
        check(&task, &reply);
    buf_free(&message);
    /* And wholly foreign bytes. */
    task_forgive(&task);
    if (dns_message_parse(&task, str_make(data, size), 0, STR("a"), type, &reply) == ERR_OK)
        check(&task, &reply);
    task_done(&task);
    return 0;
}
