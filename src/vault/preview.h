/* The beginnings of messages' texts (message/preview.h), kept from arrival on. */
#ifndef VAULT_PREVIEW_H
#define VAULT_PREVIEW_H

#include "base/buf.h"
#include "vault/message.h"

/*
 * Makes the preview of a content that has none yet (VAULT_COLUMN_PREVIEW says so); appends to
 * `out`. Reads at most two parts' beginnings, writes nothing: housekeeping keeps it in its turn.
 */
MUST_CHECK enum err vault_preview_make(struct vault *vault, struct task *task, int64_t content_id,
                                       struct buf *out);

#endif
