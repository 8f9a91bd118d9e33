/* Numbers of the vault's own formats: seven bits a byte, the lowest first. */
#ifndef VAULT_VARINT_H
#define VAULT_VARINT_H

#include "base/str.h"

#include <stdint.h>

enum { VARINT_MAX = 10 };

/* Returns the length. */
static inline size_t varint_put(uint64_t value, char out[static VARINT_MAX])
{
    size_t len = 0;

    while (value >= 0x80) {
        out[len++] = (char)(0x80 | (value & 0x7f));
        value >>= 7;
    }
    out[len++] = (char)value;
    return len;
}

/* 0: there is no whole number at `at`. */
static inline size_t varint_get(struct str bytes, size_t at, uint64_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < VARINT_MAX && at + i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[at + i];

        value |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c < 0x80) {
            *out = value;
            return i + 1;
        }
    }
    return 0;
}

#endif
