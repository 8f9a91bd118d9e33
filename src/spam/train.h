/* Local mail as lessons: mbox files, Maildir folders, single messages. */
#ifndef SPAM_TRAIN_H
#define SPAM_TRAIN_H

#include "spam/model.h"

struct spam_trained {
    uint64_t messages;
    uint64_t files;
};

/*
 * Learns everything at `path`: a file with one message, an mbox file ("From " begins it), a folder of
 * such files, a Maildir (its cur and new). *trained is counted on. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT:
 * folders in folders too deep.
 */
MUST_CHECK enum err spam_train_path(struct spam_trainer *trainer, struct task *task,
                                    const char *path, bool is_spam, struct spam_trained *trained);
/* The messages of an mbox file, one after the other: false at the end. Start with *position 0. */
bool spam_mbox_next(struct str mbox, size_t *position, struct str *out_message);

#endif
