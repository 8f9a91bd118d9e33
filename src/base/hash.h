/*
 * A hash for tables in memory whose keys a peer chooses: keyed, so that nobody can choose keys that
 * meet. SipHash-2-4 (Aumasson, Bernstein 2012). Nothing is kept secret by it; sealing and digests
 * are in secret/.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/str.h"

#include <stdint.h>

struct hash_key {
    uint64_t words[2];
};

/* A key of the kernel's randomness. */
struct hash_key hash_key_random(void);
uint64_t hash_text(const struct hash_key *key, struct str text);

#endif
