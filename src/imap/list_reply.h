/* One LIST response that is not the answer to LIST (RFC 5465 §5.4, RFC 9051 §6.3.2). */
#ifndef IMAP_LIST_REPLY_H
#define IMAP_LIST_REPLY_H

#include "vault/folder.h"

struct imap_session;

/* `folder` NULL: \NonExistent. `old_name`: of before, as OLDNAME; empty: none. */
void imap_write_list(struct imap_session *s, struct str name, const struct vault_folder *folder,
                     bool is_subscribed, struct str old_name);

#endif
