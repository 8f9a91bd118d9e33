/* The special uses of folders by their attributes (RFC 6154 §2). */
#ifndef IMAP_USE_H
#define IMAP_USE_H

#include "base/str.h"
#include "vault/folder.h"

/* "\Sent"; empty for VAULT_USE_NONE. */
struct str imap_use_name(enum vault_special_use use);
/* VAULT_USE_NONE: no such attribute. Case does not matter. */
enum vault_special_use imap_use_named(struct str name);
/* May a client give it to a folder? \All and \Flagged stand for views that we do not have. */
bool imap_use_is_real(enum vault_special_use use);

#endif
