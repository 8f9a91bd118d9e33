/*
 * The backups of a mailbox that is open (docs/backups.md): its log goes to the archivist as it is
 * written (backup/shipper.h), and a full copy now and then (backup/snapshot.h). All of it only
 * where `backup` is configured; without, nothing here does anything.
 *
 * A full backup is due `backup_interval` after the last one, if anything changed since: looked at
 * soon after the opening, then every minute, and when the process would end. After one that failed
 * the next is put off for a minute, doubled each time up to `backup_interval`; the process may end
 * before.
 *
 * Before a copy of the mailbox is made, full or a log's base, the destination is asked something, if it has
 * not been heard of lately: while it refuses, none is made. One that it refused is not kept.
 *
 * What is under way when the last session ends is waited for, but not for as long as the destination
 * likes.
 */
#ifndef MAILBOX_BACKUP_H
#define MAILBOX_BACKUP_H

#include "mailbox/mailbox.h"

enum {
    MAILBOX_BACKUP_FIRST_MS = 20 * 1000, /* after the opening */
    MAILBOX_BACKUP_LOOK_MS = 60 * 1000,
    MAILBOX_BACKUP_TIMEOUT_MS = 60 * 60 * 1000,
    MAILBOX_BACKUP_FAREWELL_MS = 3000, /* for the last of the log, when the file is closed */
};

struct mailbox_backup;

/* Before the file is opened: what a dead process left in its log is not lost. */
void mailbox_backup_prepare(struct mailbox *mailbox, const struct secret *key);
void mailbox_backup_begin(struct mailbox *mailbox);
/*
 * Nobody is there, and the process should not end now: something is under way that would be for nothing.
 * Asked every now and then, as a destination that takes its time is given up behind some of it
 * (mailbox/backup_peer.h), and with it what is under way.
 */
bool mailbox_backup_is_busy(struct mailbox *mailbox);
/* Somebody came: what was waited until now does not count, and what was given up begins anew. */
void mailbox_backup_be_patient(struct mailbox *mailbox);
/* The file is being copied: it cannot be exchanged now. */
bool mailbox_backup_is_reading(const struct mailbox *mailbox);
/* Around vault_close; the second waits until the log is shipped, or cannot be. */
void mailbox_backup_before_close(struct mailbox *mailbox);
void mailbox_backup_after_close(struct mailbox *mailbox);
/* After vault_close: the file is exchanged for another, whose log begins anew. */
void mailbox_backup_restored(struct mailbox *mailbox);
/* The file is under mailbox->key since now, and another file: a new generation of its log begins, and a
 * full backup is due. At the opening, or at once behind the exchange; not while it is busy. What was
 * committed before is still sent, under the key of before. */
void mailbox_backup_rekeyed(struct mailbox *mailbox);
void mailbox_backup_free(struct mailbox_backup **backup);
/* BACKUP_…_REPLY from the store. */
void mailbox_backup_reply(struct mailbox *mailbox, struct wire_message *message);

/*
 * A full backup now, unless nothing changed since the last one; behind the one that is under way, which
 * may have begun before what was committed last. `on_done` hears what became of it: is_new false, nothing
 * had changed. ERR_BUSY: too many wait for it. ERR_NOT_FOUND: none are configured.
 */
typedef void (*mailbox_backup_done)(void *owner, enum err err, const char *words, bool is_new,
                                    uint64_t size_bytes);
MUST_CHECK enum err mailbox_backup_now(struct mailbox *mailbox, struct task *task,
                                       mailbox_backup_done on_done, void *owner);
/* Whoever asked is gone. */
void mailbox_backup_forget(struct mailbox *mailbox, const void *owner);
/* Asked every now and then by who asked and need not wait: true, the destination is too slow; he does not hear of
 * it, and the one under way was given up. */
bool mailbox_backup_forget_if_slow(struct mailbox *mailbox, const void *owner);

/*
 * Asks the archivist; the answer comes once (a fd is the callee's if he takes it out of the message),
 * also when the store goes. mailbox_archive_forget: no longer wanted.
 */
typedef void (*mailbox_archive_answer)(void *owner, enum wire_status status,
                                       struct wire_message *message);
void mailbox_archive_get(struct mailbox *mailbox, struct str name, mailbox_archive_answer on_answer,
                         void *owner);
void mailbox_archive_list(struct mailbox *mailbox, struct str prefix, struct str after,
                          mailbox_archive_answer on_answer, void *owner);
void mailbox_archive_forget(struct mailbox *mailbox, const void *owner);

#endif
