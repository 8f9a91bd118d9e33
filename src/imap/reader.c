#include "imap/reader.h"

#include "base/ascii.h"
#include "base/memory.h"

#include <string.h>

enum { KEEP_ROOM = 16 * 1024 };

void imap_reader_init(struct imap_reader *reader)
{
    memset(reader, 0, sizeof(*reader));
    buf_init(&reader->in, SIZE_MAX);
}

void imap_reader_free(struct imap_reader *reader)
{
    buf_free(&reader->in);
}

void imap_reader_add(struct imap_reader *reader, struct str bytes)
{
    if (reader->to_discard > 0 && reader->in.len == 0) {
        size_t len = bytes.len < reader->to_discard ? bytes.len : (size_t)reader->to_discard;

        reader->to_discard -= len;
        bytes = str_from(bytes, len);
    }
    buf_put(&reader->in, bytes);
}

/*
 * literal = "{" number ["+"] "}" CRLF at the end of the line's present part. Whether the brace
 * stands in a quoted string needs no look: a line cannot end inside one.
 */
static bool is_literal(struct str part, struct imap_literal *out)
{
    size_t end = part.len, digits;

    if (end == 0 || part.ptr[end - 1] != '}')
        return false;
    end--;
    out->is_waiting = true;
    if (end > 0 && part.ptr[end - 1] == '+') {
        out->is_waiting = false;
        end--;
    }
    digits = end;
    while (digits > 0 && ascii_is_digit(part.ptr[digits - 1]))
        digits--;
    if (digits == end || digits == 0 || part.ptr[digits - 1] != '{')
        return false;
    if (!parse_u64(str_from(str_upto(part, end), digits), &out->size))
        out->size = UINT64_MAX;
    return true;
}

enum imap_read imap_reader_next(struct imap_reader *reader, size_t line_max, bool is_raw,
                                struct str *out, struct imap_literal *out_literal)
{
    struct buf *in = &reader->in;
    const char *newline;
    size_t end;

    if (reader->to_discard > 0)
        return IMAP_READ_MORE;
    if (reader->literal_end > 0) {
        if (in->len < reader->literal_end)
            return IMAP_READ_MORE;
        reader->scanned = reader->part_start = reader->literal_end;
        reader->literal_end = 0;
    }
    newline = in->len == reader->scanned
                  ? NULL
                  : memchr(in->ptr + reader->scanned, '\n', in->len - reader->scanned);
    end = newline == NULL ? in->len : (size_t)(newline - in->ptr);
    if (end - reader->literal_bytes > line_max)
        return IMAP_READ_TOO_LONG;
    if (newline == NULL) {
        reader->scanned = in->len;
        return IMAP_READ_MORE;
    }
    reader->scanned = end + 1;
    if (end > reader->part_start && in->ptr[end - 1] == '\r')
        end--;
    *out = str_make(in->ptr, end);
    if (!is_raw && is_literal(str_from(*out, reader->part_start), out_literal))
        return IMAP_READ_LITERAL;
    return IMAP_READ_COMMAND;
}

void imap_reader_accept(struct imap_reader *reader, size_t size)
{
    reader->literal_end = reader->scanned + size;
    reader->literal_bytes += size;
}

void imap_reader_discard(struct imap_reader *reader, uint64_t size)
{
    size_t len;

    imap_reader_consume(reader);
    len = reader->in.len < size ? reader->in.len : (size_t)size;
    buf_consume(&reader->in, len);
    reader->to_discard = size - len;
}

/* Storage that a large literal left behind goes back. */
static void trim(struct buf *in)
{
    struct buf rest;

    if (in->len == 0) {
        buf_free(in);
        return;
    }
    if (in->room < KEEP_ROOM || in->len > in->room / 4)
        return;
    buf_init(&rest, SIZE_MAX);
    buf_put(&rest, buf_str(in));
    buf_free(in);
    *in = rest;
}

void imap_reader_consume(struct imap_reader *reader)
{
    mem_wipe(reader->in.ptr, reader->scanned);
    buf_consume(&reader->in, reader->scanned);
    reader->scanned = reader->part_start = reader->literal_end = reader->literal_bytes = 0;
    trim(&reader->in);
}

void imap_reader_drop(struct imap_reader *reader)
{
    imap_reader_free(reader);
    imap_reader_init(reader);
}
