/* LIST responses: the answer's beginning, and those that are no answer to LIST. */
#ifndef IMAP_LIST_REPLY_H
#define IMAP_LIST_REPLY_H

#include "vault/folder.h"

struct imap_session;

/* "* LIST (…) "/" name", without the line's end. `folder` NULL: \NonExistent. */
void imap_write_list_start(struct imap_session *s, struct str name,
                           const struct vault_folder *folder, bool is_subscribed);
/*
 * The whole line, where nobody asked for it (RFC 5465 §5.4, RFC 9051 §6.3.2). `old_name`: of
 * before, or as the client wrote it, as OLDNAME; empty: none.
 */
void imap_write_list(struct imap_session *s, struct str name, const struct vault_folder *folder,
                     bool is_subscribed, struct str old_name);

#endif
