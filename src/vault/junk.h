/*
 * Junk as its owner sees it: what he moves into Junk, and out of it, teaches the mailbox (spam/model.h);
 * once it has learned enough of both, his own habits decide where new mail goes.
 *
 * Learning is put off to vault_housekeeping: a move only notes which contents it concerns, in its own
 * transaction. Each content counts once, as spam or as wanted; moved back, it is learned anew the
 * other way. Copies share a content, and what it counts as.
 */
#ifndef VAULT_JUNK_H
#define VAULT_JUNK_H

#include "base/buf.h"
#include "vault/message.h"

enum {
    VAULT_JUNK_LEARNED_MIN = 10, /* of each kind, before the owner's habits count */
    VAULT_JUNK_SURE = 900,       /* probability in thousandths from which on it is junk to him, */
    VAULT_JUNK_WANTED = 300,     /* and up to which it is not */
};

/*
 * Where a delivery goes. `folder` is what was asked for, empty: nothing was. A folder that was named
 * stays (a +tag; INBOX, where an allow list names the sender or spam is not looked for); else it is INBOX or Junk: by the shared verdict, which stands in the trace part of
 * append->raw, unless the owner's habits say otherwise and the verdict has no hard reason
 * (spam/spam.h). When they say so, the reason goes into a header field at the end of the trace part:
 * append->raw then is in `storage`. Costs nothing in a mailbox that was not trained.
 */
MUST_CHECK enum err vault_junk_file(struct vault *vault, struct task *task, struct str folder,
                                    struct vault_append *append, struct buf *storage,
                                    int64_t *out_folder_id);

/* There is something to learn: whoever closes the file should first give vault_housekeeping its turns. */
bool vault_junk_is_waiting(const struct vault *vault);

struct vault_junk_training {
    uint32_t spam, wanted; /* messages learned */
};
void vault_junk_training(const struct vault *vault, struct vault_junk_training *out);

#endif
