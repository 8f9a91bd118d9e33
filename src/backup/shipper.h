/*
 * Log shipping: every commit of the mailbox goes to the backup's destination, within a second, as
 * it is on disk (backup/segment.h). An engine: it is told of commits, times and answers, and asks
 * for objects to be put; mailbox/backup.c carries those.
 *
 *     ┌───────────────────────────── a gap ──────────────────────────────┐
 *     v                                                                  │
 *   NONE ──> COPYING ──> BASE ───────────────────────> MANIFEST ──> RUNNING
 *            a child      │  is put                    ^  is put    a segment
 *            copies       v                            │            after the other
 *            the file   CATCHING_UP ──────> READY ─────┘
 *                       one that follows    has what the one before
 *                       puts segments       has, and takes over
 *
 *   any ──> OFF: there is no destination
 *
 * A day's end must not wait for the base of the next generation, which is as large as the mailbox:
 * the generation goes on until a second shipper (shipper_follow) has put the next one's base, and
 * segments, so that it has all that the one before has when it is found. Then it takes over
 * (shipper_take_over), and only then puts its manifest: restoring takes the generation that begins
 * last, so from then on nothing may go on with the one before, whatever becomes of this process.
 * One that ends before the manifest is answered leaves no note, and the next begins with a base of
 * its own. After a gap there is nothing to go on with, and what is committed until the new base is
 * at the destination is on the data disk only.
 *
 * From COPYING on, what is committed is written into the next segment: in memory while it is small,
 * then a file without a name in the mailbox's folder (ciphertext), so memory stays bounded. One
 * segment is on its way at a time; what is committed meanwhile goes into the next. A base that the
 * destination does not take is not kept, as it is as large as the mailbox: another is made. When more than
 * SHIPPER_PENDING_MAX waits, because the destination is away, the generation ends there: a gap that
 * restoring names. The next begins a while later, when it may (wait_to_begin).
 *
 * A commit is read from the log behind the answer to its client, with others of that moment: at the
 * next shipper_run, and always before the log can begin anew (db_set_log_reader), so a checkpoint
 * loses nothing. What the log does not say of it, its time and change counter, is noted at once.
 * What a crash leaves: the commits since the last answer are still in the log, whose place is in
 * <id>.shipping; shipper_new, before the mailbox is opened (which empties the log), reads them. If
 * the log is not the one of that place, a new generation begins.
 */
#ifndef BACKUP_SHIPPER_H
#define BACKUP_SHIPPER_H

#include "base/log.h"
#include "secret/crypt.h"
#include "vault/vault.h"

enum {
    SHIPPER_BATCH_MS = 250,  /* commits within it go together */
    SHIPPER_RETRY_MS = 1000, /* after the destination did not take one; doubled, up to */
    SHIPPER_RETRY_MAX_MS = 60 * 1000,
    SHIPPER_MEMORY_MAX = 4 * 1024 * 1024, /* of the next segment in memory */
    SHIPPER_UNREAD_MAX = 256, /* frames of the log that are not read at once: a megabyte */
    SHIPPER_COPY_TIMEOUT_MS = 60 * 60 * 1000,
};
#define SHIPPER_PENDING_MAX (UINT64_C(256) * 1024 * 1024)
#define SHIPPER_GENERATION_MS (INT64_C(24) * 60 * 60 * 1000)

struct shipper;

struct shipper_options {
    const char *folder; /* the mailbox's; borrowed, as all here */
    struct id mailbox;
    const struct secret *key; /* the mailbox's, MAILBOX_KEY_BYTES */
    const struct log *log;
    uint64_t pending_max; /* SHIPPER_PENDING_MAX but in tests */
    /* Puts an object; `fd` and the rest are borrowed for the call. shipper_answered follows, later. */
    void (*put)(void *owner, const char *name, int fd, uint64_t size_bytes,
                const unsigned char digest[CRYPT_HASH_BYTES]);
    /* A generation would begin, which takes a copy of the mailbox. Gives 0: it may; the milliseconds until this is
     * to be asked again; -1: a while later. NULL: it always may. */
    int64_t (*wait_to_begin)(void *owner);
    /* Something was committed: shipper_run is to be called, when those who wait for it have their answers. */
    void (*on_work)(void *owner);
    void *owner;
};

enum shipper_answer {
    SHIPPER_STORED,
    SHIPPER_AGAIN, /* not now */
    SHIPPER_OFF,   /* there is no destination */
};

/* Before the mailbox's file is opened. Never fails: without a past it begins anew. */
struct shipper *shipper_new(struct task *task, const struct shipper_options *options);
/* When it is open. The vault is borrowed until shipper_detach. */
void shipper_attach(struct shipper *shipper, struct vault *vault);
/* Before vault_close: a copy that is being made would not be one, and is given up. */
void shipper_before_close(struct shipper *shipper);
/* After it: shipper_run goes on until all is shipped. */
void shipper_after_close(struct shipper *shipper);
/* The base is being copied: the mailbox should not be closed now. */
bool shipper_is_copying(const struct shipper *shipper);
/* Or on its way to the destination, which takes it: if the process ended, it would have been for nothing.
 * Or held up by a full backup: what was committed meanwhile is nowhere else. */
bool shipper_is_beginning(const struct shipper *shipper);
/*
 * Does what is due. Gives the milliseconds until it wants to be called again; -1: not before on_work
 * or an answer.
 */
int64_t shipper_run(struct shipper *shipper, int64_t now_ms);
void shipper_answered(struct shipper *shipper, enum shipper_answer answer, int64_t now_ms);
/* Everything that was committed is at the destination, as far as it ever will be. */
bool shipper_is_done(const struct shipper *shipper);
/* The destination did not take what was put last, and is not to be asked again for now. */
bool shipper_is_put_off(const struct shipper *shipper);
/* The file was re-encrypted, and another shipper has its new log: what was committed before is still
 * put, then this one is done. It notes nothing for the next process any more. */
void shipper_leave(struct shipper *shipper);
/* What was put off is tried with the next shipper_run. */
void shipper_retry(struct shipper *shipper);
/* The base is on its way: a copy of the mailbox for which the destination answers. */
bool shipper_is_putting_base(const struct shipper *shipper);
/* What was asked is not waited for any more, its answer does not come: the generation that begins ends. */
void shipper_abandon(struct shipper *shipper, const char *why, int64_t now_ms);
/* A day is over, and it runs: another one should follow. Not while one does. */
bool shipper_is_old(const struct shipper *shipper, int64_t now_ms);
/*
 * The one that begins the next generation, of a mailbox that is open: it hears of the log from
 * `before`, which it is freed before, or takes over from; it can be given up until then.
 */
struct shipper *shipper_follow(struct shipper *before, const struct shipper_options *options);
/* All but its manifest is at the destination, or the one before has ended. */
bool shipper_may_take_over(const struct shipper *shipper);
/* Puts the manifest. The one before only puts what it has, as after shipper_leave. */
void shipper_take_over(struct shipper *shipper, int64_t now_ms);
/* The file was exchanged or put back: begins anew. */
void shipper_end_generation(struct shipper *shipper, const char *why);
/* After shipper_after_close: notes that the file has nothing that was not shipped. Then frees. */
void shipper_close(struct shipper **shipper);

#endif
