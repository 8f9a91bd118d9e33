/*
 * A source: what a user brings along, whatever it is of an mbox, a Maildir, eml files, as a folder or
 * in a tar or zip. For a process that has nothing but the descriptor and the sink: foreign bytes are
 * parsed here, with libarchive's help.
 */
#ifndef TRANSFER_READ_H
#define TRANSFER_READ_H

#include "transfer/transfer.h"

/*
 * Reads `fd` (a file, pipe or folder) to its end. `folder`: where a single mbox goes, and messages
 * that are in no folder. What is no mail is passed over.
 *
 * ERR_INVALID: nothing that is known; ERR_LIMIT: beyond the bounds (tree.h). Other errors are the
 * sink's.
 */
MUST_CHECK enum err transfer_read(struct task *task, int fd, struct str folder,
                                  const struct transfer_sink *sink);

#endif
