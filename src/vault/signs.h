/*
 * Inside the vault only: which sequences of SIGN_GRAM bytes the words of a block of terms have, as
 * a Bloom filter with one hash. A part of a word that is at least so long is looked for only in
 * blocks whose sign has all sequences of the part.
 *
 * As it is stored: a byte, the logarithm to 2 of how many bits it has (SIGN_LOG_MIN … MAX), and the
 * bits. It is made with the most bits, and folded in half as long as it stays sparse: blocks of
 * words that are much alike have few sequences.
 */
#ifndef VAULT_SIGNS_H
#define VAULT_SIGNS_H

#include "base/buf.h"

#include <stdbool.h>

enum {
    SIGN_GRAM = 4,
    SIGN_LOG_MIN = 8,
    SIGN_LOG_MAX = 14,
};

/* Of the block under way; all zero: of one without terms. */
struct sign {
    uint64_t bits[(1 << SIGN_LOG_MAX) / 64];
};

/* The word's sequences that end behind its first `known` bytes. */
void sign_add(struct sign *sign, struct str word, size_t known);
/* Appends it as it is stored, and begins the next block's. */
void sign_put(struct sign *sign, struct buf *out);

/* What is looked for. */
enum { SIGN_HASHES_MAX = 64 };
struct sign_needle {
    uint32_t hashes[SIGN_HASHES_MAX];
    size_t count; /* 0: too short, any block may have it */
};
void sign_needle_init(struct sign_needle *needle, struct str part);

/* How long the sign at the beginning of `bytes` is; 0: there is no whole one. */
size_t sign_length(struct str bytes);
/* Whether the block may have the part; `sign` is a whole one. */
bool sign_may_have(struct str sign, const struct sign_needle *needle);

#endif
