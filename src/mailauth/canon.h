/*
 * Canonicalization (RFC 6376 §3.4): the bytes of header fields and of a body as a signature's hash
 * sees them. They are never put together anywhere: they go into the hash as they are made.
 */
#ifndef MAILAUTH_CANON_H
#define MAILAUTH_CANON_H

#include "message/header.h"

#include <openssl/evp.h>
#include <stdint.h>

enum mailauth_canon { MAILAUTH_SIMPLE, MAILAUTH_RELAXED, MAILAUTH_CANON_COUNT };

enum { MAILAUTH_DIGEST_BYTES = 32 };

/* A SHA-256 under way; mailauth_digest_end gives the result and frees it. */
EVP_MD_CTX *mailauth_digest_new(void);
EVP_MD_CTX *mailauth_digest_copy(const EVP_MD_CTX *digest);
void mailauth_digest_end(EVP_MD_CTX **digest, unsigned char out[static MAILAUTH_DIGEST_BYTES]);
void mailauth_digest_free(EVP_MD_CTX **digest);

/* One field, CRLF at its end. */
void mailauth_canon_field(EVP_MD_CTX *digest, enum mailauth_canon canon,
                          const struct header_field *field);
/* The field of a signature: without the value of its b= and without the last CRLF (§3.7). */
void mailauth_canon_signature(EVP_MD_CTX *digest, enum mailauth_canon canon,
                              const struct header_field *field);

/*
 * The hashes of one body in one canonicalization: of all of it, and of its beginnings that
 * signatures with l= ask for. The body is gone through once.
 */
enum { MAILAUTH_BODY_LIMITS_MAX = 16 };

struct mailauth_body_hash {
    uint64_t len; /* of the canonical body */
    unsigned char whole[MAILAUTH_DIGEST_BYTES];
    struct {
        uint64_t limit; /* set by the caller, any order */
        bool is_there;  /* the body is that long */
        unsigned char digest[MAILAUTH_DIGEST_BYTES];
    } parts[MAILAUTH_BODY_LIMITS_MAX];
    size_t part_count; /* set by the caller */
};

/* Sets all of *hash but what the caller has. */
void mailauth_canon_body(enum mailauth_canon canon, struct str body,
                         struct mailauth_body_hash *hash);

#endif
