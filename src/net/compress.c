#include "net/compress.h"

#include "base/memory.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
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
    SAVED_HEAD = 2, /* how many bits are left; they */
    WINDOW_MAX = 1 << INFLATE_WINDOW_BITS,
};

struct net_compress {
    z_stream deflating, inflating;
    struct buf waiting; /* from the peer, not inflated yet */
    bool is_full;       /* the last piece was: more may come without input */
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
    status = inflate(stream, Z_SYNC_FLUSH);
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
    const z_stream *stream = &compress->inflating;
    int where = stream->data_type & (BITS_LEFT | IN_LAST_BLOCK | BETWEEN_BLOCKS);

    return !net_compress_has_more(compress) && (stream->total_in == 0 || where == BETWEEN_BLOCKS);
}

void net_compress_save(const struct net_compress *compress, struct buf *out)
{
    z_stream *stream = (z_stream *)(uintptr_t)&compress->inflating; /* zlib only reads it */
    unsigned char window[WINDOW_MAX];
    unsigned window_len = sizeof(window);
    uLongf len = NET_COMPRESS_SAVED_MAX;
    char *room;

    assert(net_compress_can_save(compress) && compressBound(WINDOW_MAX) <= len);
    if (buf_reserve(out, len, &room) != ERR_OK ||
        inflateGetDictionary(stream, window, &window_len) != Z_OK ||
        compress2((unsigned char *)room, &len, window, window_len, Z_DEFAULT_COMPRESSION) != Z_OK)
        abort(); /* out of memory */
    buf_commit(out, len);
    mem_wipe(window, sizeof(window));
}

enum err net_compress_restore(struct str saved, struct net_compress **out)
{
    struct net_compress *compress;
    unsigned char window[WINDOW_MAX];
    uLongf len = sizeof(window);

    enum err err = ERR_INVALID;

    if (uncompress(window, &len, (const unsigned char *)saved.ptr, saved.len) == Z_OK) {
        compress = net_compress_new();
        if (len > 0 && inflateSetDictionary(&compress->inflating, window, (unsigned)len) != Z_OK)
            abort(); /* which it does for each raw stream */
        *out = compress;
        err = ERR_OK;
    }
    mem_wipe(window, sizeof(window));
    return err;
}
