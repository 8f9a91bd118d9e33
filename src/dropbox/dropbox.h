/*
 * The drop box (protocol: docs/dropbox.md): folders and files, and the owner's side.
 *
 *   <data>/drop/<last two hex digits of id>/<id>/<id>.drop.sqlite     sealed records
 *   <data>/drop/<..>/<id>/lanes/<lane>                                two slots of a lane
 *
 * The sealer may touch only <data>/drop; a mailbox process only its own folder in it.
 */
#ifndef DROPBOX_DROPBOX_H
#define DROPBOX_DROPBOX_H

#include "base/id.h"
#include "base/log.h"
#include "base/task.h"
#include "secret/secret.h"
#include "vault/vault.h"

/* What was sealed: the message and what the envelope said. Views into memory of the caller. */
struct dropbox_mail {
    struct str sender;
    struct str recipient;
    struct str folder; /* empty: INBOX */
    int64_t received_ms;
    uint64_t trace_len;
    struct str raw;
};

/* The owner's side, in the mailbox process; `folder` is <data>/drop/<xx>/<id>. */
struct dropbox_owner {
    const char *folder;
    struct id mailbox;
    const struct secret *drop_key; /* MAILBOX_KEY_BYTES, of <id>.drop.sqlite */
    struct vault *vault;
    const struct log *log;
};

/*
 * What a mailbox process does when it has opened its file: dropbox_import and dropbox_renew, with
 * the drop folder locked from before the one until after the other. The mailbox is usable even if
 * it fails, which is then logged by the caller: the mail stays waiting.
 *
 * ERR_BUSY  another process (a sealer, or this mailbox's former process) had the drop box for longer
 *           than DROPBOX_LOCK_WAIT_MS
 */
enum { DROPBOX_LOCK_WAIT_MS = 5000 };
MUST_CHECK enum err dropbox_take_over(const struct dropbox_owner *owner, struct task *task,
                                      uint64_t *out_imported);

/*
 * Under the lock of the drop folder, which the caller has (dropbox/lock.h).
 *
 * Takes over all waiting mail: for each record decrypt, append and note as imported in one durable
 * transaction (several records may share one), then delete the record; when none is left, the file.
 * The sealer must have released the lane. A record that does not open goes to quarantine, and the
 * owner gets a message about it in INBOX, once.
 */
MUST_CHECK enum err dropbox_import(const struct dropbox_owner *owner, struct task *task,
                                   uint64_t *out_imported);

/*
 * A new generation: the lane root durably in the vault first, then the lane file's other slot,
 * synced, the old slot wiped, synced; roots without records are forgotten. Makes folder, drop
 * folder and lane where there are none (new mailbox). The sealer must have released the lane, and
 * the caller has the lock.
 */
MUST_CHECK enum err dropbox_renew(const struct dropbox_owner *owner, struct task *task);

#endif
