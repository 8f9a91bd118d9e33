/*
 * A source: a mailbox file that a user brings along, as `sealpost export --format file` writes it.
 * For a process that holds no mailbox's key: it is a stranger's database (vault/foreign.h).
 */
#ifndef TRANSFER_FILE_IN_H
#define TRANSFER_FILE_IN_H

#include "transfer/stream.h"

/* By what it begins with: a database, encrypted or not. False for what cannot be read twice. */
bool transfer_file_is_one(int fd);

/*
 * Folder by folder, what the sink does not know yet of this mailbox. ERR_DENIED: the password does
 * not open it; ERR_INVALID: it is no mailbox, or one of a later version; ERR_CORRUPT: it is
 * damaged.
 */
MUST_CHECK enum err transfer_file_in(struct task *task, int fd, struct str password,
                                     struct transfer_feed *feed);

#endif
