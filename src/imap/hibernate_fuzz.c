/* A sleeping session's state from any bytes: what reads has one spelling, the one that it came in.
 */
#include "imap/hibernate.h"

#include "base/macros.h"

#include <assert.h>
#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_free) struct buf again;
    struct str text = str_make((const char *)data, size);
    struct imap_hibernated state;
    struct task task;

    buf_init(&again, SIZE_MAX);
    task_init(&task, 0);
    if (imap_hibernated_read(text, &task, &state) == ERR_OK) {
        imap_hibernated_write(&state, &again);
        assert(str_equal(buf_str(&again), text));
        assert(state.recent_count <= IMAP_HIBERNATED_RANGES_MAX);
    }
    task_done(&task);
    return 0;
}
