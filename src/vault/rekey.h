/*
 * A mailbox file under another key: copied beside the live one while that is used and written, then
 * put in its place. docs/passwords.md has the whole; here is what touches the disk:
 *
 *   1. vault_rekey_begin   <id>.rekey is made, an empty file under the new key
 *   2. vault_rekey_copy    its pages are copied, a few at a time. Who writes the live file
 * meanwhile through its own connection has SQLite write the copy too (sqlite3_backup); with the
 * last page the copy is the live file's state. A fork meanwhile (vault_prepare_fork) ends the copy, and
 * it is begun anew
 *   3. vault_check_file    in a child: on the disk, readable and whole, under the new key
 *   4. vault_rekey_exchange  only if nothing was written since 2, or else back to 1. The log of the
 *                          live file goes into it and is removed, then the two files change places
 *                          in one step (RENAME_EXCHANGE), and the folder is synced
 *   5.                     the file under the old key, now called <id>.rekey, is removed
 *
 * A crash before the exchange of 4 leaves the live file as it was, and one after it the new file;
 * both whole, with every message that was acknowledged. The other one is removed when the file is
 * opened next. At no time does a log lie beside a file that it does not belong to.
 */
#ifndef VAULT_REKEY_H
#define VAULT_REKEY_H

#include "vault/vault.h"

#define VAULT_REKEY_SUFFIX ".rekey"

struct vault_rekey;

/* `options` as the vault was opened with, borrowed as long as the copy. ERR_LIMIT: disk full. */
MUST_CHECK enum err vault_rekey_begin(struct vault *vault, struct task *task,
                                      const struct vault_options *options,
                                      const struct secret *new_key, struct vault_rekey **out_rekey);
/* Some pages more. No batch may be open. *out_is_done: all are copied, and the file is closed. */
MUST_CHECK enum err vault_rekey_copy(struct vault_rekey *rekey, struct task *task,
                                     bool *out_is_done);
void vault_rekey_progress(const struct vault_rekey *rekey, uint64_t *out_done, uint64_t *out_total);
/* Nothing was written since the last page was copied. */
bool vault_rekey_is_current(const struct vault_rekey *rekey);
/*
 * Puts the copy in place; the vault goes on with it, and whoever reads its log away
 * (db_set_log_reader) begins anew with it: the old file's reader is not carried over. ERR_BUSY: not
 * in this moment (a statement is open, another process reads the file), nothing was changed, try
 * again. After other errors the vault may have no file (vault_is_open), and its process can only
 * end: whoever opens the mailbox next finds one of the two.
 */
MUST_CHECK enum err vault_rekey_exchange(struct vault_rekey *rekey, struct task *task);
/* Removes what was not put in place. */
void vault_rekey_free(struct vault_rekey **rekey);

/* What an earlier process left. */
void vault_rekey_remove_rest(struct task *task, const struct vault_options *options);

#endif
