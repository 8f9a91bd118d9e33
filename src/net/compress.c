#include "net/compress.h"

#include "base/memory.h"
#include "base/task.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    /* 64 KiB for a connection instead of 256, for a few per cent of the size. */
    DEFLATE_WINDOW_BITS = 13,
    DEFLATE_MEMORY_LEVEL = 6,
    INFLATE_WINDOW_BITS = 15, /* the peer chooses: the largest */
    DEFLATE_ROOM = 16 * 1024,
    /* zlib's data_type behind inflate(): how many bits of the last byte are left, and where it is.
     */
    BITS_LEFT = 7,
    IN_LAST_BLOCK = 64,
    BETWEEN_BLOCKS = 128,
    WINDOW_MAX = 1 << INFLATE_WINDOW_BITS,
    BEGUN_MAX = 8,
    SAVED_HEAD = 3, /* bits_left, bits, begun_len; then begun, and the window */
};

struct net_compress {
    z_stream deflating, inflating;
    struct buf waiting; /* from the peer, not inflated yet */
    bool is_full;       /* the last piece was: more may come without input */
    unsigned char last; /* byte that was inflated */
    /* Of the last end of a block: the bits of its last byte that were left. And what came since, as
     * long as nothing was said with it: a flush within a byte leaves an empty block unfinished. */
    unsigned char bits, bits_left;
    unsigned char begun[BEGUN_MAX];
    size_t begun_len;
    bool has_said; /* something was, or more came: it cannot be saved */
    unsigned char piece[NET_COMPRESS_PIECE];
};

struct net_compress *net_compress_new(void)
{
    struct net_compress *compress = NEW(struct net_compress);

    buf_init(&compress->waiting, SIZE_MAX);
    /* Negative: raw DEFLATE, no header and no checksum (RFC 4978 §4). */
    if (deflateInit2(&compress->deflating, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -DEFLATE_WINDOW_BITS,
                     DEFLATE_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK ||
        inflateInit2(&compress->inflating, -INFLATE_WINDOW_BITS) != Z_OK)
        abort(); /* out of memory */
    return compress;
}

void net_compress_free(struct net_compress **compress)
{
    struct net_compress *gone = *compress;

    if (gone == NULL)
        return;
    deflateEnd(&gone->deflating);
    inflateEnd(&gone->inflating);
    buf_free(&gone->waiting);
    mem_wipe(gone, sizeof(*gone));
    mem_free(compress);
}

void net_compress_deflate(struct net_compress *compress, struct str plain, struct buf *out)
{
    z_stream *stream = &compress->deflating;

    while (plain.len > 0) {
        struct str part = str_upto(plain, INT_MAX);
        char *room;

        plain = str_from(plain, part.len);
        stream->next_in = (unsigned char *)(uintptr_t)part.ptr; /* zlib does not write there */
        stream->avail_in = (unsigned)part.len;
        do {
            if (buf_reserve(out, DEFLATE_ROOM, &room) != ERR_OK)
                abort();
            stream->next_out = (unsigned char *)room;
            stream->avail_out = DEFLATE_ROOM;
            if (deflate(stream, plain.len == 0 ? Z_SYNC_FLUSH : Z_NO_FLUSH) == Z_STREAM_ERROR)
                abort();
            buf_commit(out, DEFLATE_ROOM - stream->avail_out);
        } while (stream->avail_out == 0);
        assert(stream->avail_in == 0);
    }
}

void net_compress_feed(struct net_compress *compress, struct str bytes)
{
    buf_put(&compress->waiting, bytes);
}

bool net_compress_has_more(const struct net_compress *compress)
{
    return compress->waiting.len > 0 || compress->is_full;
}

/* What `inflate` made of `taken` bytes, of which the last is in front of next_in. */
static void note_place(struct net_compress *compress, size_t taken, bool has_said)
{
    const z_stream *stream = &compress->inflating;

    if (taken > 0)
        compress->last = stream->next_in[-1];
    if ((stream->data_type & (BETWEEN_BLOCKS | IN_LAST_BLOCK)) == BETWEEN_BLOCKS) {
        compress->bits_left = (unsigned char)(stream->data_type & BITS_LEFT);
        compress->bits = (unsigned char)(compress->last >> (8 - compress->bits_left));
        compress->begun_len = 0;
        compress->has_said = false;
        return;
    }
    compress->has_said |= has_said || taken > BEGUN_MAX - compress->begun_len;
    if (compress->has_said || taken == 0)
        return;
    memcpy(compress->begun + compress->begun_len, stream->next_in - taken, taken);
    compress->begun_len += taken;
}

/* A block at a time. */
static int inflate_blocks(struct net_compress *compress)
{
    z_stream *stream = &compress->inflating;
    int status;

    do {
        unsigned in_before = stream->avail_in, out_before = stream->avail_out;

        status = inflate(stream, Z_BLOCK);
        note_place(compress, in_before - stream->avail_in, out_before != stream->avail_out);
        if ((stream->data_type & BETWEEN_BLOCKS) != 0 && (stream->data_type & IN_LAST_BLOCK) != 0)
            return Z_STREAM_END; /* which inflate() says when it is called again */
    } while (status == Z_OK && stream->avail_in > 0 && stream->avail_out > 0);
    return status;
}

enum err net_compress_inflate(struct net_compress *compress, struct str *out_plain)
{
    z_stream *stream = &compress->inflating;
    struct str waiting = str_upto(buf_str(&compress->waiting), INT_MAX);
    int status;

    *out_plain = (struct str){NULL, 0};
    if (!net_compress_has_more(compress))
        return ERR_OK;
    stream->next_in = (unsigned char *)(uintptr_t)waiting.ptr;
    stream->avail_in = (unsigned)waiting.len;
    stream->next_out = compress->piece;
    stream->avail_out = sizeof(compress->piece);
    status = inflate_blocks(compress);
    if (status != Z_OK && status != Z_BUF_ERROR) /* the latter: it could do nothing more */
        return ERR_INVALID;
    buf_consume(&compress->waiting, waiting.len - stream->avail_in);
    if (compress->waiting.len == 0)
        buf_free(&compress->waiting);
    compress->is_full = stream->avail_out == 0;
    *out_plain = str_make(compress->piece, sizeof(compress->piece) - stream->avail_out);
    return ERR_OK;
}

/* ---- Going on elsewhere ---- */

bool net_compress_can_save(const struct net_compress *compress)
{
    return !net_compress_has_more(compress) && !compress->has_said;
}

void net_compress_save(const struct net_compress *compress, struct buf *out)
{
    z_stream *stream = (z_stream *)(uintptr_t)&compress->inflating; /* zlib only reads it */
    unsigned char window[WINDOW_MAX];
    unsigned window_len = sizeof(window);
    const unsigned char head[SAVED_HEAD] = {compress->bits_left, compress->bits,
                                            (unsigned char)compress->begun_len};
    uLongf len = NET_COMPRESS_SAVED_MAX - SAVED_HEAD - BEGUN_MAX;
    char *room;

    assert(net_compress_can_save(compress) && compressBound(WINDOW_MAX) <= len);
    buf_put(out, str_make(head, sizeof(head)));
    buf_put(out, str_make(compress->begun, compress->begun_len));
    if (buf_reserve(out, len, &room) != ERR_OK ||
        inflateGetDictionary(stream, window, &window_len) != Z_OK ||
        compress2((unsigned char *)room, &len, window, window_len, Z_DEFAULT_COMPRESSION) != Z_OK)
        abort(); /* out of memory */
    buf_commit(out, len);
    mem_wipe(window, sizeof(window));
}

/* The window, the bits, and what had begun: as if all had been inflated here. */
static enum err restore_inflating(struct net_compress *compress, const unsigned char *head,
                                  struct str begun, struct str packed)
{
    z_stream *stream = &compress->inflating;
    unsigned char window[WINDOW_MAX];
    uLongf len = sizeof(window);
    struct str plain;
    enum err err = ERR_INVALID;

    if (uncompress(window, &len, (const unsigned char *)packed.ptr, packed.len) == Z_OK &&
        (len == 0 || inflateSetDictionary(stream, window, (unsigned)len) == Z_OK) &&
        (head[0] == 0 || inflatePrime(stream, head[0], head[1]) == Z_OK))
        err = ERR_OK;
    mem_wipe(window, sizeof(window));
    TRY(err);
    compress->bits_left = head[0];
    compress->bits = head[1];
    compress->last = (unsigned char)(head[1] << (8 - head[0]));
    net_compress_feed(compress, begun);
    TRY(net_compress_inflate(compress, &plain));
    return plain.len == 0 && net_compress_can_save(compress) ? ERR_OK : ERR_INVALID;
}

enum err net_compress_restore(struct str saved, struct net_compress **out)
{
    unsigned char head[SAVED_HEAD];
    struct net_compress *compress;
    struct str begun;
    enum err err;

    if (saved.len < SAVED_HEAD)
        return ERR_INVALID;
    memcpy(head, saved.ptr, sizeof(head));
    saved = str_from(saved, SAVED_HEAD);
    if (head[0] > BITS_LEFT || head[1] >> head[0] != 0 || head[2] > BEGUN_MAX ||
        head[2] > saved.len)
        return ERR_INVALID;
    begun = str_upto(saved, head[2]);
    compress = net_compress_new();
    err = restore_inflating(compress, head, begun, str_from(saved, begun.len));
    if (err == ERR_OK)
        *out = compress;
    else
        net_compress_free(&compress);
    return err;
}
