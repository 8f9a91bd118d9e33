/*
 * The symmetric chain (docs/dropbox.md): from a boot key to the key of each message, forward only.
 *
 *   BK_1 ── boot ──> BK_2 ── boot ──> …          chain: CK_0 = H(BK_b, "chain", lane‖gen‖b)
 *    │ chain          │                          boot:  BK_{b+1} = H(BK_b, "boot", lane‖gen‖b)
 *   CK_0 ── ck ──> CK_1 ── ck ──> …              mk:    MK_n = H(CK_n, "mk", n)
 *    │ mk            │                           ck:    CK_{n+1} = H(CK_n, "ck", n)
 *   MK_0            MK_1
 */
#ifndef DROPBOX_CHAIN_H
#define DROPBOX_CHAIN_H

#include "secret/crypt.h"

#include <stdint.h>

enum { DROPBOX_LANE_BYTES = 16 };

/* One boot of one generation of one lane. */
struct chain_place {
    unsigned char lane[DROPBOX_LANE_BYTES];
    uint64_t generation;
    uint64_t boot;
};

/* A running chain; `key` is CK_n. All zero: none. */
struct chain {
    struct chain_place place;
    uint64_t n;         /* of the next message */
    struct secret *key; /* own */
};

/* CK_0 of the place; `boot_key` is its BK_b. */
void chain_start(struct chain *chain, const struct chain_place *place,
                 const struct secret *boot_key);
void chain_done(struct chain *chain);
/* BK_{b+1} into `out`, which may be `boot_key` itself. */
void chain_next_boot(const struct chain_place *place, const struct secret *boot_key,
                     struct secret *out);
/* MK_n; the caller frees it. */
struct secret *chain_message_key(const struct chain *chain);
/* CK_{n+1} in place of CK_n, which is gone. */
void chain_step(struct chain *chain);
/* The same state in another chain, which is done with first. */
void chain_copy(struct chain *to, const struct chain *from);

/* Little-endian fixed-width integers, as everywhere in the protocol. */
void chain_put_u64(unsigned char *out, uint64_t value);
uint64_t chain_get_u64(const unsigned char *bytes);

#endif
