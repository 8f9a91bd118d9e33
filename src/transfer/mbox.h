/*
 * One message as mbox has it (mboxrd): a "From " line, fields for what the format has no place for,
 * the message with ">" before each line that is "From " behind any number of ">", an empty line.
 *
 * The first field, X-Sealpost-Export, says how many lines are ours, the message's exact size, date
 * and flags that mbox does not know: with it the message comes back byte for byte.
 */
#ifndef TRANSFER_MBOX_H
#define TRANSFER_MBOX_H

#include "transfer/transfer.h"

#define TRANSFER_MBOX_MARK "X-Sealpost-Export: "

struct mbox_out;

/* `emit` gets the bytes as they are ready. */
struct mbox_out *mbox_out_new(enum err (*emit)(void *owner, struct task *task, struct str bytes),
                              void *owner);
void mbox_out_free(struct mbox_out **out);
/* `folder` not NULL: the message is the folder's first one, and tells of it. */
MUST_CHECK enum err mbox_out_begin(struct mbox_out *out, struct task *task,
                                   const struct transfer_folder *folder,
                                   const struct transfer_message *message);
MUST_CHECK enum err mbox_out_bytes(struct mbox_out *out, struct task *task, struct str bytes);
MUST_CHECK enum err mbox_out_finish(struct mbox_out *out, struct task *task);

/* --- Reading --- */

struct mbox_message {
    struct transfer_message message;
    struct str raw;
    uint32_t uidvalidity, last_uid; /* of the folder, if this message tells; 0, 0: it does not */
};

struct mbox_in;

/*
 * Any mbox: ours, mboxrd, mboxo, and those with Content-Length where it leads to the next message.
 * Status, X-Status, X-Keywords and X-UID become flags and UID, and go. `on_message` gets each, whole;
 * `on_left_out` is told of one that is too large.
 */
struct mbox_in_events {
    enum err (*on_message)(void *owner, struct task *task, const struct mbox_message *message);
    enum err (*on_left_out)(void *owner, struct task *task);
    void *owner;
};
struct mbox_in *mbox_in_new(const struct mbox_in_events *events, size_t message_bytes_max);
void mbox_in_free(struct mbox_in **in);
/* ERR_INVALID: this is no mbox. */
MUST_CHECK enum err mbox_in_bytes(struct mbox_in *in, struct task *task, struct str bytes);
MUST_CHECK enum err mbox_in_end(struct mbox_in *in, struct task *task);

#endif
