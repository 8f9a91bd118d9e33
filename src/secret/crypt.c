#include "secret/crypt.h"

#include "base/memory.h"
#include "base/random.h"

#include <assert.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    CHUNK_OVERHEAD = crypto_secretstream_xchacha20poly1305_ABYTES,
    PBKDF2_ROUNDS = 64007, /* of SQLite3 Multiple Ciphers' chacha20 */
};
_Static_assert(CRYPT_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(CRYPT_NONCE_BYTES == crypto_secretstream_xchacha20poly1305_HEADERBYTES, "header");
_Static_assert(CRYPT_SEAL_OVERHEAD == CRYPT_NONCE_BYTES + TAG_BYTES, "overhead");
_Static_assert(CRYPT_X25519_BYTES == crypto_scalarmult_BYTES, "X25519");

static const unsigned char *bytes_of(struct str text)
{
    return (const unsigned char *)text.ptr;
}

/* BLAKE2b leaves its result in frames below ours; keys come out of it, so they are overwritten. */
static __attribute__((noinline)) void wipe_frames_below(void)
{
    unsigned char frames[4096];

    mem_wipe(frames, sizeof(frames));
}

void crypt_hash(struct str key, struct str label, struct str data,
                unsigned char out[static CRYPT_HASH_BYTES])
{
    crypto_generichash_state state;
    unsigned char label_len[8];

    assert(key.len <= crypto_generichash_KEYBYTES_MAX);
    for (size_t i = 0; i < sizeof(label_len); i++)
        label_len[i] = (unsigned char)((uint64_t)label.len >> (8 * i));
    crypto_generichash_init(&state, bytes_of(key), key.len, CRYPT_HASH_BYTES);
    crypto_generichash_update(&state, label_len, sizeof(label_len));
    crypto_generichash_update(&state, bytes_of(label), label.len);
    crypto_generichash_update(&state, bytes_of(data), data.len);
    crypto_generichash_final(&state, out, CRYPT_HASH_BYTES);
    mem_wipe(&state, sizeof(state));
    wipe_frames_below();
}

void crypt_digest(struct str data, unsigned char out[static CRYPT_HASH_BYTES])
{
    crypto_generichash(out, CRYPT_HASH_BYTES, bytes_of(data), data.len, NULL, 0);
    wipe_frames_below();
}

/* Appends text ‖ tag. */
static enum err seal_piece(struct buf *out, struct str key, struct str nonce, struct str associated,
                           struct str plain)
{
    char *room;

    assert(key.len == CRYPT_KEY_BYTES && nonce.len == CRYPT_NONCE_BYTES);
    TRY(buf_reserve(out, plain.len + TAG_BYTES, &room));
    crypto_aead_xchacha20poly1305_ietf_encrypt((unsigned char *)room, NULL, bytes_of(plain),
                                               plain.len, bytes_of(associated), associated.len,
                                               NULL, bytes_of(nonce), bytes_of(key));
    buf_commit(out, plain.len + TAG_BYTES);
    return ERR_OK;
}

static enum err open_piece(struct buf *out, struct str key, struct str nonce, struct str associated,
                           struct str sealed)
{
    char *room;

    assert(key.len == CRYPT_KEY_BYTES && nonce.len == CRYPT_NONCE_BYTES);
    if (sealed.len < TAG_BYTES)
        return ERR_DENIED;
    TRY(buf_reserve(out, sealed.len, &room));
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            (unsigned char *)room, NULL, NULL, bytes_of(sealed), sealed.len, bytes_of(associated),
            associated.len, bytes_of(nonce), bytes_of(key)) != 0)
        return ERR_DENIED;
    buf_commit(out, sealed.len - TAG_BYTES);
    return ERR_OK;
}

enum err crypt_seal(struct buf *out, struct str key, struct str associated, struct str plain)
{
    unsigned char nonce[CRYPT_NONCE_BYTES];
    size_t before = out->len;
    enum err err;

    random_bytes(nonce, sizeof(nonce));
    TRY(buf_append(out, str_make(nonce, sizeof(nonce))));
    err = seal_piece(out, key, str_make(nonce, sizeof(nonce)), associated, plain);
    if (err != ERR_OK)
        buf_truncate(out, before);
    return err;
}

enum err crypt_open(struct buf *out, struct str key, struct str associated, struct str sealed)
{
    if (sealed.len < CRYPT_SEAL_OVERHEAD)
        return ERR_DENIED;
    return open_piece(out, key, str_upto(sealed, CRYPT_NONCE_BYTES), associated,
                      str_from(sealed, CRYPT_NONCE_BYTES));
}

struct secret *crypt_mailbox_key(struct str password,
                                 const unsigned char salt[static MAILBOX_SALT_BYTES])
{
    struct secret *key = secret_new(MAILBOX_KEY_BYTES);

    if (PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, salt, MAILBOX_SALT_BYTES, PBKDF2_ROUNDS,
                          EVP_sha256(), CRYPT_KEY_BYTES, secret_bytes(key)) != 1)
        abort(); /* out of memory, or a crypto library without SHA-256 */
    memcpy(secret_bytes(key) + CRYPT_KEY_BYTES, salt, MAILBOX_SALT_BYTES);
    return key;
}

/* The key of a slot: H(digest of the password, "slot", context); a password may be of any length. */
static struct secret *slot_derive(struct str password, struct str label, struct str context)
{
    struct secret *digest = secret_new(CRYPT_HASH_BYTES);
    struct secret *key = secret_new(CRYPT_KEY_BYTES);

    crypt_digest(password, secret_bytes(digest));
    crypt_hash(secret_str(digest), label, context, secret_bytes(key));
    secret_free(&digest);
    return key;
}

static struct secret *slot_key(struct str password, struct str context)
{
    return slot_derive(password, STR("slot"), context);
}

enum err crypt_slot_seal(struct buf *out, struct str password, struct str context,
                         const struct secret *mailbox_key)
{
    CLEANUP(secret_free) struct secret *key = slot_key(password, context);

    return crypt_seal(out, secret_str(key), context, secret_str(mailbox_key));
}

static enum err open_sealed(struct str sealed, struct str key, struct str context,
                            struct secret **out_mailbox_key)
{
    CLEANUP(secret_free) struct secret *opened = secret_new(sealed.len - CRYPT_SEAL_OVERHEAD);

    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            secret_bytes(opened), NULL, NULL, bytes_of(sealed) + CRYPT_NONCE_BYTES,
            sealed.len - CRYPT_NONCE_BYTES, bytes_of(context), context.len, bytes_of(sealed),
            bytes_of(key)) != 0)
        return ERR_DENIED;
    *out_mailbox_key = opened;
    opened = NULL;
    return ERR_OK;
}

enum err crypt_slot_open(struct str sealed, struct str password, struct str context,
                         struct secret **out_mailbox_key)
{
    CLEANUP(secret_free) struct secret *key = NULL;

    if (sealed.len <= CRYPT_SEAL_OVERHEAD || sealed.len - CRYPT_SEAL_OVERHEAD > SECRET_LEN_MAX)
        return ERR_DENIED;
    key = slot_key(password, context);
    return open_sealed(sealed, secret_str(key), context, out_mailbox_key);
}

struct secret *crypt_slot_x25519(struct str password, struct str context)
{
    return slot_derive(password, STR("slot-x25519"), context);
}

struct secret *crypt_slot_wrapping(struct str password, struct str context)
{
    return slot_derive(password, STR("slot-wrapping"), context);
}

/* H(wrapping, "slot-to", shared ‖ ephemeral ‖ public) */
static struct secret *to_key(const struct secret *wrapping, const unsigned char *shared,
                             const unsigned char *ephemeral, const unsigned char *public_key)
{
    struct secret *parts = secret_new(3 * CRYPT_X25519_BYTES);
    struct secret *key = secret_new(CRYPT_KEY_BYTES);
    unsigned char *at = secret_bytes(parts);

    memcpy(at, shared, CRYPT_X25519_BYTES);
    memcpy(at + CRYPT_X25519_BYTES, ephemeral, CRYPT_X25519_BYTES);
    memcpy(at + 2 * CRYPT_X25519_BYTES, public_key, CRYPT_X25519_BYTES);
    crypt_hash(secret_str(wrapping), STR("slot-to"), secret_str(parts), secret_bytes(key));
    secret_free(&parts);
    return key;
}

enum err crypt_slot_seal_to(struct buf *out, struct str public_key, const struct secret *wrapping,
                            struct str context, const struct secret *mailbox_key)
{
    unsigned char ephemeral[CRYPT_X25519_BYTES];
    CLEANUP(secret_free) struct secret *secret = crypt_x25519_new(ephemeral);
    CLEANUP(secret_free) struct secret *shared = secret_new(CRYPT_X25519_BYTES);
    CLEANUP(secret_free) struct secret *key = NULL;

    if (public_key.len != CRYPT_X25519_BYTES)
        return ERR_INVALID;
    TRY(crypt_x25519_shared(secret_str(secret), public_key, secret_bytes(shared)));
    key = to_key(wrapping, secret_bytes(shared), ephemeral, bytes_of(public_key));
    TRY(buf_append(out, str_make(ephemeral, sizeof(ephemeral))));
    return crypt_seal(out, secret_str(key), context, secret_str(mailbox_key));
}

enum err crypt_slot_open_to(struct str sealed, struct str password, struct str context,
                            struct secret **out_mailbox_key)
{
    unsigned char public_key[CRYPT_X25519_BYTES];
    CLEANUP(secret_free) struct secret *secret = NULL;
    CLEANUP(secret_free) struct secret *wrapping = NULL;
    CLEANUP(secret_free) struct secret *shared = secret_new(CRYPT_X25519_BYTES);
    CLEANUP(secret_free) struct secret *key = NULL;
    struct str ephemeral = str_upto(sealed, CRYPT_X25519_BYTES);

    sealed = str_from(sealed, ephemeral.len);
    if (sealed.len <= CRYPT_SEAL_OVERHEAD || sealed.len - CRYPT_SEAL_OVERHEAD > SECRET_LEN_MAX)
        return ERR_DENIED;
    secret = crypt_slot_x25519(password, context);
    wrapping = crypt_slot_wrapping(password, context);
    crypt_x25519_public(secret_str(secret), public_key);
    if (crypt_x25519_shared(secret_str(secret), ephemeral, secret_bytes(shared)) != ERR_OK)
        return ERR_DENIED;
    key = to_key(wrapping, secret_bytes(shared), bytes_of(ephemeral), public_key);
    return open_sealed(sealed, secret_str(key), context, out_mailbox_key);
}

struct secret *crypt_x25519_new(unsigned char out_public[static CRYPT_X25519_BYTES])
{
    struct secret *secret = secret_new(CRYPT_X25519_BYTES);

    random_bytes(secret_bytes(secret), CRYPT_X25519_BYTES);
    crypt_x25519_public(secret_str(secret), out_public);
    return secret;
}

void crypt_x25519_public(struct str secret, unsigned char out_public[static CRYPT_X25519_BYTES])
{
    assert(secret.len == CRYPT_X25519_BYTES);
    crypto_scalarmult_base(out_public, bytes_of(secret));
}

enum err crypt_x25519_shared(struct str secret, struct str public,
                             unsigned char out_shared[static CRYPT_X25519_BYTES])
{
    assert(secret.len == CRYPT_X25519_BYTES);
    if (public.len != CRYPT_X25519_BYTES)
        return ERR_INVALID;
    /* Fails for an all-zero result. */
    if (crypto_scalarmult(out_shared, bytes_of(secret), bytes_of(public)) != 0) {
        mem_wipe(out_shared, CRYPT_X25519_BYTES);
        return ERR_INVALID;
    }
    return ERR_OK;
}

size_t crypt_stream_len(size_t plain_len)
{
    if (plain_len <= CRYPT_CHUNK_BYTES)
        return plain_len + TAG_BYTES;
    return plain_len + (plain_len + CRYPT_CHUNK_BYTES - 1) / CRYPT_CHUNK_BYTES * CHUNK_OVERHEAD;
}

/*
 * A sealing state from a nonce of the caller's: init_push would choose one itself, but the nonce is
 * part of what the key is derived from. Both inits make the same state from key and header.
 */
static void stream_begin(crypto_secretstream_xchacha20poly1305_state *state, struct str key,
                         struct str nonce)
{
    assert(key.len == CRYPT_KEY_BYTES && nonce.len == CRYPT_NONCE_BYTES);
    if (crypto_secretstream_xchacha20poly1305_init_pull(state, bytes_of(nonce), bytes_of(key)) != 0)
        abort();
}

/* The next `len` bytes of the parts, which are consumed. */
static void gather(struct str **parts, unsigned char *out, size_t len)
{
    while (len > 0) {
        struct str piece = str_upto(**parts, len);

        if (piece.len > 0)
            memcpy(out, piece.ptr, piece.len);
        out += piece.len;
        len -= piece.len;
        **parts = str_from(**parts, piece.len);
        if (len > 0)
            (*parts)++;
    }
}

/* Takes the parts' bytes chunk by chunk through `chunk`, into `at`. */
static void seal_chunks(crypto_secretstream_xchacha20poly1305_state *state, unsigned char *at,
                        struct str associated, struct str *parts, size_t plain_len,
                        unsigned char *chunk)
{
    while (plain_len > 0) {
        size_t chunk_len = plain_len < CRYPT_CHUNK_BYTES ? plain_len : CRYPT_CHUNK_BYTES;
        unsigned char tag = chunk_len == plain_len ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
                                                   : 0;

        gather(&parts, chunk, chunk_len);
        crypto_secretstream_xchacha20poly1305_push(state, at, NULL, chunk, chunk_len,
                                                   bytes_of(associated), associated.len, tag);
        at += chunk_len + CHUNK_OVERHEAD;
        plain_len -= chunk_len;
    }
}

enum err crypt_stream_seal(struct buf *out, struct str key, struct str nonce, struct str associated,
                           const struct str *parts, size_t part_count)
{
    crypto_secretstream_xchacha20poly1305_state state;
    size_t plain_len = 0, chunk_len;
    struct str *left = NEW_ARRAY(struct str, part_count);
    struct str *rest = left;
    unsigned char *chunk;
    enum err err;
    char *room;

    for (size_t i = 0; i < part_count; i++) {
        left[i] = parts[i];
        plain_len += parts[i].len;
    }
    chunk_len = plain_len < CRYPT_CHUNK_BYTES ? plain_len : CRYPT_CHUNK_BYTES;
    chunk = mem_new(chunk_len, 1);
    if (plain_len <= CRYPT_CHUNK_BYTES) {
        gather(&rest, chunk, plain_len);
        err = seal_piece(out, key, nonce, associated, str_make(chunk, plain_len));
    } else {
        err = buf_reserve(out, crypt_stream_len(plain_len), &room);
        if (err == ERR_OK) {
            stream_begin(&state, key, nonce);
            seal_chunks(&state, (unsigned char *)room, associated, left, plain_len, chunk);
            mem_wipe(&state, sizeof(state));
            buf_commit(out, crypt_stream_len(plain_len));
        }
    }
    mem_wipe(chunk, chunk_len);
    mem_free(&chunk);
    mem_free(&left);
    return err;
}

/* All chunks into `room`; false when one does not fit its place. */
static bool open_chunks(crypto_secretstream_xchacha20poly1305_state *state, unsigned char *room,
                        struct str associated, size_t plain_len, struct str sealed)
{
    while (plain_len > 0) {
        size_t chunk_len = plain_len < CRYPT_CHUNK_BYTES ? plain_len : CRYPT_CHUNK_BYTES;
        unsigned char tag, expected = chunk_len == plain_len
                                          ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
                                          : 0;

        if (crypto_secretstream_xchacha20poly1305_pull(
                state, room, NULL, &tag, bytes_of(sealed), chunk_len + CHUNK_OVERHEAD,
                bytes_of(associated), associated.len) != 0 ||
            tag != expected)
            return false;
        room += chunk_len;
        plain_len -= chunk_len;
        sealed = str_from(sealed, chunk_len + CHUNK_OVERHEAD);
    }
    return true;
}

enum err crypt_stream_open(struct buf *out, struct str key, struct str nonce, struct str associated,
                           size_t plain_len, struct str sealed)
{
    crypto_secretstream_xchacha20poly1305_state state;
    char *room;
    bool is_good;

    if (plain_len > sealed.len || crypt_stream_len(plain_len) != sealed.len)
        return ERR_DENIED;
    if (plain_len <= CRYPT_CHUNK_BYTES)
        return open_piece(out, key, nonce, associated, sealed);
    TRY(buf_reserve(out, plain_len, &room));
    stream_begin(&state, key, nonce);
    is_good = open_chunks(&state, (unsigned char *)room, associated, plain_len, sealed);
    mem_wipe(&state, sizeof(state));
    if (!is_good) {
        mem_wipe(room, plain_len);
        return ERR_DENIED;
    }
    buf_commit(out, plain_len);
    return ERR_OK;
}

struct secret *crypt_derive(const struct secret *host_key, struct str purpose, struct str detail)
{
    struct secret *key = secret_new(CRYPT_KEY_BYTES);

    crypt_hash(secret_str(host_key), purpose, detail, secret_bytes(key));
    return key;
}
