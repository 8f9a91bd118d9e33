/* Any bytes are a message. */
#include "message/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_message(str_make(data, size));
    return 0;
}
