/*
 * Any bytes from a peer that said COMPRESS DEFLATE. Properties: a piece is never larger than
 * promised; how the bytes were cut into packets changes nothing, nor does going on elsewhere
 * between them; what came out, compressed by us and inflated again, is the same. The first byte
 * chooses the packets' size.
 */
#include "net/compress.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAIN_MAX = 1 << 20 };

/* With another one that is made of its bytes. */
static void move(struct net_compress **compress)
{
    CLEANUP(buf_free) struct buf saved = {0};
    enum err err;

    buf_init(&saved, NET_COMPRESS_SAVED_MAX);
    net_compress_save(*compress, &saved);
    net_compress_free(compress);
    err = net_compress_restore(buf_str(&saved), compress);
    assert(err == ERR_OK);
}

static enum err inflate_all(struct str bytes, size_t packet, struct buf *out)
{
    struct net_compress *compress = net_compress_new();
    enum err err = ERR_OK;

    while (bytes.len > 0 && err == ERR_OK && out->len < PLAIN_MAX) {
        struct str plain;

        net_compress_feed(compress, str_upto(bytes, packet));
        bytes = str_from(bytes, packet);
        do {
            err = net_compress_inflate(compress, &plain);
            assert(plain.len <= NET_COMPRESS_PIECE);
            assert(err == ERR_OK || plain.len == 0);
            buf_put(out, plain);
        } while (err == ERR_OK && plain.len > 0 && out->len < PLAIN_MAX);
        assert(err != ERR_OK || plain.len > 0 || !net_compress_has_more(compress));
        if (packet % 2 == 0 && err == ERR_OK && net_compress_can_save(compress))
            move(&compress);
    }
    net_compress_free(&compress);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_free) struct buf whole = {0}, cut = {0}, again = {0}, packed = {0};
    struct net_compress *compress;
    struct str bytes;
    enum err err;

    if (size < 2)
        return 0;
    bytes = str_make(data + 1, size - 1);
    if (net_compress_restore(bytes, &compress) == ERR_OK)
        net_compress_free(&compress);
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    buf_init(&packed, SIZE_MAX);
    err = inflate_all(bytes, SIZE_MAX, &whole);
    if (inflate_all(bytes, (size_t)data[0] + 1, &cut) == ERR_OK && err == ERR_OK &&
        whole.len < PLAIN_MAX && cut.len < PLAIN_MAX)
        assert(str_equal(buf_str(&whole), buf_str(&cut)));
    compress = net_compress_new();
    net_compress_deflate(compress, buf_str(&whole), &packed);
    net_compress_free(&compress);
    if (whole.len < PLAIN_MAX) {
        assert(inflate_all(buf_str(&packed), (size_t)data[0] + 1, &again) == ERR_OK);
        assert(str_equal(buf_str(&whole), buf_str(&again)));
    }
    return 0;
}
