/*
 * Building a mailbox's file from its backups, beside the live one, and putting it in its place.
 *
 *   restore_begin ─> restore_base (a full backup, or a generation's) ─> restore_segment … ─>
 *   restore_finish: whole, opened with the key, checked ─> restore_rekey, if it is an earlier key's
 *   ─> restore_leave ═ restore_resume ─> restore_exchange, or restore_open
 *
 * All up to restore_leave takes as long as the mailbox is large, and is for a child; what follows is
 * short, and for the process that has the mailbox.
 *
 * Nothing is used before its MAC, its digest and its place in the chain were compared; what is wrong
 * is named: which object, and up to which time the log is good. Objects come as descriptors of files
 * that the destination cannot change any more.
 *
 * The file is <id>.restored, and holds nothing but ciphertext. restore_exchange is one atomic step:
 *
 *   1. the restored file is opened: new UIDVALIDITYs and a new epoch; the lane roots of the live
 *      mailbox are taken over, so that mail sealed since the backup still opens; closed, synced
 *   2. renamed to <id>.before-<UTC>
 *   3. exchanged with <id>.sqlite (RENAME_EXCHANGE): now the name says what it is
 *   4. the folder is synced
 *
 * A crash before 3 leaves the live file as it was, and in <id>.restored or <id>.before-… a file that
 * nobody reads; after it the restored one. Where the live file does not open, its lane roots are lost
 * with it: mail that was sealed under newer ones goes to quarantine, as dropbox.md says.
 */
#ifndef BACKUP_RESTORE_H
#define BACKUP_RESTORE_H

#include "backup/manifest.h"
#include "base/id.h"
#include "base/log.h"
#include "vault/vault.h"

#define RESTORE_SUFFIX ".restored"

struct restore_options {
    const char *folder; /* the mailbox's; borrowed, as all here */
    struct id mailbox;
    const struct secret *key; /* MAILBOX_KEY_BYTES: of the backup's time (restore_key) */
    const struct log *log;
    int64_t until_ms; /* commits up to it, it included; INT64_MAX: all */
    /* Asked now and then by what takes long: false ends it with ERR_BUSY. NULL: it is wanted. */
    bool (*is_wanted)(void *owner);
    void *owner;
};

struct restore;

struct restore *restore_begin(struct task *task, const struct restore_options *options);
/* Removes what was built and not exchanged. */
void restore_free(struct restore **restore);

/* ERR_CORRUPT: it, or its manifest, is not what was put there. ERR_INVALID: it is of after until_ms. */
MUST_CHECK enum err restore_base(struct restore *restore, struct task *task, struct str manifest,
                                 int fd);
/* The number of the segment that comes next, from 1. */
uint64_t restore_next_number(const struct restore *restore);
/*
 * *out_is_enough: it has commits after until_ms, so no later one is needed. ERR_CORRUPT: altered,
 * another mailbox's or generation's, or not the next; the words name it. Nothing of it was used then.
 */
MUST_CHECK enum err restore_segment(struct restore *restore, struct task *task, int fd,
                                    bool *out_is_enough);
/* The last commit that is in it, or the base's time. */
int64_t restore_reached_ms(const struct restore *restore);

/* All commits are there that the base needs. False: its log was being put when that ended, or is lost. */
bool restore_is_whole(const struct restore *restore);
/* ERR_DENIED: the key does not open it; ERR_CORRUPT: it is damaged, or its log was not whole. In this
 * process. */
MUST_CHECK enum err restore_finish(struct restore *restore, struct task *task);
/* What is in it then: which of two is the newer, whatever a clock said. */
void restore_state(const struct restore *restore, uint64_t *out_epoch, uint64_t *out_change_counter);
/*
 * What was finished is put under another key, the one that the live mailbox has, and checked again:
 * a backup from before a new password would else open with the password of its time only. The key is
 * borrowed as long as the restore. ERR_LIMIT: no room for the second file; the first one is as it was.
 */
MUST_CHECK enum err restore_rekey(struct restore *restore, struct task *task,
                                  const struct secret *key);
/* Frees it, but what was built stays, for another process's restore_resume. */
void restore_leave(struct restore **restore);
/* What restore_leave left; `options->key` is the key that it is under, and it reached so far. */
struct restore *restore_resume(struct task *task, const struct restore_options *options,
                               int64_t reached_ms);
/* What a restore that was interrupted has left in the mailbox's folder. */
void restore_remove_rest(struct task *task, const char *folder, const struct id *mailbox);

/*
 * Puts the restored file into its place. The live one must be closed; `live_options` has what the
 * registry saw last. The one that was there stays, under a name given in *out_kept (task's arena;
 * empty: there was none).
 */
MUST_CHECK enum err restore_exchange(struct restore *restore, struct task *task,
                                     const struct vault_options *live_options,
                                     const struct secret *live_key, struct str *out_kept);
/* The restored file as a vault of its own, to read folders from (backup/merge.h). */
MUST_CHECK enum err restore_open(struct restore *restore, struct task *task,
                                 struct vault **out_vault);

/* The key of a backup from the password that held then: the file's first bytes are its salt. */
MUST_CHECK enum err restore_key(struct task *task, struct str password, int base_fd,
                                struct secret **out_key);

#endif
