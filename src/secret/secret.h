/*
 * Secrets in guarded memory: locked, left out of core dumps, wiped when freed. Passwords and keys
 * live in `struct secret`; only secret/ and those that must hand the bytes to a library look inside.
 *
 * The memory is memfd_secret(2) where the kernel has it (out of reach for /proc/<pid>/mem, ptrace
 * and the kernel's own mistakes), else anonymous memory locked with mlock2(2). Small secrets share
 * regions of fixed-size slots between guard pages, so that thousands of them fit into the usual
 * RLIMIT_MEMLOCK of 8 MiB; a canary behind each one is checked when it is freed.
 *
 * Secrets do not cross a fork: in the child, using a secret of the parent aborts, and freeing one
 * does nothing. What a role forgot to free can so never appear in the processes forked from it.
 */
#ifndef SECRET_SECRET_H
#define SECRET_SECRET_H

#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum { SECRET_LEN_MAX = 64 * 1024 };

/* Opaque; lies in guarded memory itself (secret/pool.h). */
struct secret;

/* Once in a process, before all else here. Aborts when libsodium cannot be initialised. */
void secret_init(void);

/* A zeroed secret of `len` bytes (1 … SECRET_LEN_MAX). Never NULL. */
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

/*
 * Whether children forked from now on get a copy of the secrets instead of none. Off at first; for
 * tests that fork, and for a child that must go on with its parent's key (a backup).
 */
void secret_set_inherited(bool is_inherited);

/* How the guarded memory was had; an operator should hear of the last one. */
enum secret_memory {
    SECRET_MEMORY_NONE,     /* nothing allocated yet */
    SECRET_MEMORY_HIDDEN,   /* all of it by memfd_secret */
    SECRET_MEMORY_LOCKED,   /* some of it by mlock2 only */
    SECRET_MEMORY_UNLOCKED, /* the lock limit was reached: some of it could go to swap */
};
enum secret_memory secret_memory(void);

#endif
