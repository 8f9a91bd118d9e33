/*
 * The inside of a mailbox process: one vault, its sessions, its deliveries. role/mailbox.c starts
 * it; mailbox/session.c carries a client's bytes to an engine, mailbox/hibernate.c puts sessions to
 * sleep, mailbox/delivery.c stores mail, mailbox/load.c says when there is too much to do.
 *
 *   waiting for the key ──> open (vault, drop box imported, lane renewed) ──> serving ──> ending
 *
 * Everything here runs in one event loop turn after another; the vault is never touched by two
 * things at once.
 */
#ifndef MAILBOX_MAILBOX_H
#define MAILBOX_MAILBOX_H

#include "net/loop.h"
#include "role/mailbox.h"
#include "vault/change.h"
#include "wire/channel.h"

enum {
    MAILBOX_SESSIONS_MAX = 1000,
    MAILBOX_KEY_TIMEOUT_MS = 10 * 1000,   /* for the keeper to send the key */
    MAILBOX_ENDING_MS = 3 * 1000,         /* for clients to take their last bytes */
    MAILBOX_USAGE_DELAY_MS = 50,          /* changes within it are reported together */
    MAILBOX_HOUSEKEEPING_IDLE_MS = 1000,  /* without a change: then what was put off is done, */
    MAILBOX_HOUSEKEEPING_PAUSE_MS = 20,   /* a slice at a time; */
    MAILBOX_HOUSEKEEPING_BUSY_MS = 1000,  /* while a command is under way, so seldom, */
    MAILBOX_HOUSEKEEPING_BEHIND_MS = 100, /* or so seldom when catching up; */
    /* without a session, without pauses, but then the process ends, and the next one goes on. */
    MAILBOX_HOUSEKEEPING_LAST_MS = 120 * 1000,
    MAILBOX_RENEWAL_AT_LOGIN_MS = 50, /* new keys for the drop box, behind the first answers */
    MAILBOX_RENEWAL_MS =
        60 * 60 * 1000,               /* between looks whether the drop box is due for new keys */
    MAILBOX_BACKUP_PAUSE_MS = 200,    /* while a backup is made, nobody asks whether to end */
    MAILBOX_IDLE_AGAIN_MS = 5 * 1000, /* the store did not let us end: ask again */
};

struct imap_group;
struct mailbox_session;
struct mailbox_delivery;
struct mailbox_job;
struct mailbox_backup;
struct mailbox_rebuild;

struct mailbox {
    const struct mailbox_start *start; /* borrowed */
    struct net_loop *loop;             /* own */
    struct wire_channel *store;        /* own */
    struct wire_channel *keeper;       /* own; NULL: the keeper is gone */
    struct wire_channel *nursery;      /* own; brings a channel to the next keeper */
    struct vault *vault;               /* own; NULL before the key came */
    struct imap_group *appends;        /* own; committed before anything else uses the vault */
    struct secret *key;                /* own; for children that open the file (mailbox/child.h) */
    struct secret *next_key; /* own; NULL: the file is under its last key (docs/passwords.md) */
    struct secret *drop_key; /* own; likewise */
    struct secret *pass_key; /* own; likewise: checks the sessions' passes */
    struct secret *next_pass_key;   /* own; from the next key, NULL: there was none */
    struct secret *former_pass_key; /* own; of sessions from before a re-encryption; NULL: none */
    uint64_t passes_since;          /* those of logins up to this one count no more */
    bool is_being_copied;           /* it is re-encrypted: what can wait is not written meanwhile */
    bool is_rekeyed; /* the file is under what was the next key: the keeper has to know */
    struct vault_subscriber changes;
    struct mailbox_session *sessions; /* own, a list */
    size_t session_count;
    struct mailbox_delivery *first_delivery, *last_delivery; /* own, a queue */
    struct mailbox_job *jobs; /* own, a list; what the owner asked for (mailbox/jobs.h) */
    size_t job_count;
    struct mailbox_backup *backup;    /* own; NULL: none are configured (mailbox/backup.h) */
    struct mailbox_rebuild *rebuild;  /* own; the one under way, or ending (mailbox/rebuild.h) */
    struct net_timer *delivery_timer; /* own: stores what is queued */
    struct net_timer *usage_timer;    /* own: tells the keeper */
    struct net_timer *idle_timer;     /* own: nobody there for a while */
    struct net_timer *housekeeping_timer; /* own: work that was put off */
    struct net_timer *renewal_timer;      /* own: the drop box in a long session */
    struct net_timer *hibernate_timer;    /* own: sessions that are silent */
    struct net_timer *deadline;           /* own: the key is late, or the end is */
    struct vault_options vault_options;   /* as the file was opened, or was to be */
    bool is_damaged;       /* it does not open: nothing can be done but restoring it */
    bool is_hibernate_due; /* that timer runs */
    bool has_housekeeping; /* work was put off, and is not done yet */
    int64_t unused_ms; /* monotonic: since when there is no session, delivery or job; 0: there is */
    bool is_key_only_here;         /* the keeper that had it too is gone: no session may sleep */
    bool is_watched;               /* somebody sleeps in IDLE: the store hears of changes */
    bool has_imported;             /* waiting mail was taken over */
    bool was_renewed;              /* the drop box's keys, or they were not an hour old */
    bool owes_renewal;             /* it was time to look, and there was no session */
    bool is_catching_up;           /* the vault is behind: slices go between the commands */
    int64_t housekeeping_waits_ms; /* monotonic: since when for a command's end; 0: it does not */
    bool is_ending;
};

/* Looks whether the process has become idle, or busy again. After every change of either kind. */
void mailbox_check_idle(struct mailbox *mailbox);
/* Something was put off although nothing changed: done when nobody changes anything for a second.
 */
void mailbox_housekeep_later(struct mailbox *mailbox);
/* Nothing is done by itself any more: before the vault is closed, since the loop may go on after
 * that. */
void mailbox_stop_timers(struct mailbox *mailbox);
/* No more of it: clients get BYE, the vault is closed, the loop stops. */
void mailbox_end(struct mailbox *mailbox, const char *why);
/* The wire's word for why the vault refused `size_bytes` more. */
enum wire_status mailbox_status(const struct mailbox *mailbox, enum err err, uint64_t size_bytes);

/* Was this session opened by the keeper? Its pass is from either key. */
bool mailbox_pass_is_valid(const struct mailbox *mailbox, const struct id *session,
                           uint64_t service, struct str pass);
/* Tells the keeper, if there is one, that the file is under the next key. */
void mailbox_tell_rekeyed(struct mailbox *mailbox);
/* The options that the vault was opened with, but for what the registry has seen. */
struct vault_options mailbox_vault_options(const struct mailbox *mailbox);

/* session.c: takes the client's stream over; the answer to the store is the caller's. */
MUST_CHECK enum err mailbox_session_open(struct mailbox *mailbox,
                                         const struct wire_session_open *open, int fd);
/* Tells every client BYE; they go as they have taken it. */
void mailbox_session_end_all(struct mailbox *mailbox, const char *words);
/* Is a command under way in one of them: more to do, or an answer that the client has to take? */
bool mailbox_session_is_one_busy(const struct mailbox *mailbox);
/* At once. */
void mailbox_session_free_all(struct mailbox *mailbox);

/* load.c: should a client that nobody waits for come back later? */
bool mailbox_is_under_load(void *mailbox);

/* hibernate.c: a session began or goes on: look after it when it has been silent for long. */
void mailbox_hibernate_later(struct mailbox *mailbox);
void mailbox_hibernate_check(void *mailbox);
/* The gate's answer to an offer. */
void mailbox_hibernate_reply(struct mailbox *mailbox,
                             const struct wire_session_hibernate_reply *body);
/* Tells the store that a folder changed, for those who sleep in IDLE; -1: the list of folders. */
void mailbox_hibernate_changed(struct mailbox *mailbox, int64_t folder_id);
/* Sessions sleep since before this process was, some of them in IDLE. */
void mailbox_hibernate_sleepers(struct mailbox *mailbox, bool is_watched);

/* delivery.c: queues one DELIVER; what comes in one turn of the loop is committed together. */
void mailbox_delivery_queue(struct mailbox *mailbox, struct wire_message *message);
void mailbox_delivery_run(void *mailbox);
void mailbox_delivery_free_all(struct mailbox *mailbox);

#endif
