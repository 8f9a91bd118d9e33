/*
 * Reading the mail of a mailbox file that somebody brought along: made by this program, as it says,
 * but that is not believed. For a process that holds no mailbox's key.
 */
#ifndef VAULT_FOREIGN_H
#define VAULT_FOREIGN_H

#include "vault/vault.h"

struct db;

/*
 * Opens the file that `fd` (borrowed, and longer than the vault) has open, to be read only:
 * folders, messages and their content. Its schema is compared with what ours was in the version
 * that it names, all its pages are looked at once, and numbers that have to fit together do.
 * `out_id`: which mailbox it says that it is.
 *
 * ERR_DENIED: the key does not open it; ERR_INVALID: it is no mailbox of a version that this
 * program knows; ERR_CORRUPT, ERR_LIMIT: it is not as one has to be. The words say what.
 */
MUST_CHECK enum err vault_open_foreign(struct task *task, int fd, const struct secret *key,
                                       struct id *out_id, struct vault **out_vault);
/* The same of a database that is open, and whose schema is ours; it is taken, whatever becomes of
 * it. */
MUST_CHECK enum err vault_foreign(struct task *task, struct db **db, struct id *out_id,
                                  struct vault **out_vault);

#endif
