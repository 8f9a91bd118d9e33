/*
 * The sealer's work, without its process: it keeps running chains and open drop files, seals mail
 * for absent owners and commits it. Everything acknowledged is durable.
 *
 *   no chain ── first mail of a boot: lane_take_boot ──> running ── sealing_release ──> no chain
 *
 * A commit that fails leaves the chain where it was: a reused n is harmless, since every record has
 * a fresh key pair. Whether the records are on the disk after all is looked up once the file was
 * opened again, and the chain follows.
 */
#ifndef DROPBOX_SEALING_H
#define DROPBOX_SEALING_H

#include "dropbox/dropbox.h"
#include "dropbox/records.h"

struct sealing;

struct sealing_options {
    const char *drop_root;     /* <data>/drop; copied */
    const struct secret *key;  /* the drop root key (dropbox/key.h); copied */
    size_t open_max;           /* drop files kept open; 0: 128 */
    size_t chain_max;          /* chains kept running; 0: 16,384 */
    const struct log *log;     /* borrowed */
};

struct sealing *sealing_new(const struct sealing_options *options);
/* Closes the files and wipes the chains. */
void sealing_free(struct sealing **sealing);

/*
 * Seals `count` mails for one mailbox and commits them together, durably. All of them are stored
 * when it returns ERR_OK, none may be acknowledged otherwise:
 *
 *   ERR_NOT_FOUND  no lane: there is no such mailbox, or its drop folder was lost and the
 *                  owner must log in
 *   ERR_LIMIT      the disk is full
 *   ERR_CORRUPT    no slot of the lane is valid: the owner must log in
 *   ERR_BUSY       its owner's process has the drop box (dropbox/lock.h)
 *   ERR_IO         the disk failed; the file is opened anew next time
 *
 * A drop file that is damaged, or of another host key, is set aside for a fresh one
 * (dropbox/damaged.h).
 */
MUST_CHECK enum err sealing_deliver(struct sealing *sealing, struct task *task,
                                    const struct id *mailbox, const struct dropbox_mail *mails,
                                    size_t count, struct records_totals *out_totals);
/*
 * A copy of the drop file as it is, sealed and encrypted, in a new file. ERR_NOT_FOUND: there is none, or
 * its owner has it; ERR_LIMIT, ERR_CORRUPT, ERR_IO.
 */
MUST_CHECK enum err sealing_copy(struct sealing *sealing, struct task *task,
                                 const struct id *mailbox, const char *path);
/* The drop box changes hands: closes the file, unlocks it, forgets and wipes the chain. */
void sealing_release(struct sealing *sealing, const struct id *mailbox);

#endif
