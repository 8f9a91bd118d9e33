#include "pop3/reader.h"

#include "base/memory.h"
#include "pop3/session.h"

#include <string.h>

void pop3_reader_init(struct pop3_reader *reader)
{
    reader->scanned = 0;
    buf_init(&reader->in, SIZE_MAX);
}

void pop3_reader_add(struct pop3_reader *reader, struct str bytes)
{
    buf_put(&reader->in, bytes);
}

enum pop3_read pop3_reader_next(struct pop3_reader *reader, struct str *out)
{
    struct buf *in = &reader->in;
    const char *newline = NULL;
    size_t end;

    if (in->len > reader->scanned)
        newline = memchr(in->ptr + reader->scanned, '\n', in->len - reader->scanned);
    end = newline == NULL ? in->len : (size_t)(newline - in->ptr);
    if (end > POP3_LINE_MAX)
        return POP3_READ_TOO_LONG;
    if (newline == NULL) {
        reader->scanned = in->len;
        return POP3_READ_MORE;
    }
    reader->scanned = end + 1;
    if (end > 0 && in->ptr[end - 1] == '\r')
        end--;
    *out = str_make(in->ptr, end);
    return POP3_READ_LINE;
}

void pop3_reader_consume(struct pop3_reader *reader)
{
    mem_wipe(reader->in.ptr, reader->scanned);
    buf_consume(&reader->in, reader->scanned);
    reader->scanned = 0;
    /* The storage goes as soon as the client waits. */
    if (reader->in.len == 0)
        buf_free(&reader->in);
}

void pop3_reader_drop(struct pop3_reader *reader)
{
    buf_free(&reader->in);
    reader->scanned = 0;
}
