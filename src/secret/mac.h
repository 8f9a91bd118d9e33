/*
 * BLAKE2b-256 over bytes that come in pieces, keyed or not: for what is too large to be in memory.
 * crypt_hash (secret/crypt.h) is for what is in one piece.
 */
#ifndef SECRET_MAC_H
#define SECRET_MAC_H

#include "secret/crypt.h"

struct mac;

/* `key` has up to 64 bytes, or none: then it is the plain digest. */
struct mac *mac_new(struct str key);
void mac_add(struct mac *mac, struct str bytes);
/* Of all that was added so far; more may follow. */
void mac_peek(const struct mac *mac, unsigned char out[static CRYPT_HASH_BYTES]);
void mac_free(struct mac **mac);

#endif
