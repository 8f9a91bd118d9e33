/* Messages with chains, all keys being that of the seeds: a chain passes only when its sets are
 * whole. */
#include "mailauth/examine_fuzz.h"

#include <assert.h>

static const struct str record =
    STR_INIT("v=DKIM1; k=rsa; "
             "p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bd"
             "OKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/"
             "8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYL"
             "zBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str message = str_make(data, size);
    struct mailauth_verdict verdict;
    struct task task;

    task_init(&task, 0);
    examine_fuzz(&task, message, record, &verdict);
    if (verdict.arc == MAILAUTH_PASS) {
        assert(verdict.arc_domain.len > 0);
        assert(str_find(message, STR("cv")) >= 0);
    }
    task_done(&task);
    return 0;
}
