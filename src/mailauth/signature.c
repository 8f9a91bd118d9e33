/* RSA and Ed25519 by OpenSSL; signature.h says how they are used. */
#include "mailauth/signature.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
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

/* ---- RSA keys ---- */

enum { DER_INTEGER = 0x02, DER_BITS = 0x03, DER_SEQUENCE = 0x30 };

/* One value with this tag from the beginning of *rest (X.690 §8.1, a definite length). */
static bool der_take(struct str *rest, unsigned char tag, struct str *out)
{
    const unsigned char *bytes = (const unsigned char *)rest->ptr;
    size_t at = 2, len;

    if (rest->len < 2 || bytes[0] != tag)
        return false;
    len = bytes[1];
    if (len == 0x81 || len == 0x82) {
        size_t count = len - 0x80;

        if (rest->len < 2 + count)
            return false;
        len = 0;
        for (; count > 0; count--)
            len = len << 8 | bytes[at++];
    } else if (len > 0x7f) {
        return false;
    }
    if (len > rest->len - at)
        return false;
    *out = str_upto(str_from(*rest, at), len);
    *rest = str_from(*rest, at + len);
    return true;
}

/* RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 A.1.1). */
static bool read_rsa_numbers(struct str bytes, struct str *out_modulus, struct str *out_exponent)
{
    struct str inside;

    return der_take(&bytes, DER_SEQUENCE, &inside) && bytes.len == 0 &&
           der_take(&inside, DER_INTEGER, out_modulus) &&
           der_take(&inside, DER_INTEGER, out_exponent) && inside.len == 0 &&
           out_modulus->len > 0 && (out_modulus->ptr[0] & 0x80) == 0 &&
           out_exponent->len > 0 && (out_exponent->ptr[0] & 0x80) == 0;
}

/* SubjectPublicKeyInfo (RFC 5280 §4.1) of rsaEncryption with NULL, as everybody writes it. */
static bool unwrap_rsa(struct str *bytes)
{
    static const unsigned char algorithm[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                              0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    struct str rest = *bytes, inside, name, bits;

    if (!der_take(&rest, DER_SEQUENCE, &inside) || rest.len > 0 ||
        !der_take(&inside, DER_SEQUENCE, &name) ||
        !str_equal(name, str_make(algorithm, sizeof(algorithm))) ||
        !der_take(&inside, DER_BITS, &bits) || inside.len > 0 || bits.len == 0 ||
        bits.ptr[0] != 0)
        return false;
    *bytes = str_from(bits, 1);
    return true;
}

static EVP_PKEY *rsa_of_numbers(struct str modulus, struct str exponent)
{
    BIGNUM *n = BN_bin2bn((const unsigned char *)modulus.ptr, (int)modulus.len, NULL);
    BIGNUM *e = BN_bin2bn((const unsigned char *)exponent.ptr, (int)exponent.len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    CLEANUP(context_free) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;

    if (n != NULL && e != NULL && build != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(e);
    BN_free(n);
    return key;
}

/*
 * OpenSSL's decoders try one form after another, which costs more than verifying a signature: what
 * nearly all keys look like is read here. NULL: something else, or nothing.
 */
static EVP_PKEY *usual_rsa_key(struct str bytes)
{
    struct str modulus, exponent;

    (void)unwrap_rsa(&bytes);
    return read_rsa_numbers(bytes, &modulus, &exponent) ? rsa_of_numbers(modulus, exponent) : NULL;
}

/* What a record has in p= for RSA: in practice SubjectPublicKeyInfo, by the RFC's letter PKCS #1.
 */
static EVP_PKEY *rsa_public_key(struct str bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr, *end = at + bytes.len;
    EVP_PKEY *key = usual_rsa_key(bytes);

    if (key != NULL)
        at = end;
    else
        key = d2i_PUBKEY(NULL, &at, (long)bytes.len);
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
