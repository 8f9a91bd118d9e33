/*
 * Annotations (RFC 5464): of a folder, or of the mailbox as a whole (folder 0). Entry names are
 * lower case and begin with /private/ or /shared/; a mailbox has one user, so the two differ in
 * their names only. They go with their folder through renames, and with it when it is deleted.
 */
#ifndef VAULT_METADATA_H
#define VAULT_METADATA_H

#include "vault/folder.h"

enum {
    VAULT_METADATA_VALUE_MAX = 32 * 1024,
    VAULT_METADATA_NAME_MAX = 500,
    /* Of a mailbox, all folders together: an answer with all of them stays small. */
    VAULT_METADATA_ENTRIES_MAX = 1000,
    VAULT_METADATA_BYTES_MAX = 1024 * 1024, /* names and values */
};

enum vault_metadata_depth {
    VAULT_METADATA_EXACT,
    VAULT_METADATA_CHILDREN, /* and one level below */
    VAULT_METADATA_ALL_BELOW,
};

struct vault_metadata {
    struct str entry;
    struct str value; /* ptr NULL: NIL, there is none */
};

/* Whether asking for `top` at this depth is to ask for `entry`; `top` itself is in any. */
bool vault_metadata_is_below(struct str entry, struct str top, enum vault_metadata_depth depth);
/* Those that there are, by name, in the task's arena. ERR_NOT_FOUND: no such folder. */
MUST_CHECK enum err vault_metadata_get(struct vault *vault, struct task *task, int64_t folder_id,
                                       struct str entry, enum vault_metadata_depth depth,
                                       struct vault_metadata **out, size_t *out_count);
/*
 * Sets all of them, or none; NIL removes. Subscribers hear of each (change.h). ERR_LIMIT: a value
 * is too large, or there would be too many (then a batch around it fails, too). ERR_NOT_FOUND: no
 * such folder; one that is \Noselect can have them (RFC 5464 §4.1).
 */
MUST_CHECK enum err vault_metadata_set(struct vault *vault, struct task *task, int64_t folder_id,
                                       const struct vault_metadata *entries, size_t count);

#endif
