/*
 * A digest of bytes that come in pieces: for what is too large to be in memory. crypt_digest
 * (secret/crypt.h) is for what is in one piece.
 *
 *   HASHER_SHA256   by OpenSSL, with the processor's instructions for it where there are any: of the
 *                   objects of backups (backup/destination.h)
 *   HASHER_BLAKE2B  BLAKE2b-256 by libsodium: of all else, and of older objects
 */
#ifndef SECRET_HASHER_H
#define SECRET_HASHER_H

#include "secret/crypt.h"

enum hasher_kind { HASHER_SHA256, HASHER_BLAKE2B };

struct hasher;

struct hasher *hasher_new(enum hasher_kind kind);
void hasher_add(struct hasher *hasher, struct str bytes);
/* Of all that was added so far; more may follow. */
void hasher_digest(const struct hasher *hasher, unsigned char out[static CRYPT_HASH_BYTES]);
void hasher_free(struct hasher **hasher);

/* The SHA-256 of what is in one piece. */
void hasher_sha256(struct str bytes, unsigned char out[static CRYPT_HASH_BYTES]);

#endif
