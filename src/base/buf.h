/*
 * A growing byte buffer with a limit. It may be consumed from the front, so it also serves as a
 * queue of input or output bytes. Growth is geometric. What is freed or outgrown is wiped by
 * free(), once (base/wipe.c).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *ptr;  /* own; the first byte that was not consumed */
    size_t len; /* bytes from ptr on */
    /* private */
    char *start;
    size_t room;  /* allocated from start */
    size_t limit; /* the most that `len` may become */
};

/* An empty buffer; allocates nothing. `limit_bytes` SIZE_MAX means what memory allows. */
void buf_init(struct buf *buf, size_t limit_bytes);
void buf_free(struct buf *buf);
/* Empties; keeps and wipes the storage. */
void buf_reset(struct buf *buf);

/* All appends: ERR_LIMIT when the limit would be passed; the buffer is unchanged then. */
MUST_CHECK enum err buf_append(struct buf *buf, struct str bytes);
MUST_CHECK enum err buf_append_byte(struct buf *buf, char byte);
MUST_CHECK enum err buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
MUST_CHECK enum err buf_vprintf(struct buf *buf, const char *format, va_list args)
    PRINTF_LIKE(2, 0);
/* Room for `len` more bytes at *out_room, to be followed by buf_commit with what was filled. */
MUST_CHECK enum err buf_reserve(struct buf *buf, size_t len, char **out_room);
void buf_commit(struct buf *buf, size_t len);

/* For buffers whose limit cannot be reached (SIZE_MAX, or proven): aborts instead of failing. */
static inline void buf_put(struct buf *buf, struct str bytes);
void buf_putf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Takes `len` bytes off the front (at most all). */
void buf_consume(struct buf *buf, size_t len);
/* Cuts to `len` bytes (at most all). */
void buf_truncate(struct buf *buf, size_t len);
/* A view that holds until the next change. */
static inline struct str buf_str(const struct buf *buf);

/* private: where there is no room yet */
void buf_put_growing(struct buf *buf, struct str bytes);

/* Answers are put together from many short pieces: those are copied in place. */
static inline void buf_put(struct buf *buf, struct str bytes)
{
    if (buf->start == NULL || bytes.len == 0 || buf->len > buf->limit ||
        bytes.len > buf->limit - buf->len ||
        bytes.len > buf->room - (size_t)(buf->ptr - buf->start) - buf->len) {
        buf_put_growing(buf, bytes);
        return;
    }
    memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
    buf->len += bytes.len;
}

static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->ptr, buf->len};
}

#endif
