/* Integers in the formats of this folder: little-endian; SQLite's own are big-endian. */
#ifndef BACKUP_BYTES_H
#define BACKUP_BYTES_H

#include <stdint.h>

static inline void put_le(unsigned char *out, uint64_t value, int len)
{
    for (int i = 0; i < len; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static inline uint64_t get_le(const unsigned char *bytes, int len)
{
    uint64_t value = 0;

    for (int i = len - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static inline uint32_t get_be32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

#endif
