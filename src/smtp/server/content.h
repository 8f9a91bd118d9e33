/*
 * The text of one message while it comes in: blocks that are never moved, so that nothing is copied
 * twice, under a limit for the message and one for all connections of the process.
 */
#ifndef SMTP_SERVER_CONTENT_H
#define SMTP_SERVER_CONTENT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"

#include <stddef.h>

/* What all messages in the making may take together. */
struct smtp_memory {
    size_t limit_bytes;
    size_t used_bytes;
};

struct smtp_block;

struct smtp_content {
    struct smtp_memory *memory; /* borrowed */
    struct smtp_block *first;   /* own */
    struct smtp_block *last;
    size_t len;
    size_t limit_bytes;
    size_t charged_bytes; /* of memory->used_bytes */
};

void smtp_content_init(struct smtp_content *content, struct smtp_memory *memory,
                       size_t limit_bytes);
/* Wipes and gives everything back. */
void smtp_content_done(struct smtp_content *content);
/* Wipes the text but keeps the charge: it lives on in a memfd until it is delivered. */
void smtp_content_wipe(struct smtp_content *content);

/* ERR_LIMIT: the message is too large. ERR_BUSY: the process has no memory for it now. */
MUST_CHECK enum err smtp_content_append(struct smtp_content *content, struct str bytes);

/* The blocks in order; false after the last. Start with *position = NULL. */
bool smtp_content_next(const struct smtp_content *content, const void **position,
                       struct str *out_bytes);
/* The header in one piece; a view of the first block, or of `storage` (initialised, no limit). */
struct str smtp_content_header(const struct smtp_content *content, struct buf *storage);

#endif
