/*
 * NOTIFY (RFC 5465): what a client wants to hear of without asking, and what it has been told.
 *
 * Changes are only noted as they are committed (imap_notify_heard) and told when the session's turn
 * comes and no command is running, or IDLE is; many changes of a mailbox become one STATUS. So
 * nothing is queued, whatever happens, and a client that does not read costs nothing.
 */
#ifndef IMAP_NOTIFY_H
#define IMAP_NOTIFY_H

#include "imap/fetch.h"
#include "vault/folder.h"

struct imap_session;

enum {
    IMAP_NOTIFY_GROUPS_MAX = 100,
    IMAP_NOTIFY_NAMES_MAX = 1000, /* in all of them */
};

/* RFC 5465 §5; a set. */
enum imap_notify_event {
    IMAP_NOTIFY_MESSAGE_NEW = 1 << 0,
    IMAP_NOTIFY_MESSAGE_EXPUNGE = 1 << 1,
    IMAP_NOTIFY_FLAG_CHANGE = 1 << 2,
    IMAP_NOTIFY_MAILBOX_NAME = 1 << 3,
    IMAP_NOTIFY_SUBSCRIPTION_CHANGE = 1 << 4,
    IMAP_NOTIFY_MAILBOX_METADATA = 1 << 5,
    IMAP_NOTIFY_SERVER_METADATA = 1 << 6,
    IMAP_NOTIFY_MESSAGES =
        IMAP_NOTIFY_MESSAGE_NEW | IMAP_NOTIFY_MESSAGE_EXPUNGE | IMAP_NOTIFY_FLAG_CHANGE,
};

/* RFC 5465 §6. Mail may be delivered into any folder, so "inboxes" are the personal mailboxes. */
enum imap_notify_filter {
    IMAP_NOTIFY_SELECTED,
    IMAP_NOTIFY_SELECTED_DELAYED,
    IMAP_NOTIFY_PERSONAL,
    IMAP_NOTIFY_SUBSCRIBED,
    IMAP_NOTIFY_SUBTREE,
    IMAP_NOTIFY_MAILBOXES,
};

struct imap_notify_group {
    enum imap_notify_filter filter;
    unsigned events;
    struct str *names; /* of SUBTREE and MAILBOXES */
    size_t name_count;
    bool has_fetch; /* MessageNew with fetch-atts: `fetch` without a set */
    struct imap_fetch_args fetch;
};

struct imap_notify_args {
    struct str text; /* as it came, to be parsed once more into what outlives the command */
    bool is_none;
    bool has_status;
    bool is_unsupported; /* an event that is none of ours: NO [BADEVENT] */
    bool is_too_much;    /* NO [NOTIFICATIONOVERFLOW] */
    struct imap_notify_group *groups;
    size_t group_count, name_count;
    /* progress: the STATUS answers */
    bool is_started;
    struct vault_folder *folders;
    size_t folder_count, next;
};

/* The session's registration. NULL in the session: NOTIFY was never used. */
struct imap_notify;
/* From here on, instead of what was before. The snapshot is taken now. */
MUST_CHECK enum err imap_notify_set(struct imap_session *s, struct task *task,
                                    const struct imap_notify_args *args);
void imap_notify_free(struct imap_notify **notify);

/* The message events that the client wants of this mailbox while it is not selected. */
unsigned imap_notify_events(const struct imap_session *s, const struct vault_folder *folder);
/* What STATUS must tell for such events (RFC 5465 §3.1). */
unsigned imap_notify_status_items(unsigned events);
/* Nothing of the selected mailbox is to be told (§3.1), but what the running command did itself. */
bool imap_notify_is_muted(const struct imap_session *s);
/* EXPUNGE may be told whenever no command is running (§6.1.1). */
bool imap_notify_expunges_at_once(const struct imap_session *s);
bool imap_notify_wants_flags(const struct imap_session *s);
/* A change of an annotation of this folder (id 0: of the mailbox as a whole) is to be told. */
bool imap_notify_wants_metadata(const struct imap_session *s, const struct vault_folder *folder);
/* The view has taken in new messages from this UID on. */
void imap_notify_arrived(struct imap_session *s, uint32_t first_uid);

/*
 * Before the view goes: what was to be fetched of it is forgotten. What was held back of it,
 * EXPUNGEs (§6.1.2) or all that SELECTED does not have (§3.1), becomes a change of a mailbox that
 * is not selected (§5.1 to §5.3), so that what the client knows of it by the other filters is
 * right.
 */
void imap_notify_deselecting(struct imap_session *s);

/* From a commit: the folder, or -1 the list of them, changed. */
void imap_notify_heard(struct imap_session *s, int64_t folder_id);
/* There is something to tell, and it may be told now. */
bool imap_notify_has_news(const struct imap_session *s);
/* Tells it. */
void imap_notify_tell(struct imap_session *s);
/* The FETCH of new messages, which nobody asked for, is over. */
void imap_notify_fetched(struct imap_session *s);

#endif
