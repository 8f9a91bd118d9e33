/* Any bytes are a message; its rendering is JSON that jansson reads. The first byte chooses what is
 * asked for. */
#include "examiner/check_render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct render_request request = {.envelope = STR("{\"recipient\":\"a@b\",\"text\":1}")};
    json_t *whole;

    if (size == 0)
        return 0;
    request.message = str_make(data + 1, size - 1);
    request.with_raw = data[0] & 1;
    request.trace_len = request.message.len < data[0] ? 0 : data[0];
    whole = check_render(&request);
    json_decref(whole);
    return 0;
}
