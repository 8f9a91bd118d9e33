/* zstd, where it pays. The contexts live as long as the vault. */
#include "vault/parts.h"

#include <stdlib.h>

enum {
    /* The best without Huffman codes, which take longer to read than what they save takes to read and
     * decipher. Of English text it leaves 49 % where level 1 leaves 38, and is read twice as fast. */
    LEVEL = -1,
    SHORTEST_BYTES = 128, /* below it the frame costs what it saves */
};

bool part_compress(struct vault *vault, struct str bytes, struct buf *out)
{
    size_t room_bytes = bytes.len - bytes.len / 8; /* it has to save an eighth */
    size_t made;
    char *room;

    buf_reset(out);
    if (bytes.len < SHORTEST_BYTES)
        return false;
    if (vault->compressor == NULL) {
        vault->compressor = ZSTD_createCCtx();
        if (vault->compressor == NULL)
            abort();
    }
    if (buf_reserve(out, room_bytes, &room) != ERR_OK)
        return false;
    made = ZSTD_compressCCtx(vault->compressor, room, room_bytes, bytes.ptr, bytes.len, LEVEL);
    if (ZSTD_isError(made)) /* it did not fit: it does not pay */
        return false;
    buf_commit(out, made);
    return true;
}

enum err part_decompress(struct vault *vault, struct task *task, struct str compressed, size_t len,
                         struct buf *out)
{
    size_t made;
    char *room;

    if (vault->decompressor == NULL) {
        vault->decompressor = ZSTD_createDCtx();
        if (vault->decompressor == NULL)
            abort();
    }
    TRY(buf_reserve(out, len, &room));
    made = ZSTD_decompressDCtx(vault->decompressor, room, len, compressed.ptr, compressed.len);
    if (ZSTD_isError(made) || made != len)
        return fail(task, ERR_CORRUPT, "vault: a compressed part does not give its %zu bytes", len);
    buf_commit(out, len);
    return ERR_OK;
}
