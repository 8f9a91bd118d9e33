/*
 * Inside the vault only: how the bytes of a content are kept.
 *
 * A message is a sequence of parts, each a range of its bytes. Most are the bytes themselves, in
 * chunks, compressed where it pays. The body of an attachment is kept once in the mailbox; if it is
 * base64 whose line layout can be reproduced, decoded. What was stored decoded was rebuilt and
 * compared first; all else is kept as it came (design §1.5).
 */
#ifndef VAULT_PARTS_H
#define VAULT_PARTS_H

#include "message/message.h"
#include "vault/state.h"

enum part_kind { /* part.kind; the first two also attachment_part.kind */
                 PART_BYTES = 0,
                 PART_ZSTD = 1,
                 PART_ATTACHMENT = 2, /* the attachment's bytes as they are */
                 PART_BASE64 = 3,     /* the attachment's bytes in base64 lines */
};

enum {
    PART_CHUNK_BYTES = 256 * 1024,
    ATTACHMENT_CHUNK_BYTES = 192 * 1024, /* a multiple of 3 */
    ATTACHMENT_MIN_BYTES = 4096,         /* smaller bodies stay where they are */
    PART_NUMBER_BITS = 24,
};

static inline int64_t part_key(int64_t owner_id, int64_t number)
{
    return owner_id << PART_NUMBER_BITS | number;
}

/* --- base64 lines (base64.c) --- */

enum base64_line_end { BASE64_ONE_LINE = 0, BASE64_LF = 1, BASE64_CRLF = 2 };

struct base64_layout {
    uint32_t line_length; /* characters, a multiple of 4; 0: one line */
    enum base64_line_end line_end;
};

/*
 * Whether the beginning of `body` is canonical base64 in lines of one length; then its decoded
 * bytes are appended to `out`, and *out_len bytes of the body (without the line end after the last
 * line) are exactly what base64_encode_range makes of them. Proven by doing it.
 */
bool base64_decode_lines(struct str body, struct base64_layout *out_layout, size_t *out_len,
                         struct buf *out);
/* The length of `decoded_bytes` in this layout. */
uint64_t base64_encoded_length(const struct base64_layout *layout, uint64_t decoded_bytes);
/* The decoded bytes that the encoded range [start, end) is made from: a whole number of triples. */
void base64_decoded_range(const struct base64_layout *layout, uint64_t start, uint64_t end,
                          uint64_t *out_start, uint64_t *out_end);
/* Appends the encoded range [start, end); `decoded` are the bytes base64_decoded_range named. */
void base64_encode_range(const struct base64_layout *layout, struct str decoded, uint64_t start,
                         uint64_t end, struct buf *out);

/* --- Compression (compress.c) --- */

/* Compresses into `out` (reset first) if that saves a good part; false: keep the bytes. */
bool part_compress(struct vault *vault, struct str bytes, struct buf *out);
/* Appends exactly `len` bytes, or ERR_CORRUPT. */
MUST_CHECK enum err part_decompress(struct vault *vault, struct task *task, struct str compressed,
                                    size_t len, struct buf *out);

/* --- Whole contents (store.c) --- */

/* Writes the content's row and parts; the word indexes are words.h's. */
MUST_CHECK enum err content_store(struct vault *vault, struct task *task, struct str raw,
                                  const struct message_summary *summary, int64_t *out_content_id);
/* Its header was said to be in UTF-8 (vault_append.is_utf8): notes it if that is so. */
MUST_CHECK enum err content_note_utf8(struct vault *vault, struct task *task, int64_t content_id,
                                      struct str raw, const struct message_summary *summary);
/* Takes one user off the content: deletes all of it when that was the last. */
MUST_CHECK enum err content_release(struct vault *vault, struct task *task, int64_t content_id);

#endif
