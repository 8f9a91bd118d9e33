/* The key of <id>.drop.sqlite, for the keeper (who tells the owner) and the sealer. */
#ifndef DROPBOX_KEY_H
#define DROPBOX_KEY_H

#include "base/id.h"
#include "secret/secret.h"

/* The purpose for crypt_derive by which the keeper makes the drop root from the host key. */
#define DROPBOX_ROOT_PURPOSE "drop-root"

/*
 * MAILBOX_KEY_BYTES: H(root, "drop-key", mailbox) ‖ the first 16 bytes of H(root, "drop-salt",
 * mailbox), the mailbox as its 24 hex digits.
 */
struct secret *dropbox_key(const struct secret *root, const struct id *mailbox);

#endif
