/*
 * Inside the vault only: the folders of the mirror (state.h), found by id and by name. No change of
 * one folder, and no look at one, costs more because there are many; a mailbox can have
 * VAULT_FOLDERS_MAX of them. (A folder that comes or goes moves pointers: 80 KB at most.)
 */
#ifndef VAULT_FOLDER_MIRROR_H
#define VAULT_FOLDER_MIRROR_H

#include "vault/state.h"

/* A new one, all zero but for these two; the name is copied. The pointer holds until it is removed.
 */
struct folder *folder_mirror_add(struct vault *vault, int64_t id, struct str name);
/* Makes *folder NULL. */
void folder_mirror_remove(struct vault *vault, struct folder **folder);
void folder_mirror_clear(struct vault *vault);

/* Several are added, or given other names, one after the other: meanwhile none is found by name,
 * and their places are found at the end, by one of the two that follow. */
void folder_mirror_sort_begin(struct vault *vault);
void folder_mirror_sort_end(struct vault *vault);
/* These places, one behind the other, have other names, and nobody else. */
void folder_mirror_sort_end_of(struct vault *vault, size_t first, size_t count);
/* Only in between. The name is copied. */
void folder_mirror_set_name(struct folder *folder, struct str name);

/* The places in vault->folders_by_name of the folder and those below it. */
void folder_mirror_at_or_below(struct vault *vault, struct str name, size_t *out_first,
                               size_t *out_count);
bool folder_mirror_has_children(struct vault *vault, struct str name);

/* Its row is written with the change. */
void folder_mirror_soil(struct vault *vault, struct folder *folder);

#endif
