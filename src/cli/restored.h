/* The steps of `sealpost restore-host` (cli/restore_host.h). */
#ifndef CLI_RESTORED_H
#define CLI_RESTORED_H

#include "account/database.h"
#include "backup/ask.h"
#include "backup/name.h"
#include "base/buf.h"
#include "cli/progress.h"
#include "role/config.h"

struct restored {
    const struct config *config; /* borrowed */
    struct backup_ask ask;
    struct secret *accounts_key;         /* own */
    char mark[BACKUP_HOST_MARK_LEN + 1]; /* of copies that it opens */
    struct account_database *accounts;   /* own; restoring.sqlite */
    struct cli_progress progress;
    uint64_t mailboxes, drops, files, present, later, missing, damaged;
    struct buf commands; /* own; of those that are left to their owners, a line each */
};

/* Step 1. ERR_NOT_FOUND: there is no copy that this host key opens. */
MUST_CHECK enum err restored_open_accounts(struct restored *restored, struct task *task);
/* Step 3. */
MUST_CHECK enum err restored_keep_accounts(struct restored *restored, struct task *task);
/* A line about `what` on the standard output, beside the progress. */
void restored_say(struct restored *restored, const char *words, struct str what);
/* Step 2, one mailbox. What is wrong with its objects is said on the standard output, and counted.
 */
MUST_CHECK enum err restored_mailbox(struct restored *restored, struct task *task, int64_t row,
                                     const struct id *mailbox);

#endif
