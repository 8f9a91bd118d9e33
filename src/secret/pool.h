/*
 * The guarded memory behind secret.h: regions between guard pages, cut into slots of one size each.
 * Internal to secret/.
 *
 *   guard | slot | slot | slot … | guard        slot = struct secret ‖ bytes ‖ canary
 */
#ifndef SECRET_POOL_H
#define SECRET_POOL_H

#include "secret/secret.h"

#include <stdint.h>

/* The head of a slot. */
struct secret {
    uint32_t len;
    uint32_t region; /* index in the pool's table */
    uint64_t canary; /* repeated behind the bytes */
    unsigned char bytes[];
};

/* A zeroed slot for `len` bytes with its head filled in. Never NULL. */
struct secret *pool_take(size_t len);
/* Checks the canary (aborts when it was overwritten), wipes, and takes the slot back. */
void pool_give(struct secret *secret);
/* Aborts when this secret was left behind in the parent process. */
void pool_check(const struct secret *secret);
/* True when the address lies in a region of the parent that this process does not have. */
bool pool_is_left_behind(const struct secret *secret);

void pool_init(void);

#endif
