/*
 * Any header. Properties: the surrogate is ASCII and bounded, is a header as a whole (no empty
 * line, every line that was added is a field or goes on with one), and its own surrogate is itself.
 * As if it were a long one, with the limit anywhere: both of its parts are ASCII, the second has
 * the same fields as before however it is cut, and the body stays.
 */
#include "pop3/surrogate.h"

#include "base/macros.h"
#include "message/header.h"

#include <assert.h>
#include <stdbool.h>
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

static void mask_in_pieces(struct str bytes, size_t piece, struct buf *out)
{
    struct pop3_surrogate_rest rest;

    buf_put(out, bytes);
    pop3_surrogate_rest_init(&rest);
    for (size_t at = 0; at < out->len; at += piece)
        pop3_surrogate_rest_mask(&rest, out->ptr + at,
                                 out->len - at < piece ? out->len - at : piece);
}

static void check_long(struct arena *arena, struct str message, size_t max, size_t piece)
{
    CLEANUP(buf_free) struct buf first = {0};
    CLEANUP(buf_free) struct buf rest = {0};
    CLEANUP(buf_free) struct buf again = {0};
    size_t header_len = pop3_surrogate_header_len(message);
    size_t len = pop3_surrogate_fields_len(message, max);

    buf_init(&first, SIZE_MAX);
    buf_init(&rest, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    assert(len <= max && len <= header_len);
    pop3_surrogate_write(arena, str_upto(message, len), &first);
    assert(str_is_ascii(buf_str(&first)));
    assert(count_fields(buf_str(&first)) <= count_fields(str_upto(message, len)));
    mask_in_pieces(str_from(message, len), message.len + 1, &rest);
    mask_in_pieces(str_from(message, len), piece, &again);
    assert(str_equal(buf_str(&rest), buf_str(&again)));
    header_len -= len;
    assert(pop3_surrogate_header_len(buf_str(&rest)) == header_len);
    assert(str_is_ascii(str_upto(buf_str(&rest), header_len)));
    assert(str_equal(str_from(buf_str(&rest), header_len), str_from(message, len + header_len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_free) struct buf first = {0};
    CLEANUP(buf_free) struct buf again = {0};
    struct str message = str_make(data, size), header;
    struct arena arena = {0};
    struct header_field field;
    size_t position = 0;

    header = str_upto(message, pop3_surrogate_header_len(message));
    while (header_field_next(message, &position, &field))
        continue;
    assert(position == header.len);
    (void)pop3_surrogate_is_likely(message);
    if (header.len <= POP3_SURROGATE_HEADER_MAX && pop3_surrogate_is_ruled_out(message))
        assert(!pop3_surrogate_is_needed(header));
    buf_init(&first, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    if (size > 0)
        check_long(&arena, message, data[size - 1], (size_t)data[size - 1] % 7 + 1);
    if (header.len <= POP3_SURROGATE_HEADER_MAX && pop3_surrogate_is_needed(header)) {
        pop3_surrogate_write(&arena, header, &first);
        assert(str_is_ascii(buf_str(&first)));
        assert(first.len <= header.len + POP3_SURROGATE_MAX);
        assert(count_fields(buf_str(&first)) <= count_fields(header));
        assert(!pop3_surrogate_is_needed(buf_str(&first)));
        pop3_surrogate_write(&arena, buf_str(&first), &again);
        assert(str_equal(buf_str(&first), buf_str(&again)));
    }
    arena_free(&arena);
    return 0;
}
