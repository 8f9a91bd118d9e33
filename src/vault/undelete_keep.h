/*
 * Inside the vault only: what happens to expunged mail that is kept for its owner (undelete.h). All
 * but the first two within a change (state.h).
 *
 *   EXPUNGE ──> message row, ROW_HIDDEN ──purge──> row of hidden ──too old, too much──> gone
 *               (sessions may still read it)          │
 *                       a live message again <──restore┘
 *
 * EXPUNGE itself costs what it did without: it writes another number. What is kept is counted apart
 * from live mail, and never seen by IMAP or POP3, whose every list begins with the rows of a
 * folder.
 */
#ifndef VAULT_UNDELETE_KEEP_H
#define VAULT_UNDELETE_KEEP_H

#include "vault/state.h"

enum { UNDELETE_ROWS_IN_SLICE = 100 };

/* What an expunged row becomes. */
enum row_state undelete_state(const struct vault *vault);
/* Whether rows that were hidden are kept still. */
bool undelete_keeps(const struct vault *vault);

/* Notes when the oldest that is kept was expunged. */
MUST_CHECK enum err undelete_load(struct vault *vault, struct task *task);
/* Keeps the message of this key, whose row is about to be deleted. */
MUST_CHECK enum err undelete_keep(struct vault *vault, struct task *task, int64_t key,
                                  int64_t expunged_ms);
/* The folder goes: its hidden messages remember its name. */
MUST_CHECK enum err undelete_note_folder(struct vault *vault, struct task *task,
                                         const struct folder *folder);
/* One slice of letting the oldest go. *out_did: there was something to do. */
MUST_CHECK enum err undelete_expire_slice(struct vault *vault, struct task *task, bool *out_did);
/* Names that no hidden message can need any more. */
MUST_CHECK enum err undelete_forget_folders(struct vault *vault, struct task *task);

#endif
