/*
 * Backups of removed mailboxes, taken away object by object. The rows that say which (backup_purges)
 * are made with the removal, in one transaction, so that a crash or a destination that is away goes
 * on with it:
 *
 *   removed ──due──> list ──> delete what it names, a few at a time ──> list ──> …
 *             ^        ├─ nothing there: once more after PURGE_CHECK_MS, for what was on its way
 *             │        │  unknown to the archivist; nothing again: the row goes
 *             │        └─ DEFERRED, the archivist has more on its way:
 *             └─────────── after PURGE_RETRY_MS
 *
 * Not before the mailbox's files are gone: its process may be sending more until then. One mailbox
 * at a time, some pages of a list each: an owner's bucket may say what it likes, for ever. The keeper's role connects it with the archivist.
 */
#ifndef ACCOUNT_PURGE_H
#define ACCOUNT_PURGE_H

#include "account/database.h"
#include "base/log.h"
#include "wire/messages.h"

enum {
    PURGE_CHECK_MS = 60 * 1000,
    PURGE_RETRY_MS = 30 * 1000, /* what did not work, or not yet, is tried again */
    PURGE_AT_A_TIME = 8,             /* deletions under way */
};

struct account_purge_services {
    /* BACKUP_LIST of all objects from the first on, BACKUP_DELETE of one; the answer comes with this
     * tag. Any error: the archivist cannot be asked now. */
    enum err (*list)(void *owner, const struct id *mailbox, uint64_t tag);
    enum err (*remove)(void *owner, const struct id *mailbox, struct str name, uint64_t tag);
    /* Nothing of it is left; so its own bucket is forgotten. */
    void (*gone)(void *owner, const struct id *mailbox);
};

struct account_purge;

/* All borrowed. */
struct account_purge *account_purge_new(struct account_database *database,
                                        const struct account_purge_services *services, void *owner,
                                        const struct log *log);
void account_purge_free(struct account_purge **purge);
/* Begins with what is due, unless something is under way. Now and then, and when a mailbox's files
 * are gone. */
void account_purge_run(struct account_purge *purge, int64_t now_ms);
/* The archivist came, or went: what was under way begins anew. */
void account_purge_set_peer(struct account_purge *purge, bool is_there, int64_t now_ms);
/* `json` as BACKUP_LIST_REPLY has it. Answers with another tag are not ours. */
void account_purge_listed(struct account_purge *purge, uint64_t tag, enum wire_status status,
                          struct str json, int64_t now_ms);
void account_purge_removed(struct account_purge *purge, uint64_t tag, enum wire_status status,
                           int64_t now_ms);

#endif
