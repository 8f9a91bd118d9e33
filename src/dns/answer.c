/*
 * One record after the other, all numbers big-endian:
 *
 *   ttl (4)  preference (2)  weight (2)  port (2)  name length (1)  name  data length (2)  data
 */
#include "dns/answer.h"

#include <assert.h>
#include <string.h>

enum { FIXED_BYTES = 4 + 2 + 2 + 2 };

/* A cursor over bytes; `is_bad` once it was asked for more than there are. */
struct cursor {
    struct str rest;
    bool is_bad;
};

static struct str take(struct cursor *cursor, size_t len)
{
    struct str part = str_upto(cursor->rest, len);

    if (part.len < len)
        cursor->is_bad = true;
    cursor->rest = str_from(cursor->rest, len);
    return part;
}

static uint32_t take_number(struct cursor *cursor, size_t len)
{
    struct str bytes = take(cursor, len);
    uint32_t value = 0;

    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | (unsigned char)bytes.ptr[i];
    return value;
}

static void put_number(struct buf *out, uint32_t value, size_t len)
{
    char bytes[4];

    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(value >> (8 * (len - 1 - i)));
    buf_put(out, str_make(bytes, len));
}

void dns_answer_encode(const struct dns_answer *answer, struct buf *out)
{
    assert(answer->count <= DNS_RECORDS_MAX);
    for (size_t i = 0; i < answer->count; i++) {
        const struct dns_record *record = &answer->records[i];

        assert(record->name.len <= DNS_NAME_MAX && record->data.len <= UINT16_MAX);
        put_number(out, record->ttl_s, 4);
        put_number(out, record->preference, 2);
        put_number(out, record->weight, 2);
        put_number(out, record->port, 2);
        put_number(out, (uint32_t)record->name.len, 1);
        buf_put(out, record->name);
        put_number(out, (uint32_t)record->data.len, 2);
        buf_put(out, record->data);
    }
}

static void take_record(struct cursor *cursor, struct dns_record *out)
{
    out->ttl_s = take_number(cursor, 4);
    out->preference = (uint16_t)take_number(cursor, 2);
    out->weight = (uint16_t)take_number(cursor, 2);
    out->port = (uint16_t)take_number(cursor, 2);
    out->name = take(cursor, take_number(cursor, 1));
    out->data = take(cursor, take_number(cursor, 2));
    if (out->name.len > DNS_NAME_MAX)
        cursor->is_bad = true;
}

enum err dns_answer_decode(struct task *task, struct str bytes, struct dns_answer *out)
{
    struct cursor counting = {bytes, false}, cursor = {bytes, false};
    struct dns_record record;
    size_t count = 0;

    while (counting.rest.len > 0 && !counting.is_bad && count <= DNS_RECORDS_MAX) {
        take_record(&counting, &record);
        count++;
    }
    if (counting.is_bad || count > DNS_RECORDS_MAX)
        return fail(task, ERR_CORRUPT, "malformed DNS records");
    out->records = ARENA_ARRAY(&task->arena, struct dns_record, count > 0 ? count : 1);
    out->count = count;
    for (size_t i = 0; i < count; i++)
        take_record(&cursor, &out->records[i]);
    return ERR_OK;
}

void dns_answer_age(struct buf *records, uint32_t age_s)
{
    size_t at = 0;

    while (at + FIXED_BYTES < records->len) {
        struct cursor cursor = {str_from(buf_str(records), at), false};
        struct dns_record record;
        uint32_t left;

        take_record(&cursor, &record);
        if (cursor.is_bad)
            return;
        left = record.ttl_s > age_s ? record.ttl_s - age_s : 0;
        for (size_t i = 0; i < 4; i++)
            records->ptr[at + i] = (char)(left >> (8 * (3 - i)));
        at = records->len - cursor.rest.len;
    }
}
