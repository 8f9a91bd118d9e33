/*
 * The bytes of a message. They come back exactly as they came (design §1.5), however they are kept:
 * parts, attachments once for each mailbox, decoded base64, compression.
 */
#ifndef VAULT_CONTENT_H
#define VAULT_CONTENT_H

#include "base/buf.h"
#include "vault/message.h"

struct vault_content;

/* A reader; holds no transaction between calls, so it may live across waits. ERR_NOT_FOUND: purged,
 * here or, but for the short parts that it begins with, while it is read. */
MUST_CHECK enum err vault_content_open(struct vault *vault, struct task *task, int64_t content_id,
                                       struct vault_content **out_content);
void vault_content_close(struct vault_content **content);
uint64_t vault_content_size(const struct vault_content *content);
/* Whether its header is not ASCII but UTF-8, and was said to be when it was stored: not by a field
 * of its own, but by vault_append.is_utf8. */
MUST_CHECK enum err vault_content_has_utf8_header(const struct vault_content *content,
                                                  struct task *task, bool *out);
/*
 * Appends up to `len` bytes from `offset` to `out`; fewer only at the end. Bounded memory whatever
 * the size; going forward costs no more than the bytes read, a jump at most one part.
 */
MUST_CHECK enum err vault_content_read(struct vault_content *content, struct task *task,
                                       uint64_t offset, size_t len, struct buf *out);

#endif
