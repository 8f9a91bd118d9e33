/*
 * BLAKE2b-256 over bytes that come in pieces, keyed or not: for what is too large to be in memory.
 * crypt_hash (secret/crypt.h) is for what is in one piece.
 */
#ifndef SECRET_HASHER_H
#define SECRET_HASHER_H

#include "secret/crypt.h"

struct hasher;

/* `key` has up to 64 bytes, or none: then it is the plain digest. */
struct hasher *hasher_new(struct str key);
void hasher_add(struct hasher *hasher, struct str bytes);
/* Of all that was added so far; more may follow. */
void hasher_digest(const struct hasher *hasher, unsigned char out[static CRYPT_HASH_BYTES]);
void hasher_free(struct hasher **hasher);

#endif
