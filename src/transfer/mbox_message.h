/* Inside mbox_in.c only: one message of an mbox, without what is the format's. */
#ifndef TRANSFER_MBOX_MESSAGE_H
#define TRANSFER_MBOX_MESSAGE_H

#include "transfer/mbox.h"

/*
 * `from` is the "From " line, `text` what is behind it up to the next; is_counted: its length was
 * given, so nothing in it is quoted. False: no message, the folder's own data. All in the task.
 */
bool mbox_message_read(struct task *task, struct str from, struct str text, bool is_counted,
                       struct mbox_message *out);

#endif
