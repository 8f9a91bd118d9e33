/* Stored structures are ours, but a damaged file may hold anything. */
#include "message/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_stored(str_make(data, size));
    return 0;
}
