/*
 * The mailbox file: opening, closing, creating. One process, one connection, one key, one file
 * (design §1.4). The other headers of this folder are its subjects: folder.h, message.h, content.h,
 * change.h, search.h.
 *
 * Every vault_ function that writes is one transaction, unless vault_batch_begin opened a batch;
 * it is durable (synchronous=FULL) when it returns. On any error the vault is unchanged.
 */
#ifndef VAULT_VAULT_H
#define VAULT_VAULT_H

#include "base/id.h"
#include "base/log.h"
#include "base/task.h"
#include "secret/secret.h"

#include <stdbool.h>
#include <stdint.h>

struct vault;

struct vault_options {
    const char *folder; /* the mailbox's own folder; the file in it is <id>.sqlite */
    struct id id;
    uint64_t limit_bytes;         /* quota; UINT64_MAX: none */
    uint64_t epoch_seen;          /* the registry's last values, for roll-back detection; 0, 0: */
    uint64_t change_counter_seen; /* never seen */
    const struct log *log;        /* borrowed for the vault's life */
    const char *suffix; /* of the file that vault_open takes; NULL: ".sqlite". For one that is made
                           beside the mailbox's own (backup/restore.h) */
};

/* Makes a new mailbox with the standard folders. ERR_EXISTS when there is a file already. */
MUST_CHECK enum err vault_create(struct task *task, const struct vault_options *options,
                                 const struct secret *key, struct vault **out_vault);
/*
 * ERR_DENIED wrong key, ERR_CORRUPT damaged (nothing is written), ERR_NOT_FOUND, ERR_IO, ERR_LIMIT.
 * A file older than the registry's last values is opened, gets new UIDVALIDITYs and a new epoch,
 * and vault_was_rolled_back tells.
 */
MUST_CHECK enum err vault_open(struct task *task, const struct vault_options *options,
                               const struct secret *key, struct vault **out_vault);
void vault_close(struct vault **vault);
/* Before a fork whose child calls vault_forget; NULL: nothing. A copy under another key that is being made (rekey.h) is
 * given up and begun anew behind it: the child could not close a connection that is still copied from. */
void vault_prepare_fork(struct vault *vault);
/* In a forked child, for its parent's vault, before it opens anything: as db_forget. */
void vault_forget(struct vault **vault);

bool vault_is_open(const struct vault *vault); /* false: vault/rekey.h */
bool vault_was_rolled_back(const struct vault *vault);
/* After a failed sync: every call gives ERR_IO until the process reopens the file. */
bool vault_is_broken(const struct vault *vault);

struct vault_usage {
    uint64_t bytes; /* sum of RFC822.SIZE over messages */
    uint64_t messages;
    uint64_t limit_bytes;    /* UINT64_MAX: none */
    uint64_t limit_messages; /* likewise */
    uint64_t epoch;
    uint64_t change_counter; /* grows with every committed change */
};
void vault_usage(const struct vault *vault, struct vault_usage *out);
void vault_set_limit(struct vault *vault, uint64_t limit_bytes);
/* UINT64_MAX, as in a vault that was just opened: none. */
void vault_set_message_limit(struct vault *vault, uint64_t limit_messages);

/* How long expunged mail is kept for its owner, and how much of it (undelete.h); 0: not at all.
 * Until this is called nothing more is kept, and nothing that is kept goes. */
void vault_set_undelete(struct vault *vault, int64_t keep_ms, uint64_t limit_bytes);

/*
 * Group commit: the writes between are one durable transaction, and each of them succeeds or fails
 * by itself (savepoints). None may be acknowledged before vault_batch_end returned ERR_OK.
 * Subscribers hear of the changes after it. Not nested.
 */
MUST_CHECK enum err vault_batch_begin(struct vault *vault, struct task *task);
MUST_CHECK enum err vault_batch_end(struct vault *vault, struct task *task);

/* Shipping the log away (backup/shipper.h): sqlite/db.h says what these do. */
void vault_set_log_reader(struct vault *vault,
                          void (*on_log)(void *owner, int pages, bool may_wait), void *owner);
void vault_hold_checkpoints(struct vault *vault, bool is_held);
bool vault_checkpoints_are_held(const struct vault *vault);

/* Work that may be put off (filling the search index and sort keys, purging expunged rows): one
 * slice of at most about 10 ms; *out_more tells whether another would find work. Call when idle,
 * and between other work when vault_is_behind. */
MUST_CHECK enum err vault_housekeeping(struct vault *vault, struct task *task, bool *out_more);
/* There are sessions since before the file was opened, which may still read what was expunged
 * then: it is kept as long as what is expunged now. */
void vault_keep_expunged(struct vault *vault);
/* More contents than this are not in the search index, or have no sort key: so many that it should
 * not wait for an idle moment. To confirm one that is not indexed costs a search some 0.1 ms; while
 * many come, they come sooner and are found later. */
enum { VAULT_BEHIND_CONTENTS = 1024, VAULT_BEHIND_IN_BULK_CONTENTS = 16 * 1024 };
bool vault_is_behind(const struct vault *vault, int64_t contents);
/* When the file was opened, the index was not finished or sort keys were missing: whoever had it open
 * before was interrupted. */
bool vault_is_unfinished(const struct vault *vault);
/* Nobody asks for anything now: gives back the memory that would only make the next answer faster. */
void vault_rest(struct vault *vault);

#endif
