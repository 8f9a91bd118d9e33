/* Any bytes: a policy that parses, written as its meaning says, parses to the same. */
#include "courier/sts_policy.h"

#include "base/buf.h"

#include <assert.h>
#include <inttypes.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_policy(const struct courier_sts_policy *policy, struct buf *out)
{
    static const char *const modes[] = {"none", "testing", "enforce"};

    buf_putf(out, "version: STSv1\nmode: %s\nmax_age: %" PRIu64 "\n", modes[policy->mode],
             policy->max_age_s);
    for (size_t i = 0; i < policy->mx_count; i++) {
        buf_put(out, STR("mx: "));
        buf_put(out, policy->mx[i]);
        buf_put(out, STR("\n"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size), id;
    struct courier_sts_policy policy, again;
    struct buf written;
    struct task task;

    task_init(&task, 0);
    if (courier_sts_record_parse(text, &id))
        assert(id.len > 0 && id.len <= COURIER_STS_ID_MAX);
    if (courier_sts_policy_parse(&task, &task.arena, text, &policy) == ERR_OK) {
        buf_init(&written, SIZE_MAX);
        write_policy(&policy, &written);
        if (written.len <= COURIER_STS_TEXT_MAX) {
            assert(courier_sts_policy_parse(&task, &task.arena, buf_str(&written), &again) ==
                   ERR_OK);
            assert(again.mode == policy.mode && again.max_age_s == policy.max_age_s &&
                   again.mx_count == policy.mx_count);
            for (size_t i = 0; i < policy.mx_count; i++)
                assert(str_equal(again.mx[i], policy.mx[i]));
        }
        courier_sts_policy_has(&policy, text);
        buf_free(&written);
    }
    task_done(&task);
    return 0;
}
