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
    struct str recipient; /* empty: a copy of what its owner sent himself */
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

enum {
    DROPBOX_LOCK_WAIT_MS = 5000,
    /* How old a generation gets: when its owner logs in, and while he stays. */
    DROPBOX_AGE_AT_LOGIN_MS = 60 * 60 * 1000,
    DROPBOX_AGE_IN_SESSION_MS = 24 * 60 * 60 * 1000,
};

/*
 * What a mailbox process does when it has opened its file: dropbox_import with the drop folder
 * locked, and dropbox_renew if the lane has no generation that the vault knows (a new mailbox). The
 * mailbox is usable even if it fails: the mail stays waiting.
 *
 * ERR_BUSY  another process (a sealer, or this mailbox's former process) had the drop box for longer
 *           than DROPBOX_LOCK_WAIT_MS
 */
MUST_CHECK enum err dropbox_take_over(const struct dropbox_owner *owner, struct task *task,
                                      uint64_t *out_imported);

/*
 * dropbox_renew, with the drop folder locked, unless the generation is younger than `age_ms`; then
 * nothing is written. One from the future (a clock that was set back) is due. ERR_BUSY.
 */
MUST_CHECK enum err dropbox_renew_if_due(const struct dropbox_owner *owner, struct task *task,
                                         int64_t age_ms);

/*
 * Under the lock of the drop folder, which the caller has (dropbox/lock.h).
 *
 * Takes over all waiting mail: for each record decrypt, append and note as imported in one durable
 * transaction (several records may share one), then delete the record; when none is left, the file.
 * The sealer must have released the lane. A record that does not open goes to quarantine, and the
 * owner gets a message about it in INBOX, once. A drop file that is damaged is set aside, kept and
 * tried again at each login (dropbox/damaged.h); the owner gets a message about that, too.
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
/* The same, unless the lane's generation is the vault's newest and younger than `age_ms`. */
MUST_CHECK enum err dropbox_renew_older(const struct dropbox_owner *owner, struct task *task,
                                        int64_t age_ms);

#endif
