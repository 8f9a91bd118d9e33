/*
 * The selected mailbox as this session numbers it: the UIDs by message number. It changes only in
 * imap_view_sync, which announces every change as it makes it (RFC 3501 §7.4.1, §5.2).
 *
 * A message that another session expunged stays in `uids`, and fetchable, until a command that may
 * announce EXPUNGE ends; meanwhile its UID is in `gone`.
 */
#ifndef IMAP_VIEW_H
#define IMAP_VIEW_H

#include "base/buf.h"
#include "imap/facts.h"
#include "imap/set.h"
#include "vault/change.h"

struct imap_session;

enum { IMAP_VIEW_RECENT_MAX = 1024 };

struct imap_view {
    int64_t folder_id;
    uint32_t uidvalidity; /* when it was selected */
    uint32_t incarnation; /* vault_folder */
    bool is_read_only;
    uint32_t *uids; /* own; ascending */
    size_t count, room;
    struct imap_facts *facts; /* own; NULL: nothing is kept in memory of the messages */
    uint32_t next_uid;        /* above every UID that was announced */
    uint64_t modseq;          /* all changes up to it are known here */
    uint64_t safe_modseq;     /* while `gone` is not empty: the others up to it are told */
    uint64_t flags_modseq;    /* not 0: flags that changed after it are not told (notify.h) */
    bool is_modseq_told;      /* one was that is above what the client may resume from */
    bool is_resume_told;      /* what it may resume from was told, and was not the newest */
    bool is_others_known;     /* nothing of others has happened that is not in `modseq` */
    uint64_t keywords;        /* imap_view_keywords, that FLAGS told of */
    uint32_t *gone;           /* own; ascending */
    size_t gone_count;
    struct imap_range *recent; /* own; UIDs that are \Recent in this session, ascending; at most
                                  IMAP_VIEW_RECENT_MAX, and then the newest */
    size_t recent_count;
    struct imap_range *saved; /* own; "$": the UIDs of the saved search result, ascending */
    size_t saved_count;
};

void imap_view_init(struct imap_view *view);
void imap_view_done(struct imap_view *view);
/* Reads the folder afresh. `first_unseen` is a message number, 0: none; `messages` are the view's,
 * in the task's arena. */
MUST_CHECK enum err imap_view_open(struct imap_view *view, struct vault *vault, struct task *task,
                                   const struct vault_folder *folder, bool is_read_only,
                                   struct vault_uid_flags **out_messages, size_t *out_first_unseen);

/* The index (message number - 1) of the first UID that is not below `uid`; count: none. */
size_t imap_view_index(const struct imap_view *view, uint32_t uid);
bool imap_view_has(const struct imap_view *view, uint32_t uid);
bool imap_view_is_recent(const struct imap_view *view, uint32_t uid);
/* Its messages are those that the folder has just now, with nothing left to be told. */
bool imap_view_is_current(const struct imap_view *view, const struct vault *vault);
size_t imap_view_recent_count(const struct imap_view *view);
/* The same as ranges, at most `most`, ascending: those of messages that are in the view, as few as
 * can be. If there are more, the newest. Returns how many. */
size_t imap_view_recent_ranges(const struct imap_view *view, struct imap_range *out, size_t most);

/* Of ascending indexes, the end of the stretch from `start` on that is worth one cursor: what lies
 * between its messages is read past. */
size_t imap_view_stretch(const uint32_t *indexes, size_t count, size_t start);

/*
 * The saved search result (RFC 5182): it goes with the selection. A range spans only UIDs that are
 * neighbours in the view, so an expunged message leaves it by leaving the view, and none joins it.
 * False: it would take too much memory; the saved result is empty then.
 */
enum { IMAP_SAVED_RANGES_MAX = 50000 };
bool imap_view_save(struct imap_view *view, const uint32_t *indexes, size_t count);

/*
 * A sequence set as ranges of indexes: `first` … `last` inclusive, ascending. False: a message
 * number beyond the mailbox (RFC 3501 §9 seq-number); UIDs that do not exist are left out.
 */
bool imap_view_ranges(const struct imap_view *view, struct task *task, struct imap_set set,
                      bool is_uid, struct imap_set *out_ranges);
/* The UIDs of such ranges, in the task's arena. */
void imap_view_uids(const struct imap_view *view, struct task *task, const struct imap_set *ranges,
                    uint32_t **out_uids, size_t *out_count);

/*
 * Tells the client what happened since the last time: FLAGS, FETCH, EXPUNGE (when it may), EXISTS,
 * RECENT. Cheap when nothing did. ERR_NOT_FOUND: the folder was deleted.
 */
MUST_CHECK enum err imap_view_sync(struct imap_session *s, struct task *task, bool may_expunge);
/*
 * "* 3 FETCH (", or with UIDONLY "* 17 UIDFETCH (" (RFC 9586 §3): of the message at this index.
 */
void imap_write_fetch_start(struct imap_session *s, size_t index, uint32_t uid);
/* "* 3 RECENT", which IMAP4rev2 does not have. */
void imap_write_recent(struct imap_session *s);
/* An untagged FETCH of a message in the view: its flags, and what the client enabled. */
void imap_view_tell_flags(struct imap_session *s, const struct vault_uid_flags *now);
/* A message's MODSEQ is told. */
void imap_view_note_modseq(struct imap_view *view, uint64_t modseq);
/* What HIGHESTMODSEQ is to say: up to there the client was told of everything, so that it may
 * resume from it (RFC 7162 §3.2). It counts as said. */
uint64_t imap_view_say_modseq(struct imap_session *s);
/*
 * While EXPUNGEs are held back, or NOTIFY keeps something from the client, what a QRESYNC client
 * has seen of MODSEQs is not what it may resume from; HIGHESTMODSEQ says what is (RFC 7162 §3.2,
 * §6).
 */
void imap_view_tell_safe_modseq(struct imap_session *s);
/* The session's own change, made right after a sync, was answered by its own means: not to be told
 * again. `now`: the flags that messages have now (ascending), all that the change changed. */
void imap_view_take_own(struct imap_session *s, const struct vault_uid_flags *now, size_t count);
/* "* FLAGS (…)" and PERMANENTFLAGS, when there are other keywords than the client has heard of:
 * before any message's flags are told. */
void imap_view_announce_keywords(struct imap_session *s);
/* A number for what that tells: it is another one when that is other. */
uint64_t imap_view_keywords(const struct vault *vault, int64_t now_ms);

#endif
