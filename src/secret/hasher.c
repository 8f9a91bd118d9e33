#include "secret/hasher.h"

#include "base/memory.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

struct hasher {
    crypto_generichash_state blake2b;
    EVP_MD_CTX *sha256, *copy; /* own; NULL: it is BLAKE2b. `copy`: room for hasher_digest */
};

static const unsigned char *bytes_of(struct str bytes)
{
    return (const unsigned char *)bytes.ptr;
}

/* Of OpenSSL's digests, without room: nothing else can fail. */
static void must(int is_done)
{
    if (is_done != 1)
        abort();
}

struct hasher *hasher_new(enum hasher_kind kind)
{
    /* The state wants an alignment that the heap does not promise. */
    struct hasher *hasher = aligned_alloc(_Alignof(struct hasher), sizeof(*hasher));

    if (hasher == NULL)
        abort();
    hasher->sha256 = hasher->copy = NULL;
    switch (kind) {
    case HASHER_SHA256:
        hasher->sha256 = EVP_MD_CTX_new();
        hasher->copy = EVP_MD_CTX_new();
        must(hasher->sha256 != NULL && hasher->copy != NULL);
        must(EVP_DigestInit_ex(hasher->sha256, EVP_sha256(), NULL));
        return hasher;
    case HASHER_BLAKE2B:
        crypto_generichash_init(&hasher->blake2b, NULL, 0, CRYPT_HASH_BYTES);
        return hasher;
    }
    abort();
}

void hasher_add(struct hasher *hasher, struct str bytes)
{
    if (hasher->sha256 != NULL)
        must(EVP_DigestUpdate(hasher->sha256, bytes.ptr, bytes.len));
    else
        crypto_generichash_update(&hasher->blake2b, bytes_of(bytes), bytes.len);
}

void hasher_digest(const struct hasher *hasher, unsigned char out[static CRYPT_HASH_BYTES])
{
    crypto_generichash_state copy;

    if (hasher->sha256 != NULL) {
        must(EVP_MD_CTX_copy_ex(hasher->copy, hasher->sha256));
        must(EVP_DigestFinal_ex(hasher->copy, out, NULL));
        return;
    }
    copy = hasher->blake2b;
    crypto_generichash_final(&copy, out, CRYPT_HASH_BYTES);
    mem_wipe(&copy, sizeof(copy));
}

void hasher_free(struct hasher **hasher)
{
    if (*hasher == NULL)
        return;
    EVP_MD_CTX_free((*hasher)->sha256);
    EVP_MD_CTX_free((*hasher)->copy);
    mem_wipe(*hasher, sizeof(**hasher));
    mem_free(hasher);
}

void hasher_sha256(struct str bytes, unsigned char out[static CRYPT_HASH_BYTES])
{
    must(EVP_Digest(bytes.ptr, bytes.len, out, NULL, EVP_sha256(), NULL));
}
