/*
 * What a mailbox's process knows of the destination of its backups, by what it answers, and for how
 * long it waits for it. A copy of the mailbox is not made for one that is not known to be there.
 * The process has the mailbox's key; so when all that it is there for is that the destination takes
 * what is on its way, a destination that does not answer, or takes it a byte now and then, must not
 * keep it. Times are monotonic.
 */
#ifndef MAILBOX_BACKUP_PEER_H
#define MAILBOX_BACKUP_PEER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BACKUP_PEER_SILENT_MS = 30 * 1000, /* without any answer, which may be to a question beside */
    BACKUP_PEER_ASK_MS = 10 * 1000,    /* so that one is asked behind so much silence */
    BACKUP_PEER_BYTES_PER_S = 256 * 1024, /* of what is on its way, behind the first 30 seconds */
    BACKUP_PEER_MOST_MS = 10 * 60 * 1000, /* all in all */
    BACKUP_PEER_KNOWN_MS = 60 * 1000,     /* an answer says for so long that it is there */
    BACKUP_PEER_LOOK_MS = 5 * 1000, /* of the time between two looks no more was waited for it */
};

struct backup_peer {
    int64_t looked_ms; /* 0: not yet */
    /* Waited for: since the last answer, since something was taken or refused, and all in all. */
    int64_t silent_ms, put_ms, all_ms;
    bool is_given_up;
    bool is_refusing; /* the last answer was no good one */
    int64_t good_ms;  /* the last good one; 0: none */
};

/* Somebody is there for whom it may take its time: what was waited so far does not count. */
void backup_peer_be_patient(struct backup_peer *peer);
/* It answered something; `is_put`: that it took an object, or (not good) did not. */
void backup_peer_answered(struct backup_peer *peer, bool is_put, bool is_good, int64_t now_ms);
/* A copy may be made for it; false: it is to be asked something first. */
bool backup_peer_is_there(const struct backup_peer *peer, int64_t now_ms);
/*
 * Called every now and then: it is waited for, with so much on its way (or with work of our own,
 * which is nobody's delay: is_ours). True: no longer, and from then on at once.
 */
bool backup_peer_is_too_slow(struct backup_peer *peer, bool is_ours, uint64_t bytes,
                             int64_t now_ms);
/* It is to be asked something, as it has been silent. */
bool backup_peer_should_be_asked(const struct backup_peer *peer);

#endif
