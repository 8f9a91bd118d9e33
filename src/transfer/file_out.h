/*
 * The mailbox's own file as its owner takes it along: the mailbox of one moment, without free
 * pages, for any SQLite3 Multiple Ciphers (docs/leaving.md).
 *
 *   <id>.sqlite ── VACUUM INTO ──> <id>.export ── each page under the copy's key ──> fd ── read
 * back └─ all of it read and checked
 *
 * For a child of the mailbox process, whose sandbox has the mailbox's folder and nothing else. What
 * lies there meanwhile is encrypted under the mailbox's key, and needs as much room as the mailbox;
 * a kill leaves it, and the next export or opening of the mailbox removes it.
 *
 * Left out of the copy are the keys that open mail waiting at this server: they are worth nothing
 * elsewhere, except to somebody who has this server's disk too.
 */
#ifndef TRANSFER_FILE_OUT_H
#define TRANSFER_FILE_OUT_H

#include "transfer/transfer.h"

struct transfer_file_out {
    struct vault_options vault;
    const struct secret *key;      /* that the mailbox's file is under */
    const struct secret *copy_key; /* that the copy will be under; both MAILBOX_KEY_BYTES */
    int fd; /* written from where it stands; read back where it can be (not a pipe) */
    struct transfer_events events; /* both functions are needed */
};

/*
 * `*out_totals`: the messages in the copy, and its size in bytes. ERR_LIMIT: the words say on which
 * of the two disks there is no room; ERR_CORRUPT: the mailbox is damaged, or what was read back is
 * not what was written; ERR_BUSY: it is not wanted any more. Memory: some hundred KiB, and SQLite's
 * cache.
 */
MUST_CHECK enum err transfer_file_out(struct task *task, const struct transfer_file_out *request,
                                      struct transfer_totals *out_totals);
/* What a process that was killed left in the mailbox's folder. */
void transfer_file_out_remove_rest(struct task *task, const struct vault_options *options);

#endif
