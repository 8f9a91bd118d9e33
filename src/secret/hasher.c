#include "secret/hasher.h"

#include "base/memory.h"

#include <sodium.h>
#include <stdlib.h>

struct hasher {
    crypto_generichash_state state;
};

static const unsigned char *bytes_of(struct str bytes)
{
    return (const unsigned char *)bytes.ptr;
}

struct hasher *hasher_new(struct str key)
{
    /* The state wants an alignment that the heap does not promise. */
    struct hasher *hasher = aligned_alloc(_Alignof(struct hasher), sizeof(*hasher));

    if (hasher == NULL)
        abort();
    crypto_generichash_init(&hasher->state, bytes_of(key), key.len, CRYPT_HASH_BYTES);
    return hasher;
}

void hasher_add(struct hasher *hasher, struct str bytes)
{
    crypto_generichash_update(&hasher->state, bytes_of(bytes), bytes.len);
}

void hasher_digest(const struct hasher *hasher, unsigned char out[static CRYPT_HASH_BYTES])
{
    struct hasher copy = *hasher;

    crypto_generichash_final(&copy.state, out, CRYPT_HASH_BYTES);
    mem_wipe(&copy, sizeof(copy));
}

void hasher_free(struct hasher **hasher)
{
    if (*hasher == NULL)
        return;
    mem_wipe(*hasher, sizeof(**hasher));
    mem_free(hasher);
}
