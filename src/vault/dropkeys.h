/*
 * What the mailbox keeps for its drop box (dropbox.md): the lane roots, and which records were
 * imported. Readable only with the mailbox key.
 */
#ifndef VAULT_DROPKEYS_H
#define VAULT_DROPKEYS_H

#include "vault/vault.h"

enum { VAULT_LANE_BYTES = 16 };

struct vault_lane_root {
    unsigned char lane[VAULT_LANE_BYTES];
    uint64_t generation;
    struct secret *boot_key_1;    /* own, 32 bytes */
    struct secret *x25519_secret; /* own, 32 bytes */
};
void vault_lane_root_done(struct vault_lane_root *root);

/*
 * Durable when it returns; a root of a higher generation first, the lane file after. Its creation is
 * the task's time.
 */
MUST_CHECK enum err vault_lane_root_add(struct vault *vault, struct task *task,
                                        const struct vault_lane_root *root);
/* ERR_NOT_FOUND. */
MUST_CHECK enum err vault_lane_root_get(struct vault *vault, struct task *task,
                                        const unsigned char lane[static VAULT_LANE_BYTES],
                                        uint64_t generation, struct vault_lane_root *out);
/* The highest generation of the lane, 0: none. */
MUST_CHECK enum err vault_lane_generation(struct vault *vault, struct task *task,
                                          const unsigned char lane[static VAULT_LANE_BYTES],
                                          uint64_t *out_generation);
/* When the root was made, Unix milliseconds. ERR_NOT_FOUND. */
MUST_CHECK enum err vault_lane_root_created(struct vault *vault, struct task *task,
                                            const unsigned char lane[static VAULT_LANE_BYTES],
                                            uint64_t generation, int64_t *out_created_ms);
/* Forgets the roots of this lane below `generation`, once no record of them is left. */
MUST_CHECK enum err vault_lane_root_forget(struct vault *vault, struct task *task,
                                           const unsigned char lane[static VAULT_LANE_BYTES],
                                           uint64_t below_generation);
/* Adds what the other vault, of the same mailbox, knows and this one does not: for one that was
 * restored, so that mail which was sealed after it still opens. */
MUST_CHECK enum err vault_lane_root_merge(struct vault *vault, struct task *task,
                                          struct vault *from);
MUST_CHECK enum err vault_drop_was_imported(struct vault *vault, struct task *task,
                                            const struct id *record, bool *out_was);
/* A record that does not open, or a gap: kept for ever, never discarded. */
MUST_CHECK enum err vault_drop_quarantine(struct vault *vault, struct task *task,
                                          const struct id *record, struct str bytes,
                                          struct str reason);

#endif
