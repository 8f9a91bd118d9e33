/* Records from another role: what decodes is encoded to the same bytes, and ages without harm. */
#include "dns/answer.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make(data, size);
    struct dns_answer answer, aged;
    struct buf again;
    struct task task;

    task_init(&task, 0);
    buf_init(&again, SIZE_MAX);
    buf_put(&again, bytes);
    dns_answer_age(&again, 7);
    assert(again.len == size);
    if (dns_answer_decode(&task, bytes, &answer) == ERR_OK) {
        assert(dns_answer_decode(&task, buf_str(&again), &aged) == ERR_OK);
        for (size_t i = 0; i < answer.count; i++)
            assert(aged.records[i].ttl_s ==
                   (answer.records[i].ttl_s > 7 ? answer.records[i].ttl_s - 7 : 0));
        buf_reset(&again);
        dns_answer_encode(&answer, &again);
        assert(str_equal(buf_str(&again), bytes));
    }
    buf_free(&again);
    task_done(&task);
    return 0;
}
