#include "courier/trace.h"

#include "message/header.h"

struct str trace_without_return_path(struct str message)
{
    struct header_field field;
    size_t position = 0;

    if (header_field_next(message, &position, &field) &&
        str_equal_nocase(field.name, STR("Return-Path")))
        return str_from(message, position);
    return message;
}

void trace_put_received(struct buf *out, struct str trace)
{
    struct header_field field;
    size_t position = 0;

    while (header_field_next(trace, &position, &field)) {
        if (str_equal_nocase(field.name, STR("Received")))
            buf_put(out, field.whole);
    }
}

bool trace_field(struct str message, struct str name, struct str *out_value)
{
    struct header_field field;
    size_t position = 0;

    while (header_field_next(message, &position, &field)) {
        if (str_equal_nocase(field.name, name)) {
            *out_value = str_trim(field.value);
            return true;
        }
    }
    return false;
}

bool trace_was_delivered_to(struct str message, struct str address)
{
    struct header_field field;
    size_t position = 0;

    while (header_field_next(message, &position, &field)) {
        if (str_equal_nocase(field.name, STR("Delivered-To")) &&
            str_equal_nocase(str_trim(field.value), address))
            return true;
    }
    return false;
}

struct str trace_header(struct str message)
{
    struct header_field field;
    size_t position = 0;

    while (header_field_next(message, &position, &field))
        continue;
    /* `position` is where the empty line starts, or the end. */
    if (str_starts_with(str_from(message, position), STR("\r\n")))
        position += 2;
    else if (str_starts_with(str_from(message, position), STR("\n")))
        position += 1;
    return str_upto(message, position);
}
