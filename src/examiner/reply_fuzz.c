/* A sender, a line end, a header. What says so anywhere in the header keeps any message from being
 * answered, whatever stands before it. */
#include "examiner/reply.h"

#include "base/buf.h"
#include "message/header.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size), sender = STR("");
    struct arena arena = {NULL};
    struct header_field field;
    struct buf header;
    size_t position = 0;

    (void)str_split(&rest, '\n', &sender);
    if (rest.ptr == NULL)
        rest = STR("");
    (void)examiner_may_reply(&arena, sender, rest);
    buf_init(&header, SIZE_MAX);
    while (header_field_next(rest, &position, &field))
        continue;
    buf_put(&header, str_upto(rest, position));
    if (header.len > 0 && header.ptr[header.len - 1] != '\n')
        buf_put(&header, STR("x\n")); /* not alone: a CR before it would make an empty line */
    buf_put(&header, STR("List-Id: <x>\r\n\r\n"));
    assert(!examiner_may_reply(&arena, STR("anna@example.org"), buf_str(&header)));
    buf_free(&header);
    arena_free(&arena);
    return 0;
}
