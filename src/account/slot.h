/*
 * Key slots: the mailbox key, sealed under a password (design §3). A seal is bound to its mailbox,
 * its kind and the slot itself, so that a row moved to another place opens nothing.
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
                                      const struct secret *mailbox_key,
                                      struct account_slot *out_slot);
/* ERR_DENIED: not this password. Leaves no words in the task. */
MUST_CHECK enum err account_slot_open(const struct id *mailbox, const struct account_slot *slot,
                                      struct str password, struct secret **out_mailbox_key);

/* Opens the mailbox's password or recovery slot, for a change that needs the owner. ERR_DENIED. */
MUST_CHECK enum err account_slot_unlock(struct account_database *database, struct task *task,
                                        int64_t mailbox_row, const struct id *mailbox,
                                        struct str password, struct secret **out_mailbox_key);

#endif
