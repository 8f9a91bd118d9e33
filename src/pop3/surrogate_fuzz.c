/*
 * Any header. Properties: the surrogate is ASCII and bounded, is a header as a whole (no empty
 * line, every line that was added is a field or goes on with one), and its own surrogate is itself.
 */
#include "pop3/surrogate.h"

#include "base/ascii.h"
#include "base/macros.h"
#include "message/header.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_fields(struct str header)
{
    struct header_field field;
    size_t position = 0, count = 0;

    while (header_field_next(header, &position, &field))
        count++;
    assert(position == header.len);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_free) struct buf first = {0};
    CLEANUP(buf_free) struct buf again = {0};
    struct str message = str_make(data, size), header;
    struct arena arena = {0};

    header = str_upto(message, pop3_surrogate_header_len(message));
    (void)pop3_surrogate_is_likely(message);
    buf_init(&first, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    if (pop3_surrogate_is_needed(header)) {
        pop3_surrogate_write(&arena, header, &first);
        for (size_t i = 0; i < first.len; i++)
            assert(!ascii_is_8bit(first.ptr[i]));
        assert(first.len <= header.len + POP3_SURROGATE_MAX);
        assert(count_fields(buf_str(&first)) <= count_fields(header));
        assert(!pop3_surrogate_is_needed(buf_str(&first)));
        pop3_surrogate_write(&arena, buf_str(&first), &again);
        assert(str_equal(buf_str(&first), buf_str(&again)));
    }
    arena_free(&arena);
    return 0;
}
