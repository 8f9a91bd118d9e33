/*
 * The primitives, by purpose: keyed hash, authenticated sealing, the sealed stream, X25519, and the
 * derivation of a mailbox key from its password. The only caller of libsodium; PBKDF2 is OpenSSL's.
 */
#ifndef SECRET_CRYPT_H
#define SECRET_CRYPT_H

#include "base/buf.h"
#include "base/task.h"
#include "secret/secret.h"

enum {
    CRYPT_KEY_BYTES = 32,
    CRYPT_HASH_BYTES = 32,
    CRYPT_X25519_BYTES = 32,
    MAILBOX_SALT_BYTES = 16,
    /* 32 bytes of key and the file's 16 bytes of salt, together (design §3). */
    MAILBOX_KEY_BYTES = CRYPT_KEY_BYTES + MAILBOX_SALT_BYTES,
    /* nonce (24) + tag (16) that crypt_seal adds */
    CRYPT_SEAL_OVERHEAD = 40,
    CRYPT_NONCE_BYTES = 24,
    CRYPT_CHUNK_BYTES = 64 * 1024,
};

/*
 * H(key, label, data): BLAKE2b-256, keyed with `key` (up to 64 bytes, may be empty), over
 * len(label) as 8 bytes little-endian, then the label, then the data (dropbox.md, "Names").
 */
void crypt_hash(struct str key, struct str label, struct str data,
                unsigned char out[static CRYPT_HASH_BYTES]);
/* Unkeyed BLAKE2b-256 of `data`; secret/hasher.h is for bytes that come in pieces. */
void crypt_digest(struct str data, unsigned char out[static CRYPT_HASH_BYTES]);

/*
 * XChaCha20-Poly1305 with a random nonce; appends nonce ‖ ciphertext ‖ tag. `key` has 32 bytes,
 * `associated` is authenticated beside it.
 */
MUST_CHECK enum err crypt_seal(struct buf *out, struct str key, struct str associated,
                               struct str plain);
/* ERR_DENIED when the key, the associated data or a byte is wrong. */
MUST_CHECK enum err crypt_open(struct buf *out, struct str key, struct str associated,
                               struct str sealed);

/*
 * PBKDF2-HMAC-SHA256(password, salt, 64007, 32): what SQLite3 Multiple Ciphers derives for
 * cipher=chacha20. Gives MAILBOX_KEY_BYTES: key ‖ salt. About 19 ms.
 */
struct secret *crypt_mailbox_key(struct str password,
                                 const unsigned char salt[static MAILBOX_SALT_BYTES]);

/*
 * A key slot: `mailbox_key` sealed under BLAKE2b(password, context). `context` binds the slot to
 * its mailbox and purpose.
 */
MUST_CHECK enum err crypt_slot_seal(struct buf *out, struct str password, struct str context,
                                    const struct secret *mailbox_key);
/* ERR_DENIED when the password or context is another one. Microseconds. */
MUST_CHECK enum err crypt_slot_open(struct str sealed, struct str password, struct str context,
                                    struct secret **out_mailbox_key);

/*
 * What a slot's password gives beside its seal, so that another key can be sealed to the slot without
 * it: an X25519 secret (CRYPT_X25519_BYTES) and a wrapping key (CRYPT_KEY_BYTES).
 */
struct secret *crypt_slot_x25519(struct str password, struct str context);
struct secret *crypt_slot_wrapping(struct str password, struct str context);
/*
 * Seals `mailbox_key` to a slot's public key and wrapping key: ephemeral public key ‖ nonce ‖
 * ciphertext ‖ tag, longer by CRYPT_X25519_BYTES than crypt_slot_seal. Whoever breaks X25519 lacks
 * the wrapping key, and who has an old wrapping key the secret half. ERR_INVALID: no point.
 */
MUST_CHECK enum err crypt_slot_seal_to(struct buf *out, struct str public_key,
                                       const struct secret *wrapping, struct str context,
                                       const struct secret *mailbox_key);
/* ERR_DENIED. */
MUST_CHECK enum err crypt_slot_open_to(struct str sealed, struct str password, struct str context,
                                       struct secret **out_mailbox_key);

/*
 * X25519 (RFC 7748). A new pair: the secret half, and the public one written to `out_public`.
 */
struct secret *crypt_x25519_new(unsigned char out_public[static CRYPT_X25519_BYTES]);
/* The public half of a secret one (CRYPT_X25519_BYTES both). */
void crypt_x25519_public(struct str secret, unsigned char out_public[static CRYPT_X25519_BYTES]);
/* The shared secret into `out_shared`. ERR_INVALID when it is all zero (a point of small order). */
MUST_CHECK enum err crypt_x25519_shared(struct str secret, struct str public,
                                        unsigned char out_shared[static CRYPT_X25519_BYTES]);

/*
 * XChaCha20-Poly1305 under a key that is used once, with the nonce (CRYPT_NONCE_BYTES) chosen by
 * the caller: up to CRYPT_CHUNK_BYTES of plain text as one piece (text ‖ tag), more of it as
 * crypto_secretstream, in chunks of CRYPT_CHUNK_BYTES (each tag byte ‖ text ‖ tag), `associated`
 * bound to every chunk, the last one marked. Appended to `out`. The plain text is the parts, one
 * after the other; more than a chunk of it is never copied together.
 */
MUST_CHECK enum err crypt_stream_seal(struct buf *out, struct str key, struct str nonce,
                                      struct str associated, const struct str *parts,
                                      size_t part_count);
/* `plain_len` decides between the forms. ERR_DENIED for anything that is not exactly its output. */
MUST_CHECK enum err crypt_stream_open(struct buf *out, struct str key, struct str nonce,
                                      struct str associated, size_t plain_len, struct str sealed);
/* The bytes that crypt_stream_seal appends for so much plain text. */
size_t crypt_stream_len(size_t plain_len);

/* A 32-byte key for one purpose, derived from the host key: H(host_key, purpose, detail). */
struct secret *crypt_derive(const struct secret *host_key, struct str purpose, struct str detail);

#endif
