/*
 * Messages in folders: flags, dates, arrival, copy, move, expunge. Their bytes are in content.h.
 *
 * Expunging hides a message and logs it (change.h); the bytes stay readable by UID for sessions
 * that have not announced it yet, until vault_housekeeping purges it after
 * VAULT_EXPUNGED_GRACE_MS or the vault is closed.
 */
#ifndef VAULT_MESSAGE_H
#define VAULT_MESSAGE_H

#include "vault/folder.h"

/*
 * Flags are one 64-bit set: the system flags below, then keywords from VAULT_KEYWORD_FIRST on, each
 * bit given to one keyword of the mailbox when it is first used (keyword.c says for how long).
 * \Recent is not stored.
 */
#define VAULT_FLAG_SEEN (UINT64_C(1) << 0)
#define VAULT_FLAG_ANSWERED (UINT64_C(1) << 1)
#define VAULT_FLAG_FLAGGED (UINT64_C(1) << 2)
#define VAULT_FLAG_DELETED (UINT64_C(1) << 3)
#define VAULT_FLAG_DRAFT (UINT64_C(1) << 4)
enum { VAULT_KEYWORD_FIRST = 5, VAULT_KEYWORD_END = 63, VAULT_KEYWORD_NAME_MAX = 128 };

enum { VAULT_EXPUNGED_GRACE_MS = 60 * 1000 };

/*
 * The bit of a keyword (compared without case, first spelling kept); made when `may_create`. If
 * there is no bit left, all keywords that no message has lose theirs: but for `kept`, bits that
 * were asked for just now and are still to be given to a message, and those that subscribers hold
 * (change.h). ERR_LIMIT when messages have all keywords, or had at the last look, not long ago; or
 * the name is none that a keyword may have (an atom, RFC 9051 §9). ERR_NOT_FOUND. Inside the
 * caller's batch if there is one.
 */
MUST_CHECK enum err vault_keyword_bit(struct vault *vault, struct task *task, struct str name,
                                      bool may_create, uint64_t kept, uint64_t *out_bit);
/* The keyword of a bit number; empty when there is none. Borrowed until a keyword is made. */
struct str vault_keyword_name(const struct vault *vault, unsigned bit_number);
/* All bits that have a keyword. */
uint64_t vault_keywords(const struct vault *vault);
/* The same number as long as every bit has the same keyword, or none, in this process and the next.
 */
uint64_t vault_keywords_state(const struct vault *vault);
/* A bit is left for another one, or can be looked for. */
bool vault_keywords_can_grow(const struct vault *vault, int64_t now_ms);

enum vault_columns {                              /* what a cursor loads, as a set */
                     VAULT_COLUMN_FLAGS = 1 << 0, /* flags, modseq: always cheap */
                     VAULT_COLUMN_DATES = 1 << 1, /* internal_date_ms, save_date_ms */
                     VAULT_COLUMN_SIZE = 1 << 2,
                     VAULT_COLUMN_ENVELOPE = 1 << 3,
                     VAULT_COLUMN_BODYSTRUCTURE = 1 << 4,
                     VAULT_COLUMN_BODY = 1 << 5,
                     VAULT_COLUMN_STRUCTURE = 1 << 6, /* message_structure_encode's bytes */
                     VAULT_COLUMN_SEARCH = 1 << 7,    /* subject, from, to, cc, bcc */
                     VAULT_COLUMN_IDENTITY = 1 << 8,  /* email_id, thread_id (identity.h) */
                     VAULT_COLUMN_PREVIEW = 1 << 9,
                     VAULT_COLUMN_SENT = 1 << 10, /* sent_day */
                     VAULT_COLUMN_MESSAGE_ID = 1 << 11,
};

struct vault_message {
    uint32_t uid;
    uint64_t modseq;
    uint64_t flags;
    int64_t internal_date_ms;      /* UTC */
    int16_t internal_zone_minutes; /* as it was given, for INTERNALDATE */
    int64_t save_date_ms;
    uint64_t size_bytes;
    int64_t content_id; /* for vault_content_open */
    struct str envelope, bodystructure, body, structure;
    struct str subject, from, to, cc, bcc; /* decoded UTF-8 */
    struct str message_id;                 /* as message_summary has it */
    int64_t sent_day;                      /* days since 1970; INT64_MIN: no valid Date: */
    int64_t email_id, thread_id;           /* 0: not yet (vault_identity_prepare) */
    bool has_preview;                      /* else vault_preview_make */
    struct str preview;
};

/*
 * Every UID in the folder, ascending, with its flags and modseq: what a session needs at SELECT.
 * Three parallel arrays would be a table with twins: one array of this.
 */
struct vault_uid_flags {
    uint32_t uid;
    int32_t sent_day; /* private to the list, which keeps it for vault_message_sent_day */
    uint64_t flags;
    uint64_t modseq;
};
MUST_CHECK enum err vault_message_list(struct vault *vault, struct task *task, int64_t folder_id,
                                       struct vault_uid_flags **out_messages, size_t *out_count);
/* The same for SELECT, behind which a search may come: what this would read the rows for once more
 * is noted on the way. */
MUST_CHECK enum err vault_message_list_selected(struct vault *vault, struct task *task,
                                                int64_t folder_id,
                                                struct vault_uid_flags **out_messages,
                                                size_t *out_count);

/*
 * The day of a message's Date: (days since 1970, INT32_MIN: it has no valid one) from the list of
 * its folder when it was selected, which the vault keeps for a while. False: it does not, or the
 * message is not in it: its row tells. `at` is 0 for the first UID and then kept for the next,
 * which is a higher one.
 */
bool vault_message_sent_day(const struct vault *vault, int64_t folder_id, uint32_t uid, size_t *at,
                            int32_t *out_day);

/*
 * Reads messages first_uid … last_uid in ascending order, also those expunged a moment ago
 * (`is_with_expunged`). Views in the row hold until the next call. Close before anything is
 * written and before returning to the event loop.
 */
struct vault_cursor;
MUST_CHECK enum err vault_cursor_open(struct vault *vault, struct task *task, int64_t folder_id,
                                      uint32_t first_uid, uint32_t last_uid, unsigned columns,
                                      bool is_with_expunged, struct vault_cursor **out_cursor);
MUST_CHECK enum err vault_cursor_next(struct vault_cursor *cursor, struct task *task,
                                      struct vault_message *out, bool *out_has_row);
void vault_cursor_close(struct vault_cursor **cursor);

struct vault_append {
    struct str raw; /* the whole message, borrowed */
    uint64_t flags;
    int64_t internal_date_ms;
    int16_t internal_zone_minutes;
    uint64_t trace_len;    /* leading bytes that the receiving server added (Received …); the
                              retransmission digest covers what follows */
    bool is_delivery;      /* from SMTP: a message with the same digest delivered within a day is
                              not stored again, and *out_uid is 0 */
    struct id drop_record; /* from the drop box: also noted as imported; unset: none */
    bool is_utf8;          /* who stores it says that its header is in UTF-8 (RFC 9755): noted if
                              so, as old mail has 8-bit headers that nobody declared (content.h) */
    struct str uidl;       /* its unique-id at another POP3 server (maildrop.h); empty: none. One
                              that a message of the folder has already is not taken over */
};
/*
 * Appends one message. ERR_NOT_FOUND no such folder (TRYCREATE), ERR_LIMIT over quota or disk full,
 * ERR_EXISTS this drop record was imported before, ERR_INVALID no unique-id is like this.
 */
MUST_CHECK enum err vault_message_append(struct vault *vault, struct task *task, int64_t folder_id,
                                         const struct vault_append *append, uint32_t *out_uid);

/*
 * Appends several, in their order, all of them or none (RFC 3502); no deliveries. UIDs go to
 * out_uids[0 … count), one after the other. Errors as above.
 */
MUST_CHECK enum err vault_message_append_all(struct vault *vault, struct task *task,
                                             int64_t folder_id, const struct vault_append *appends,
                                             size_t count, uint32_t *out_uids);
/*
 * Appends one and expunges the message that it replaces, which need not be in the same folder, in
 * one change (RFC 8508). ERR_NOT_FOUND: no such folder, or the message is gone; ERR_LIMIT: over
 * quota, with the old one's room counted as free.
 */
MUST_CHECK enum err vault_message_replace(struct vault *vault, struct task *task,
                                          int64_t from_folder_id, uint32_t uid,
                                          int64_t to_folder_id, const struct vault_append *append,
                                          uint32_t *out_uid);

enum vault_store_mode { VAULT_STORE_REPLACE, VAULT_STORE_ADD, VAULT_STORE_REMOVE };
/*
 * Changes flags of the messages named, all in one transaction; one new MODSEQ for all of them.
 * A message whose modseq is over `unchanged_since` (UINT64_MAX: no condition) is left and its UID
 * goes to *out_modified (RFC 7162 §3.1.3); UIDs that are gone go to *out_gone. A message whose
 * flags are as asked already keeps its MODSEQ. Arrays are in the task's arena.
 */
MUST_CHECK enum err vault_message_store(struct vault *vault, struct task *task, int64_t folder_id,
                                        const uint32_t *uids, size_t uid_count,
                                        enum vault_store_mode mode, uint64_t flags,
                                        uint64_t unchanged_since, uint32_t **out_modified,
                                        size_t *out_modified_count, uint32_t **out_gone,
                                        size_t *out_gone_count);
/* The same, and what the flags of the others are now: of the messages that are there and were not
 * left, ascending, each once. In the task's arena. */
struct vault_stored {
    uint32_t *modified, *gone;
    size_t modified_count, gone_count;
    struct vault_uid_flags *now;
    size_t now_count;
};
MUST_CHECK enum err vault_message_store_telling(struct vault *vault, struct task *task,
                                                int64_t folder_id, const uint32_t *uids,
                                                size_t uid_count, enum vault_store_mode mode,
                                                uint64_t flags, uint64_t unchanged_since,
                                                struct vault_stored *out);

/*
 * Copies (or moves) the messages to another folder, in the order given, with flags and dates. All
 * or nothing. UIDs that are gone are skipped: the pairs (source_uids[i], out_uids[i]) are those
 * that were copied. ERR_NOT_FOUND no such folder, ERR_LIMIT over quota.
 */
MUST_CHECK enum err vault_message_copy(struct vault *vault, struct task *task, int64_t from_id,
                                       int64_t to_id, const uint32_t *uids, size_t uid_count,
                                       bool is_move, uint32_t **out_source_uids,
                                       uint32_t **out_uids, size_t *out_count);

/*
 * Expunges those of the messages named that have \Deleted (`uids` NULL: all in the folder that
 * have it). The UIDs that went, ascending, in the task's arena.
 */
MUST_CHECK enum err vault_message_expunge(struct vault *vault, struct task *task, int64_t folder_id,
                                          const uint32_t *uids, size_t uid_count,
                                          uint32_t **out_uids, size_t *out_count);
/* Expunges the messages named whatever their flags, all or none; those that are gone already are
 * skipped. */
MUST_CHECK enum err vault_message_remove(struct vault *vault, struct task *task, int64_t folder_id,
                                         const uint32_t *uids, size_t uid_count);

#endif
