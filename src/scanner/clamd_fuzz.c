/* A reply of clamd's: a virus is found only where it says FOUND, and its name is one short word. */
#include "scanner/clamd.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size);
    struct clamd_reply reply;

    clamd_reply_parse(text, &reply);
    switch (reply.outcome) {
    case CLAMD_CLEAN:
        assert(str_equal(text, str_make("stream: OK", 11)));
        break;
    case CLAMD_VIRUS:
        assert(reply.name.len > 0 && reply.name.len <= CLAMD_NAME_MAX);
        assert(str_ends_with(text, str_make(" FOUND", 7)));
        for (size_t i = 0; i < reply.name.len; i++)
            assert(reply.name.ptr[i] > ' ' && reply.name.ptr[i] < 0x7f);
        break;
    case CLAMD_NOT_SCANNED:
        assert(reply.words != NULL);
        break;
    }
    return 0;
}
