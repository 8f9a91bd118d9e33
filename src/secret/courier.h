/*
 * The keys that the keeper and the courier share. The keeper derives the courier's key from the host
 * key and hands it over with HOST_KEY: these CRYPT_KEY_BYTES and nothing else. All others are derived
 * from it, each by one function, which both sides call. What the courier alone needs (its queue's and
 * contents' keys) it derives with contexts of its own: crypt_derive(courier key, purpose, detail).
 */
#ifndef SECRET_COURIER_H
#define SECRET_COURIER_H

#include "secret/crypt.h"

/* What HOST_KEY carries to the courier. */
struct secret *courier_key(const struct secret *host_key);
/* What rewritten senders are signed with (mailauth/srs.h); SRS_KEY_BYTES, that is CRYPT_KEY_BYTES. */
struct secret *courier_srs_key(const struct secret *key_of_courier);

#endif
