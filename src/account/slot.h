/*
 * Key slots: the mailbox key, sealed under a password (design §3). A seal is bound to its mailbox,
 * its kind and the slot itself, so that a row moved to another place opens nothing.
 */
/*
 * While a mailbox's file is being re-encrypted, it may be under either of two keys, and so its slots
 * have both: what is called `keys` here is the mailbox's key (MAILBOX_KEY_BYTES), and behind it the
 * next one, where one is coming.
 */
#ifndef ACCOUNT_SLOT_H
#define ACCOUNT_SLOT_H

#include "account/database.h"

/* Every service. */
#define ACCOUNT_ALL_SERVICES UINT64_C(7)

/* Makes a slot with a new id, sealed under `password`; its `sealed` is in the task's arena. */
MUST_CHECK enum err account_slot_make(struct task *task, const struct id *mailbox,
                                      enum account_slot_kind kind, struct str name,
                                      uint64_t services, struct str password,
                                      const struct secret *keys,
                                      struct account_slot *out_slot);
/* ERR_DENIED: not this password. Leaves no words in the task. */
MUST_CHECK enum err account_slot_open(const struct id *mailbox, const struct account_slot *slot,
                                      struct str password, struct secret **out_keys);

/* A password that its owner has not shown to have seen (docs/passwords.md). */
bool account_slot_is_unconfirmed(const struct account_slot *slot);

/* Opens the mailbox's password or recovery slot, for a change that needs the owner. *out_slot may be
 * NULL, else what opened. ERR_DENIED. */
MUST_CHECK enum err account_slot_unlock(struct account_database *database, struct task *task,
                                        int64_t mailbox_row, const struct id *mailbox,
                                        struct str password, struct secret **out_keys,
                                        struct account_slot *out_slot);

/* The next key for a slot that is there, without its password: sets its next_sealed and
 * next_wrapping. ERR_NOT_FOUND: it was made when slots had no public key. */
MUST_CHECK enum err account_slot_prepare(struct task *task, const struct id *mailbox,
                                         const struct secret *key, const struct secret *next_key,
                                         struct account_slot *slot);
/* The key, and the next one (NULL: none is coming), of `keys`. */
struct secret *account_keys_first(const struct secret *keys);
struct secret *account_keys_next(const struct secret *keys);
struct secret *account_keys_join(const struct secret *key, const struct secret *next_key);

#endif
