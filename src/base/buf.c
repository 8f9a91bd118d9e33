#include "base/buf.h"

#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

void buf_init(struct buf *buf, size_t limit_bytes)
{
    *buf = (struct buf){.limit = limit_bytes};
}

void buf_free(struct buf *buf)
{
    free(buf->start);
    *buf = (struct buf){.limit = buf->limit};
}

void buf_reset(struct buf *buf)
{
    if (buf->start != NULL)
        mem_wipe(buf->start, (size_t)(buf->ptr - buf->start) + buf->len);
    buf->ptr = buf->start;
    buf->len = 0;
}

static size_t consumed(const struct buf *buf)
{
    return buf->start == NULL ? 0 : (size_t)(buf->ptr - buf->start);
}

/* A larger storage. */
static void grow(struct buf *buf, size_t len)
{
    size_t room = buf->room < FIRST_ROOM ? FIRST_ROOM : buf->room * 2;
    char *storage;

    if (room < buf->len + len)
        room = buf->len + len;
    storage = mem_room(room);
    if (buf->len > 0)
        memcpy(storage, buf->ptr, buf->len);
    free(buf->start);
    buf->start = buf->ptr = storage;
    buf->room = room;
}

enum err buf_reserve(struct buf *buf, size_t len, char **out_room)
{
    if (len > buf->limit - (buf->len < buf->limit ? buf->len : buf->limit))
        return ERR_LIMIT;
    if (buf->room - consumed(buf) - buf->len < len) {
        /* Move to the front only when that frees at least as much as it copies. */
        if (buf->room - buf->len >= len && consumed(buf) >= buf->len) {
            if (buf->len > 0)
                memmove(buf->start, buf->ptr, buf->len);
            buf->ptr = buf->start;
        } else {
            grow(buf, len);
        }
    }
    if (buf->start == NULL)
        grow(buf, len);
    *out_room = buf->ptr + buf->len;
    return ERR_OK;
}

void buf_commit(struct buf *buf, size_t len)
{
    assert(consumed(buf) + buf->len + len <= buf->room);
    buf->len += len;
}

enum err buf_append(struct buf *buf, struct str bytes)
{
    char *room;

    if (bytes.len == 0)
        return ERR_OK;
    if (buf_reserve(buf, bytes.len, &room) != ERR_OK)
        return ERR_LIMIT;
    memcpy(room, bytes.ptr, bytes.len);
    buf_commit(buf, bytes.len);
    return ERR_OK;
}

enum err buf_append_byte(struct buf *buf, char byte)
{
    return buf_append(buf, str_make(&byte, 1));
}

enum err buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    char *room;
    int len;

    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    assert(len >= 0);
    /* One more for the terminator that vsnprintf writes and we do not count. */
    if ((size_t)len > buf->limit - (buf->len < buf->limit ? buf->len : buf->limit))
        return ERR_LIMIT;
    if (buf->room - consumed(buf) - buf->len < (size_t)len + 1)
        grow(buf, (size_t)len + 1);
    room = buf->ptr + buf->len;
    vsnprintf(room, (size_t)len + 1, format, args);
    buf_commit(buf, (size_t)len);
    return ERR_OK;
}

enum err buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    enum err err;

    va_start(args, format);
    err = buf_vprintf(buf, format, args);
    va_end(args);
    return err;
}

void buf_put_growing(struct buf *buf, struct str bytes)
{
    if (buf_append(buf, bytes) != ERR_OK)
        abort();
}

void buf_putf(struct buf *buf, const char *format, ...)
{
    va_list args;
    enum err err;

    va_start(args, format);
    err = buf_vprintf(buf, format, args);
    va_end(args);
    if (err != ERR_OK)
        abort();
}

void buf_consume(struct buf *buf, size_t len)
{
    if (len > buf->len)
        len = buf->len;
    if (len == 0)
        return;
    buf->ptr += len;
    buf->len -= len;
    if (buf->len == 0)
        buf->ptr = buf->start;
}

void buf_truncate(struct buf *buf, size_t len)
{
    if (len < buf->len)
        buf->len = len;
}
