/*
 * A session that sleeps: its state as about a hundred bytes, from which another mailbox process
 * makes a session that goes on where this one stopped. The client notices nothing.
 *
 * The state does not hold the numbering of messages. It names the folder, its UIDVALIDITY and the
 * MODSEQ up to which the client was told; the messages that it knew then are those that are there
 * now, below the UIDNEXT of then, and those expunged since.
 *
 * Of the messages that are \Recent in it, the newest stay so, IMAP_HIBERNATED_RANGES_MAX ranges.
 * Two sessions that are told of new mail in turn have a range for each message, and would not sleep
 * any more; and no client that is known goes by \Recent of old mail (RFC 9051 has it no more).
 *
 * What is costly to keep does not sleep: a command under way (but IDLE), half a line of input,
 * output that waits, an expunge that could not be announced yet, a large saved search result,
 * NOTIFY, the news of metadata. Of compression the state says that it is on; who carries the bytes
 * keeps what it goes on with (net/compress.h). Whoever gives a session more to remember adds it
 * here: what is enabled is kept as it is (enum imap_extension), another boolean is a row of
 * `kept_flags` in hibernate.c, anything else a field of struct imap_hibernated (and a new version),
 * or a line in imap_session_can_hibernate.
 */
#ifndef IMAP_HIBERNATE_H
#define IMAP_HIBERNATE_H

#include "base/buf.h"
#include "imap/session.h"
#include "imap/set.h"

enum {
    IMAP_HIBERNATED_TAG_MAX = 128,   /* of the IDLE that is under way */
    IMAP_HIBERNATED_RANGES_MAX = 16, /* of \Recent, and as many of the saved result */
    IMAP_HIBERNATED_MAX = 512,       /* bytes of a state */
};

/* The state, read. */
struct imap_hibernated {
    unsigned enabled; /* a set of enum imap_extension */
    uint64_t flags;   /* `kept_flags` of hibernate.c, a bit each */
    uint64_t bad_count;
    bool is_idling;
    struct str idle_tag; /* borrowed from the state's text */
    bool is_selected;    /* and then: */
    bool is_read_only;
    int64_t folder_id;
    uint32_t incarnation;
    uint32_t next_uid;
    uint64_t modseq;
    uint64_t keywords; /* imap_view_keywords */
    size_t recent_count, saved_count;
    struct imap_range recent[IMAP_HIBERNATED_RANGES_MAX]; /* ascending */
    struct imap_range saved[IMAP_HIBERNATED_RANGES_MAX];  /* likewise */
};

/* False while something is under way that the state cannot hold. */
bool imap_session_can_hibernate(const struct imap_session *session);
/* The state, for a session that can; the session is as before, to be freed or to go on. */
void imap_session_hibernate(const struct imap_session *session, struct buf *out);
/* The folder whose changes it must hear of although it sleeps (it is in IDLE there); 0: none. */
int64_t imap_session_watched_folder(const struct imap_session *session);
/*
 * A session that goes on from there; `vault` is borrowed. In IDLE it wants a turn, in which it
 * tells what happened meanwhile. A folder that is gone, or whose UIDVALIDITY changed, ends it with
 * BYE when it looks, as when awake; a sleep for longer than the vault remembers what was expunged
 * ends it at once.
 *
 * ERR_INVALID  no state of ours
 */
MUST_CHECK enum err imap_session_resume_hibernated(const struct imap_options *options,
                                                   struct vault *vault, struct task *task,
                                                   struct str state,
                                                   struct imap_session **out_session);

/* The text and back, for the above and the fuzzer. */
void imap_hibernated_write(const struct imap_hibernated *state, struct buf *out);
/* ERR_INVALID: not what `write` writes, in this version. */
MUST_CHECK enum err imap_hibernated_read(struct str text, struct task *task,
                                         struct imap_hibernated *out);

#endif
