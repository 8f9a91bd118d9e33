/*
 * Secrets in guarded memory: locked, left out of core dumps, wiped when freed. Passwords and keys
 * live in `struct secret`; only secret/ and those that must hand the bytes to a library look inside.
 */
#ifndef SECRET_SECRET_H
#define SECRET_SECRET_H

#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* Opaque; the bytes are between guard pages (libsodium's sodium_malloc). */
struct secret;

/* Once in a process, before all else here. Aborts when libsodium cannot be initialised. */
void secret_init(void);

/* A zeroed secret of `len` bytes (1 … 64 KiB). Never NULL. */
struct secret *secret_new(size_t len);
/* A copy of `bytes`; the caller wipes his own. */
struct secret *secret_copy(struct str bytes);
void secret_free(struct secret **secret);

/* The bytes; the view holds until the secret is freed. Do not copy it anywhere that is not wiped. */
struct str secret_str(const struct secret *secret);
/* Writable bytes of the same. */
unsigned char *secret_bytes(struct secret *secret);
size_t secret_len(const struct secret *secret);

/* Constant time; false for different lengths. */
bool secret_equal(struct str a, struct str b);

/* 32 characters of [A-Za-z0-9], uniform: a mailbox or app password (design §3). */
struct secret *secret_password(void);

#endif
