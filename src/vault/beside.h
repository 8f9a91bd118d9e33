/* For a child of the process that has the mailbox open: to read it as it was at one moment. */
#ifndef VAULT_BESIDE_H
#define VAULT_BESIDE_H

#include "vault/vault.h"

/*
 * Opens it to be read only; whatever happens to it meanwhile, all that is read is of this moment.
 * The log grows as long as this is open. Errors as vault_open's.
 */
MUST_CHECK enum err vault_open_moment(struct task *task, const struct vault_options *options,
                                      const struct secret *key, struct vault **out_vault);

#endif
