/*
 * Object identifiers (RFC 8474): of folders, of emails and of threads. A folder's is made of its
 * id and the UIDVALIDITY that it was made with, so that a new one of the same name, and all of them
 * after a roll-back, have others, while one that is renamed keeps its own. Copies share a content
 * and with it the email's and the thread's.
 *
 * A message joins, at arrival and for good, the thread of the nearest message that it refers to
 * (In-Reply-To, then References from the end), or else of one that referred to it.
 */
#ifndef VAULT_IDENTITY_H
#define VAULT_IDENTITY_H

#include "vault/message.h"

enum { VAULT_IDENTITY_ROOM = 48 };

enum vault_identity_kind { VAULT_IDENTITY_EMAIL, VAULT_IDENTITY_THREAD };

/* objectid = 1*255(ALPHA / DIGIT / "_" / "-") (RFC 8474 §7); NUL-terminated. */
void vault_identity_write(enum vault_identity_kind kind, int64_t id,
                          char out[static VAULT_IDENTITY_ROOM]);
void vault_identity_write_folder(const struct vault_folder *folder,
                                 char out[static VAULT_IDENTITY_ROOM]);
/* Back; false: never one of ours. */
bool vault_identity_read(enum vault_identity_kind kind, struct str text, int64_t *out_id);

/*
 * Messages of a mailbox from before there were identifiers get theirs in the order of their
 * arrival: one slice of about 10 ms, like housekeeping, which does it too. *out_done: all have
 * theirs. Until then VAULT_COLUMN_IDENTITY gives 0 for some. Not inside a batch.
 */
MUST_CHECK enum err vault_identity_prepare(struct vault *vault, struct task *task, bool *out_done);

/* The content ids that have it, ascending; in the task's arena. For SEARCH EMAILID and THREADID. */
MUST_CHECK enum err vault_identity_contents(struct vault *vault, struct task *task,
                                            enum vault_identity_kind kind, int64_t id,
                                            int64_t **out_content_ids, size_t *out_count);

#endif
