#include "secret/mac.h"

#include "base/memory.h"

#include <sodium.h>
#include <stdlib.h>

struct mac {
    crypto_generichash_state state;
};

static const unsigned char *bytes_of(struct str bytes)
{
    return (const unsigned char *)bytes.ptr;
}

struct mac *mac_new(struct str key)
{
    /* The state wants an alignment that the heap does not promise. */
    struct mac *mac = aligned_alloc(_Alignof(struct mac), sizeof(*mac));

    if (mac == NULL)
        abort();
    crypto_generichash_init(&mac->state, bytes_of(key), key.len, CRYPT_HASH_BYTES);
    return mac;
}

void mac_add(struct mac *mac, struct str bytes)
{
    crypto_generichash_update(&mac->state, bytes_of(bytes), bytes.len);
}

void mac_peek(const struct mac *mac, unsigned char out[static CRYPT_HASH_BYTES])
{
    struct mac copy = *mac;

    crypto_generichash_final(&copy.state, out, CRYPT_HASH_BYTES);
    mem_wipe(&copy, sizeof(copy));
}

void mac_free(struct mac **mac)
{
    if (*mac == NULL)
        return;
    mem_wipe(*mac, sizeof(**mac));
    mem_free(mac);
}
