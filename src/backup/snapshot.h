/*
 * The heavy part of a backup, in a forked child, so that sessions go on: a copy of the mailbox's
 * file, checked. The child dies with its parent, has the parent's sandbox and key, and none of its
 * channels. What it finds comes back over a pipe; when the parent does not want it any more it closes
 * that, and the child ends within a moment.
 *
 * SNAPSHOT_FULL   VACUUM INTO the target (consistent, encrypted, whatever is written meanwhile), whose
 *                 pages a helper encrypts and writes (sqlite/page_writer.h), and another sends to the
 *                 disk (base/writeback.h); then the copy is opened with the key, integrity_check, and
 *                 meanwhile, by a helper which has no key, its digest. As long as the mailbox is read, the
 *                 log cannot be written back: the parent does not try (db_hold_checkpoints), one of the
 *                 helpers does it beside the check (backup/settle.h), so that no session waits for it
 * SNAPSHOT_BASE   the file's bytes as they are, while no checkpoint may run (db_hold_checkpoints)
 * SNAPSHOT_CHECK  the target only: opened with the key, integrity_check, digest
 *
 * The memory is bounded whatever the size, and so is what waits for the disk (base/writeback.h). The
 * target is not synced. One that was not finished, or failed, is removed.
 */
#ifndef BACKUP_SNAPSHOT_H
#define BACKUP_SNAPSHOT_H

#include "base/id.h"
#include "base/task.h"
#include "secret/crypt.h"
#include "vault/vault.h"

/* Of the child: sessions, and what of the kernel they wait for, come first. */
enum { SNAPSHOT_NICENESS = 5 };

/* That a copy must leave on its disk. */
enum { SNAPSHOT_SPARE_BYTES = 16 * 1024 * 1024 };

enum snapshot_kind { SNAPSHOT_FULL, SNAPSHOT_BASE, SNAPSHOT_CHECK };

struct snapshot_request {
    enum snapshot_kind kind;
    const char *path;         /* the mailbox's file; not for CHECK */
    const char *target;       /* an absolute path, in the mailbox's folder */
    const struct secret *key; /* MAILBOX_KEY_BYTES; not for BASE */
    /* The parent's, let go of in the child; may be NULL. Borrowed until the snapshot is collected or
     * freed, which is before the vault is closed. */
    struct vault *vault;
    int64_t timeout_ms;
    /* Asked every now and then; false: it is given up (ERR_BUSY). NULL: it is wanted. */
    bool (*is_wanted)(void *owner);
    void *owner;
};

struct snapshot_result {
    enum err err; /* ERR_BUSY: it took too long; ERR_LIMIT: no room on the disk */
    char words[TASK_WORDS_MAX];
    uint64_t size_bytes;
    unsigned char digest[CRYPT_HASH_BYTES]; /* SHA-256 of the target */
    /* From inside the copy; not for BASE. */
    struct id mailbox;
    uint64_t epoch, change_counter, schema;
    uint64_t took_ms;
};

struct snapshot;

/* ERR_IO: no process could be made; ERR_LIMIT: a copy could take all the room of the disk with the mailboxes, which
 * sessions and deliveries need, so none is begun. What is pointed to is borrowed for the call. */
MUST_CHECK enum err snapshot_start(struct task *task, const struct snapshot_request *request,
                                   struct snapshot **out_snapshot);
/* Becomes readable when there is a result, or the child has died. Borrowed. */
int snapshot_fd(const struct snapshot *snapshot);
/* Then; waits where it is called earlier. A child that died gives ERR_IO. */
void snapshot_collect(struct snapshot *snapshot, struct snapshot_result *out);
/* Gives it up where it runs still; its target goes. Waits that moment for a full backup's child. */
void snapshot_free(struct snapshot **snapshot);

/* The same in this process: for a tool, a test, or where nobody waits. */
void snapshot_run(const struct snapshot_request *request, struct snapshot_result *out);

#endif
