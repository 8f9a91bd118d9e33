/* Any bytes: never a crash; what decodes has one encoding, the bytes themselves. */
#include "wire/channel.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_message message;
    struct buf again;
    enum err err;

    if (wire_decode(str_make(data, size), &message) != ERR_OK)
        return 0;
    buf_init(&again, WIRE_FRAME_MAX);
    err = wire_encode(message.type, message.tag, &message.body, &again);
    assert(err == ERR_OK);
    assert(str_equal(buf_str(&again), str_make(data, size)));
    buf_free(&again);
    return 0;
}
