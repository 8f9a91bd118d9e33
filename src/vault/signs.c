/* Signs of blocks of terms (signs.h). */
#include "vault/signs.h"

#include <string.h>

/* More bits than one in so many set: it is not folded further. At 3, a part of seven letters is
 * looked for in one block of eighty that have it not. */
enum { SPARSE = 3 };

static inline uint32_t hash_at(struct str word, size_t at)
{
    const unsigned char *c = (const unsigned char *)word.ptr + at;
    uint32_t gram =
        (uint32_t)c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;

    return gram * UINT32_C(0x9e3779b1) >> (32 - SIGN_LOG_MAX);
}

void sign_add(struct sign *sign, struct str word, size_t known)
{
    for (size_t at = known < SIGN_GRAM ? 0 : known - SIGN_GRAM + 1; at + SIGN_GRAM <= word.len;
         at++) {
        uint32_t hash = hash_at(word, at);

        sign->bits[hash / 64] |= UINT64_C(1) << hash % 64;
    }
}

static size_t count_bits(const uint64_t *bits, size_t words)
{
    size_t count = 0;

    for (size_t i = 0; i < words; i++)
        count += (size_t)__builtin_popcountll(bits[i]);
    return count;
}

void sign_put(struct sign *sign, struct buf *out)
{
    unsigned char log = SIGN_LOG_MAX;

    /* The other half's bits are those of the same hashes but for their highest bit. */
    while (log > SIGN_LOG_MIN) {
        size_t half = ((size_t)1 << log) / 64 / 2;
        uint64_t folded[(1 << SIGN_LOG_MAX) / 64 / 2];

        for (size_t i = 0; i < half; i++)
            folded[i] = sign->bits[i] | sign->bits[half + i];
        if (count_bits(folded, half) * SPARSE > half * 64)
            break;
        memcpy(sign->bits, folded, half * sizeof(folded[0]));
        log--;
    }
    buf_put(out, str_make(&log, 1));
    for (size_t i = 0; i < ((size_t)1 << log) / 64; i++) {
        char bytes[8];

        for (size_t k = 0; k < sizeof(bytes); k++)
            bytes[k] = (char)(sign->bits[i] >> (8 * k));
        buf_put(out, str_make(bytes, sizeof(bytes)));
    }
    memset(sign, 0, sizeof(*sign));
}

void sign_needle_init(struct sign_needle *needle, struct str part)
{
    needle->count = 0;
    for (size_t at = 0; at + SIGN_GRAM <= part.len && needle->count < SIGN_HASHES_MAX; at++)
        needle->hashes[needle->count++] = hash_at(part, at);
}

size_t sign_length(struct str bytes)
{
    size_t log = bytes.len == 0 ? 0 : (unsigned char)bytes.ptr[0], len;

    if (log < SIGN_LOG_MIN || log > SIGN_LOG_MAX)
        return 0;
    len = 1 + ((size_t)1 << log) / 8;
    return len <= bytes.len ? len : 0;
}

bool sign_may_have(struct str sign, const struct sign_needle *needle)
{
    uint32_t mask = (UINT32_C(1) << (unsigned char)sign.ptr[0]) - 1;

    for (size_t i = 0; i < needle->count; i++) {
        uint32_t bit = needle->hashes[i] & mask;

        if (((unsigned char)sign.ptr[1 + bit / 8] >> bit % 8 & 1) == 0)
            return false;
    }
    return true;
}
