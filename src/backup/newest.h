/*
 * The newest that a destination has of a mailbox, for one who has not its key: so no MAC is looked
 * at, and what is said here is only as good as the destination. Whoever opens the file with the key
 * compares it with what the accounts have seen of the mailbox.
 */
#ifndef BACKUP_NEWEST_H
#define BACKUP_NEWEST_H

#include "backup/ask.h"
#include "backup/manifest.h"

struct backup_newest {
    char full[BACKUP_NAME_MAX +
              1]; /* the full backup that has most; "": none whose manifest can be read */
    struct manifest manifest;       /* its */
    char drop[BACKUP_NAME_MAX + 1]; /* the newest copy of the drop box; "": none */
    bool has_log;
    bool is_all; /* the log has nothing that the full backup has not */
};

MUST_CHECK enum err backup_newest_find(const struct backup_ask *ask, struct task *task,
                                       const struct id *mailbox, struct backup_newest *out);

#endif
