/*
 * The two signature algorithms of DKIM and ARC: rsa-sha256 and ed25519-sha256 (RFC 8463: of the
 * SHA-256 of what is signed). rsa-sha1 is none (RFC 8301).
 */
#ifndef MAILAUTH_SIGNATURE_H
#define MAILAUTH_SIGNATURE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "mailauth/canon.h"

#include <openssl/evp.h>
#include <stdbool.h>

enum mailauth_key_kind { MAILAUTH_KEY_RSA, MAILAUTH_KEY_ED25519 };

enum {
    MAILAUTH_RSA_BITS_MIN = 1024, /* RFC 8301 §3.2 */
    MAILAUTH_RSA_BITS_MAX = 8192, /* more is only work */
};

void mailauth_key_free(EVP_PKEY **key);

/*
 * The bytes of p= in a key record: SubjectPublicKeyInfo or RSAPublicKey; 32 bytes of Ed25519. NULL:
 * neither, or an RSA key over MAILAUTH_RSA_BITS_MAX.
 */
EVP_PKEY *mailauth_public_key(enum mailauth_key_kind kind, struct str bytes);
/* PKCS #8 in DER. NULL: not a key of one of these kinds. */
EVP_PKEY *mailauth_private_key(struct str der, enum mailauth_key_kind *out_kind);

/* An RSA key of fewer bits than MAILAUTH_RSA_BITS_MIN: its signatures count for nothing. */
bool mailauth_key_is_short(const EVP_PKEY *key);

/* Is this the signature of the digest? */
bool mailauth_signature_is_good(EVP_PKEY *key, enum mailauth_key_kind kind,
                                const unsigned char digest[static MAILAUTH_DIGEST_BYTES],
                                struct str signature);
/* Appends the signature. ERR_INVALID: the key cannot sign. */
MUST_CHECK enum err
mailauth_signature_make(EVP_PKEY *key, enum mailauth_key_kind kind,
                        const unsigned char digest[static MAILAUTH_DIGEST_BYTES], struct buf *out);

#endif
