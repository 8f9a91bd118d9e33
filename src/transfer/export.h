/*
 * A source: the vault. For a process that may block and reads a copy of its own of the file's state
 * (a child of the mailbox process), so what it gives is the mailbox of one moment.
 */
#ifndef TRANSFER_EXPORT_H
#define TRANSFER_EXPORT_H

#include "transfer/transfer.h"

struct transfer_export {
    const struct str *folders; /* these and all below them; none: all */
    size_t folder_count;
    struct transfer_events events;
};

/*
 * ERR_NOT_FOUND: there is no such folder. Memory: one chunk of a message and the sink's.
 */
MUST_CHECK enum err transfer_export(struct vault *vault, struct task *task,
                                    const struct transfer_export *options,
                                    const struct transfer_sink *sink,
                                    struct transfer_totals *out_totals);

#endif
