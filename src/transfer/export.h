/*
 * A source: the vault, or what vault/foreign.h opened. For a process that may block and reads a
 * copy of its own of the file's state (a child of the mailbox process), so what it gives is the
 * mailbox of one moment.
 */
#ifndef TRANSFER_EXPORT_H
#define TRANSFER_EXPORT_H

#include "transfer/transfer.h"

struct transfer_export {
    const struct str *folders; /* these and all below them; none: all */
    size_t folder_count;
    struct transfer_events events;
    /* Where this mailbox came from, for a sink that remembers it (transfer_folder.source); empty:
     * it does not. */
    struct str source;
    /* Once a folder was announced: up to which UID the sink has what is under this UIDVALIDITY.
     * NULL: nothing of it. */
    uint32_t (*known_uid)(void *owner, uint32_t uidvalidity);
    void *known_owner;
};

/*
 * ERR_NOT_FOUND: there is no such folder. Memory: one chunk of a message and the sink's.
 */
MUST_CHECK enum err transfer_export(struct vault *vault, struct task *task,
                                    const struct transfer_export *options,
                                    const struct transfer_sink *sink,
                                    struct transfer_totals *out_totals);

#endif
