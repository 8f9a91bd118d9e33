/* Whatever comes with QUEUE: no crash, and a route that was taken reads again as it is stored. */
#include "courier/envelope.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope envelope;
    struct task task;

    task_init(&task, 0);
    if (envelope_parse(&task, str_make(data, size), &envelope) == ERR_OK) {
        assert(envelope.recipient_count > 0);
        for (size_t i = 0; i < envelope.recipient_count; i++) {
            const struct envelope_recipient *recipient = &envelope.recipients[i];

            assert(recipient->address.len > 0);
            for (size_t n = 0; n < recipient->route_count; n++) {
                struct envelope_route again;

                assert(envelope_route_parse(&task, recipient->routes[n].json, &again) == ERR_OK);
                assert(str_equal(again.json, recipient->routes[n].json));
            }
        }
    }
    task_done(&task);
    return 0;
}
