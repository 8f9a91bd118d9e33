/* RSA and Ed25519 by OpenSSL; signature.h says how they are used. */
#include "mailauth/signature.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

enum { ED25519_PUBLIC_BYTES = 32, ED25519_SIGNATURE_BYTES = 64, SIGNATURE_MAX = 2048 };

void mailauth_key_free(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
    *key = NULL;
}

static void context_free(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
    *context = NULL;
}

static bool is_kind(const EVP_PKEY *key, enum mailauth_key_kind kind)
{
    return EVP_PKEY_get_base_id(key) ==
           (kind == MAILAUTH_KEY_RSA ? EVP_PKEY_RSA : EVP_PKEY_ED25519);
}

/* What a record has in p= for RSA: in practice SubjectPublicKeyInfo, by the RFC's letter PKCS #1.
 */
static EVP_PKEY *rsa_public_key(struct str bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr, *end = at + bytes.len;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)bytes.len);

    if (key == NULL) {
        at = (const unsigned char *)bytes.ptr;
        key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)bytes.len);
    }
    if (key != NULL && (at != end || !is_kind(key, MAILAUTH_KEY_RSA) ||
                        EVP_PKEY_get_bits(key) > MAILAUTH_RSA_BITS_MAX))
        mailauth_key_free(&key);
    return key;
}

EVP_PKEY *mailauth_public_key(enum mailauth_key_kind kind, struct str bytes)
{
    EVP_PKEY *key = NULL;

    if (bytes.len == 0 || bytes.len > 64 * 1024)
        return NULL;
    if (kind == MAILAUTH_KEY_RSA)
        key = rsa_public_key(bytes);
    else if (bytes.len == ED25519_PUBLIC_BYTES)
        key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.ptr,
                                          bytes.len);
    ERR_clear_error();
    return key;
}

EVP_PKEY *mailauth_private_key(struct str der, enum mailauth_key_kind *out_kind)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    EVP_PKEY *key = NULL;

    if (der.len > 0 && der.len <= 64 * 1024)
        key = d2i_AutoPrivateKey(NULL, &at, (long)der.len);
    ERR_clear_error();
    if (key == NULL)
        return NULL;
    if (is_kind(key, MAILAUTH_KEY_RSA))
        *out_kind = MAILAUTH_KEY_RSA;
    else if (is_kind(key, MAILAUTH_KEY_ED25519))
        *out_kind = MAILAUTH_KEY_ED25519;
    else
        mailauth_key_free(&key);
    return key;
}

bool mailauth_key_is_short(const EVP_PKEY *key)
{
    return is_kind(key, MAILAUTH_KEY_RSA) && EVP_PKEY_get_bits(key) < MAILAUTH_RSA_BITS_MIN;
}

static bool rsa_is_good(EVP_PKEY *key, const unsigned char *digest, struct str signature)
{
    CLEANUP(context_free) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);

    return context != NULL && EVP_PKEY_verify_init(context) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
           EVP_PKEY_verify(context, (const unsigned char *)signature.ptr, signature.len, digest,
                           MAILAUTH_DIGEST_BYTES) == 1;
}

static bool ed25519_is_good(EVP_PKEY *key, const unsigned char *digest, struct str signature)
{
    CLEANUP(mailauth_digest_free) EVP_MD_CTX *context = EVP_MD_CTX_new();

    return context != NULL && signature.len == ED25519_SIGNATURE_BYTES &&
           EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
           EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len, digest,
                            MAILAUTH_DIGEST_BYTES) == 1;
}

bool mailauth_signature_is_good(EVP_PKEY *key, enum mailauth_key_kind kind,
                                const unsigned char digest[static MAILAUTH_DIGEST_BYTES],
                                struct str signature)
{
    bool is_good = false;

    if (signature.len > 0 && signature.len <= SIGNATURE_MAX)
        is_good = kind == MAILAUTH_KEY_RSA ? rsa_is_good(key, digest, signature)
                                           : ed25519_is_good(key, digest, signature);
    ERR_clear_error();
    return is_good;
}

static bool rsa_make(EVP_PKEY *key, const unsigned char *digest, unsigned char *out, size_t *len)
{
    CLEANUP(context_free) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);

    return context != NULL && EVP_PKEY_sign_init(context) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
           EVP_PKEY_sign(context, out, len, digest, MAILAUTH_DIGEST_BYTES) == 1;
}

static bool ed25519_make(EVP_PKEY *key, const unsigned char *digest, unsigned char *out,
                         size_t *len)
{
    CLEANUP(mailauth_digest_free) EVP_MD_CTX *context = EVP_MD_CTX_new();

    return context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
           EVP_DigestSign(context, out, len, digest, MAILAUTH_DIGEST_BYTES) == 1;
}

enum err mailauth_signature_make(EVP_PKEY *key, enum mailauth_key_kind kind,
                                 const unsigned char digest[static MAILAUTH_DIGEST_BYTES],
                                 struct buf *out)
{
    unsigned char signature[SIGNATURE_MAX];
    size_t len = sizeof(signature);
    bool is_made = false;

    if (EVP_PKEY_get_size(key) <= (int)sizeof(signature))
        is_made = kind == MAILAUTH_KEY_RSA ? rsa_make(key, digest, signature, &len)
                                           : ed25519_make(key, digest, signature, &len);
    ERR_clear_error();
    return is_made ? buf_append(out, str_make(signature, len)) : ERR_INVALID;
}
