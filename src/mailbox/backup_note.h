/*
 * What a mailbox's process notes of its full backups for the next one, in <id>.backup beside the
 * mailbox's file. Not synced, for which sessions would wait behind all that the disk has to do for
 * the backup: a note that is lost, or makes no sense, costs another backup, nothing else.
 */
#ifndef MAILBOX_BACKUP_NOTE_H
#define MAILBOX_BACKUP_NOTE_H

#include "base/task.h"

#include <stdint.h>

struct mailbox_backup_note {
    /* The last full backup that came there: 0, 0: not known. */
    int64_t last_ms;
    uint64_t last_counter;
    /* Since then one failed: when the last did, and for how long the next was put off. 0, 0: none.
     */
    int64_t failed_ms, put_off_ms;
};

/* All 0 where there is none. */
void mailbox_backup_note_read(const char *path, struct mailbox_backup_note *out);
MUST_CHECK enum err mailbox_backup_note_write(struct task *task, const char *path,
                                              const struct mailbox_backup_note *note);

#endif
