/*
 * What the files of a mailbox's backups share: backup.c has the log, and the life of all of it,
 * backup_full.c the full copies, backup_archive.c what is asked of the archivist.
 */
#ifndef MAILBOX_BACKUP_INTERNAL_H
#define MAILBOX_BACKUP_INTERNAL_H

#include "backup/manifest.h"
#include "backup/shipper.h"
#include "backup/snapshot.h"
#include "mailbox/backup.h"
#include "mailbox/backup_note.h"
#include "mailbox/backup_peer.h"

enum {
    MAILBOX_BACKUP_NAME_ROOM = 96,
    MAILBOX_BACKUP_ASKS_MAX = 16,
    MAILBOX_BACKUP_WAITERS_MAX = 8
};

/* What was asked and is not answered yet. */
struct backup_ask {
    uint64_t tag;                     /* 0: the place is free */
    mailbox_archive_answer on_answer; /* NULL: nobody waits for it any more */
    void *owner;
    uint64_t size_bytes; /* of what is put */
};

/* A full backup: the copy, its file on the way, its manifest on the way. */
struct backup_full {
    struct snapshot *copy;   /* own; NULL: not now */
    struct net_watch *watch; /* own */
    int fd, own_fd;          /* own; of the copy (backup/nameless.h); -1 */
    struct manifest manifest;
    char name[MAILBOX_BACKUP_NAME_ROOM]; /* without .sqlite or .json */
    bool is_active;
    uint64_t number; /* of this process's full backups: this one, or the last one */
};

/* Who wants to hear of a full backup. */
struct backup_waiter {
    uint64_t number; /* of the backup: what is committed when it is asked for is in it. 0: free */
    mailbox_backup_done on_done;
    void *owner;
};

/* A log on its way. */
struct backup_way {
    struct mailbox_backup *backup; /* borrowed */
    struct shipper *shipper;       /* own */
};

struct mailbox_backup {
    struct mailbox *mailbox;    /* borrowed */
    struct backup_way *way;     /* own */
    struct backup_way *old_way; /* own; of the file from before a re-encryption, or of the
                            generation before; NULL: none, or all is sent */
    struct backup_way
        *next_way;          /* own; the next generation's, while it begins; NULL: it does not */
    struct secret *mac_key; /* own */
    struct net_timer *ship_timer, *full_timer, *farewell; /* own */
    struct backup_ask asks[MAILBOX_BACKUP_ASKS_MAX];
    uint64_t last_tag;
    struct backup_peer peer;
    struct backup_full full;
    struct backup_waiter waiters[MAILBOX_BACKUP_WAITERS_MAX];
    struct mailbox_backup_note note;
    int64_t retry_at_ms; /* monotonic; until then none is made of its own accord, as one failed */
    bool is_full_wanted; /* one is due when the destination has answered that it is there */
    bool is_probing;     /* the archivist was asked only to hear of the destination */
    bool is_off;         /* the archivist has no destination */
    bool is_begun;       /* the file is open */
};

/* --- backup.c --- */

/* The destination is well: what was put off for its sake goes on. */
void mailbox_backup_go_on(struct mailbox_backup *backup);

/* --- backup_archive.c --- */

/* `digest`: CRYPT_HASH_BYTES. */
void mailbox_archive_put(struct mailbox_backup *backup, const char *name, int fd,
                         uint64_t size_bytes, const unsigned char *digest,
                         mailbox_archive_answer on_answer, void *owner);

/* Asks for nothing that is there, if nobody waits for such an answer already: what waited for it
 * goes on when it is good. */
void mailbox_archive_probe(struct mailbox_backup *backup);
/* What is on its way to the archivist and not answered yet. */
uint64_t mailbox_archive_bytes(const struct mailbox_backup *backup);

/* --- backup_full.c --- */

/* Before the file is opened. */
void mailbox_full_prepare(struct mailbox_backup *backup, struct task *task);
/* A timer's: begins one that is due, and looks again a while later. */
void mailbox_full_look(void *backup);
/* One is to be begun now. */
bool mailbox_full_is_due(const struct mailbox_backup *backup);
/* What the last one was, or that none is known, whatever was before; nothing is put off any more.
 */
void mailbox_full_note_last(struct mailbox_backup *backup, int64_t last_ms, uint64_t last_counter);
/* A copy of the mailbox was not taken, full or a log's base: neither is made again at once. */
void mailbox_full_put_off(struct mailbox_backup *backup);
/* One was taken: they need not wait any more. */
void mailbox_full_was_taken(struct mailbox_backup *backup);
/* Such a copy may be made now; false: not now, or the destination is asked first
 * (mailbox_archive_probe). */
bool mailbox_full_may_copy(struct mailbox_backup *backup);
/* The file is closed next: the one under way is given up. */
void mailbox_full_end(struct mailbox_backup *backup);
/* The one under way ends, as one that failed; whatever the archivist has of it becomes nothing. */
void mailbox_full_give_up(struct mailbox_backup *backup, const char *words);
/* The file is under a new key: one that is on its way is for nothing, and who waits for it waits
 * for the next. Not while it is copied. */
void mailbox_full_rekeyed(struct mailbox_backup *backup);
/* Behind that: the next is begun, if somebody waits for it. */
void mailbox_full_begin_next(struct mailbox_backup *backup);
void mailbox_full_done(struct mailbox_backup *backup);

#endif
