/*
 * The live sessions and their mailboxes' keys (design §3). A key is kept once for a mailbox,
 * however many sessions it has, sealed under a key of this process alone, in guarded memory; it is
 * wiped with the mailbox's last session.
 */
#ifndef ACCOUNT_SESSIONS_H
#define ACCOUNT_SESSIONS_H

#include "base/id.h"
#include "base/task.h"
#include "secret/secret.h"

#include <stdbool.h>
#include <stddef.h>

struct account_sessions;

struct account_sessions *account_sessions_new(void);
void account_sessions_free(struct account_sessions **sessions);

/*
 * `opener` identifies who opened the session (a gate's channel); only the pointer's value is used.
 * ERR_EXISTS for a session id that lives, ERR_LIMIT when there are a million.
 */
MUST_CHECK enum err account_sessions_open(struct account_sessions *sessions, struct task *task,
                                          const struct id *session, const struct id *mailbox,
                                          const void *opener, const struct secret *keys);
/* Unknown ones, and those that somebody else opened, are ignored. */
void account_sessions_close(struct account_sessions *sessions, const struct id *session,
                            const void *opener);
/* All that `opener` opened: he is gone. */
void account_sessions_close_opener(struct account_sessions *sessions, const void *opener);
/* All of a mailbox. */
void account_sessions_close_mailbox(struct account_sessions *sessions, const struct id *mailbox);

/* A copy of the mailbox's keys (account/slot.h), as the last session to open brought them; ERR_NOT_FOUND without a live session. */
MUST_CHECK enum err account_sessions_key(struct account_sessions *sessions, struct task *task,
                                         const struct id *mailbox, struct secret **out_key);
/* The mailbox's sessions have this key from now on: its file is under it. */
void account_sessions_advance(struct account_sessions *sessions, const struct id *mailbox,
                              const struct secret *key);
/* What checks the passes (secret/pass.h) of those that opened before that; NULL: there was no such
 * change. Borrowed until the next call. */
const struct secret *account_sessions_former_pass_key(const struct account_sessions *sessions,
                                                      const struct id *mailbox);
/* How many this mailbox has. */
size_t account_sessions_of(const struct account_sessions *sessions, const struct id *mailbox);
size_t account_sessions_count(const struct account_sessions *sessions);
size_t account_sessions_mailbox_count(const struct account_sessions *sessions);

#endif
