/*
 * Folders (IMAP mailboxes). Names are UTF-8 (NFC) with '/' between levels; "INBOX" is upper case.
 * Modified UTF-7 is the IMAP engine's affair.
 */
#ifndef VAULT_FOLDER_H
#define VAULT_FOLDER_H

#include "vault/vault.h"

enum { VAULT_FOLDER_NAME_MAX = 1000, VAULT_FOLDER_DEPTH_MAX = 32, VAULT_FOLDERS_MAX = 10000 };

enum vault_special_use { /* RFC 6154 */
                         VAULT_USE_NONE,
                         VAULT_USE_DRAFTS,
                         VAULT_USE_SENT,
                         VAULT_USE_JUNK,
                         VAULT_USE_TRASH,
                         VAULT_USE_ARCHIVE,
                         VAULT_USE_ALL,
                         VAULT_USE_FLAGGED,
};

struct vault_folder {
    int64_t id; /* stable through renames, never reused */
    struct str name;
    enum vault_special_use use;
    bool is_selectable; /* false: \Noselect, a name with children only */
    bool has_children;
    bool is_subscribed;
    uint32_t uidvalidity;
    uint32_t incarnation; /* the same as long as messages keep their UIDs, whatever it is called */
    uint32_t uidnext;
    uint64_t highest_modseq; /* at least 1 */
    uint32_t message_count;
    uint32_t unseen_count;
    uint32_t recent_count;  /* not yet given to any session */
    uint32_t deleted_count; /* with \Deleted */
    uint64_t size_bytes;
};

/* The order of names in which what is below one follows it: '/' is the lowest character. */
int vault_folder_compare_names(struct str a, struct str b);
bool vault_folder_is_below(struct str name, struct str parent);

/* All folders, sorted by name, INBOX first; in the task's arena. */
MUST_CHECK enum err vault_folder_list(struct vault *vault, struct task *task,
                                      struct vault_folder **out_folders, size_t *out_count);
/* ERR_NOT_FOUND. The name is copied into the task's arena. */
MUST_CHECK enum err vault_folder_find(struct vault *vault, struct task *task, struct str name,
                                      struct vault_folder *out);
MUST_CHECK enum err vault_folder_by_id(struct vault *vault, struct task *task, int64_t folder_id,
                                       struct vault_folder *out);
/*
 * Only the id, from memory: for a delivery, whose cost must not grow with the folder.
 * ERR_NOT_FOUND also for a \Noselect name.
 */
MUST_CHECK enum err vault_folder_id(struct vault *vault, struct task *task, struct str name,
                                    int64_t *out_folder_id);
/* No empty level, no control characters, and the limits. ERR_INVALID: no folder can be named so. */
MUST_CHECK enum err vault_folder_check_name(struct task *task, struct str name);
/* Is there a folder with this use? From memory. */
bool vault_folder_has_use(const struct vault *vault, enum vault_special_use use);
/* The bytes of its messages that have \Deleted: looks at the folder's rows if there are any. */
MUST_CHECK enum err vault_folder_deleted_bytes(struct vault *vault, struct task *task,
                                               int64_t folder_id, uint64_t *out);
/* Missing parents are made too. ERR_EXISTS (also for the use), ERR_INVALID (name), ERR_LIMIT. */
MUST_CHECK enum err vault_folder_create(struct vault *vault, struct task *task, struct str name,
                                        enum vault_special_use use);
/*
 * With children stays as \Noselect (RFC 3501 §6.3.4), until the last of them is deleted or renamed
 * away. ERR_DENIED for INBOX, ERR_NOT_FOUND,
 * ERR_EXISTS when it is \Noselect and has children. UIDVALIDITY never repeats for a later folder
 * of that name. Subscriptions stay.
 */
MUST_CHECK enum err vault_folder_delete(struct vault *vault, struct task *task, struct str name);
/* Children move along; INBOX's renaming moves its messages into a new folder (RFC 3501 §6.3.5), and
 * copies its annotations. ERR_LIMIT: too many folders, or annotations. */
MUST_CHECK enum err vault_folder_rename(struct vault *vault, struct task *task, struct str from,
                                        struct str to);
/* Any name can be subscribed, also one that does not exist (RFC 3501 §6.3.6). */
MUST_CHECK enum err vault_folder_subscribe(struct vault *vault, struct task *task, struct str name,
                                           bool is_subscribed);
/* Sorted; names that have no folder included. */
MUST_CHECK enum err vault_subscription_list(struct vault *vault, struct task *task,
                                            struct str **out_names, size_t *out_count);
/*
 * Before messages that come from elsewhere with UIDs of their own (adopt.c): the next one appended
 * gets `uidnext`. A folder that never had a message also takes over that place's UIDVALIDITY, if
 * it is older than this mailbox, so that it was never given here. ERR_EXISTS: the folder has
 * another UIDVALIDITY, or is past that UID, or too few would be left behind it; then nothing is
 * changed.
 */
MUST_CHECK enum err vault_folder_adopt(struct vault *vault, struct task *task, int64_t folder_id,
                                       uint32_t uidvalidity, uint32_t uidnext);
/*
 * A selecting session takes the \Recent messages: gives the first UID that is recent, and (unless
 * read-only) marks all as no longer recent for others.
 */
MUST_CHECK enum err vault_folder_take_recent(struct vault *vault, struct task *task,
                                             int64_t folder_id, bool is_read_only,
                                             uint32_t *out_first_recent_uid);

#endif
