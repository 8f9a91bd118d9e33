/* The first line is every key's record, the rest a message: no signature passes by accident. */
#include "mailauth/examine_fuzz.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str message = str_make(data, size), record = STR("");
    struct mailauth_verdict verdict;
    struct task task;

    task_init(&task, 0);
    (void)str_split(&message, '\n', &record);
    examine_fuzz(&task, message.ptr == NULL ? STR("") : message, record, &verdict);
    for (size_t i = 0; i < verdict.signature_count; i++) {
        enum mailauth_result result = verdict.signatures[i].result;

        assert(result == MAILAUTH_PASS || verdict.signatures[i].reason != NULL);
        assert(result != MAILAUTH_PASS || verdict.signatures[i].domain.len > 0);
        assert(result != MAILAUTH_NONE && result != MAILAUTH_SOFTFAIL);
    }
    task_done(&task);
    return 0;
}
