/*
 * The format, per page of `len` bytes, n = len - 32:
 *
 *   data (n) ‖ nonce (16) ‖ tag (16)
 *
 *   c       = little-endian 32 bits of nonce[12..16) xor the page number
 *   otk     = 64 bytes of ChaCha20(key, nonce[0..12), block counter c)
 *   data    encrypted with ChaCha20(otk[32..64), nonce[0..12), block counter c + 1)
 *   tag     = Poly1305(otk[0..32), data ‖ nonce)
 *
 * Page 1 keeps 24 bytes in clear: the salt where SQLite has its magic words, and bytes 16 to 23 of
 * SQLite's header (page size, versions, reserved bytes). They are authenticated with the rest.
 *
 * What is ours: the key is the 48 raw bytes of MAILBOX_KEY_BYTES, kept in guarded memory and shared
 * by the ciphers of a connection; the one OpenSSL context is keyed anew for each page, and the
 * page's own one-time key is what stays in it; nonces come from the kernel, in portions, from
 * memory that a fork gives to the child as zeros, so that a child can never use its parent's.
 */
#include "sqlite/cipher.h"

#include "base/memory.h"
#include "base/random.h"
#include "secret/crypt.h"
#include "secret/secret.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    OTK_BYTES = 64,
    OTK_CIPHER_AT = 32, /* the second half encrypts, the first authenticates */
    IV_BYTES = 16,      /* OpenSSL's: block counter (4, little-endian) ‖ nonce (12) */
    NONCE_POOL_BYTES = 4096,
    NONCES_IN_POOL = NONCE_POOL_BYTES / CIPHER_PAGE_NONCE_BYTES - 1,
};

/* The key of a connection, shared by the ciphers that SQLite clones from its first. */
struct page_key {
    struct secret *secret; /* own; key ‖ salt */
    unsigned use_count;
};

/* One page of memory that is zero in a forked child: `left` 0 means that it must be filled. */
struct nonce_pool {
    unsigned char nonces[NONCES_IN_POOL][CIPHER_PAGE_NONCE_BYTES];
    size_t left;
    size_t reserved;
};
_Static_assert(sizeof(struct nonce_pool) == NONCE_POOL_BYTES, "the pool is one page");

struct page_cipher {
    struct page_key *key;     /* shared; NULL: no usable key was given */
    EVP_CIPHER_CTX *chacha20; /* own */
    EVP_MAC_CTX *poly1305;    /* own */
    struct nonce_pool *pool;  /* own; mapped when the first page is written */
    unsigned char salt[CIPHER_SALT_BYTES];
};

static void key_release(struct page_key **key)
{
    if (*key != NULL && --(*key)->use_count == 0) {
        secret_free(&(*key)->secret);
        mem_free(key);
    }
    *key = NULL;
}

static void *cipher_allocate(sqlite3 *db)
{
    struct page_cipher *cipher = NEW(struct page_cipher);
    EVP_CIPHER *chacha20 = EVP_CIPHER_fetch(NULL, "ChaCha20", NULL);
    EVP_MAC *poly1305 = EVP_MAC_fetch(NULL, "POLY1305", NULL);

    (void)db;
    cipher->chacha20 = EVP_CIPHER_CTX_new();
    cipher->poly1305 = EVP_MAC_CTX_new(poly1305);
    if (chacha20 == NULL || cipher->chacha20 == NULL || cipher->poly1305 == NULL ||
        EVP_EncryptInit_ex2(cipher->chacha20, chacha20, NULL, NULL, NULL) != 1)
        abort();
    EVP_CIPHER_free(chacha20);
    EVP_MAC_free(poly1305);
    return cipher;
}

static void cipher_free(void *data)
{
    struct page_cipher *cipher = data;

    key_release(&cipher->key);
    EVP_CIPHER_CTX_free(cipher->chacha20);
    EVP_MAC_CTX_free(cipher->poly1305);
    if (cipher->pool != NULL)
        munmap(cipher->pool, sizeof(*cipher->pool));
    mem_free(&cipher);
}

static void cipher_clone(void *to_data, void *from_data)
{
    struct page_cipher *to = to_data, *from = from_data;

    key_release(&to->key);
    to->key = from->key;
    if (to->key != NULL)
        to->key->use_count++;
    memcpy(to->salt, from->salt, sizeof(to->salt));
}

static int cipher_legacy(void *data)
{
    (void)data;
    return 0;
}

static int cipher_page_size(void *data)
{
    (void)data;
    return 0; /* any */
}

static int cipher_reserved(void *data)
{
    (void)data;
    return CIPHER_RESERVED_BYTES;
}

static unsigned char *cipher_salt(void *data)
{
    return ((struct page_cipher *)data)->salt;
}

/* `bytes` is what sqlite3_key was given. The salt comes with it, never from the file. */
static void cipher_take_key(void *data, char *bytes, int len, int is_rekey,
                            unsigned char *file_salt)
{
    struct page_cipher *cipher = data;

    (void)is_rekey;
    (void)file_salt;
    key_release(&cipher->key);
    if (len != MAILBOX_KEY_BYTES)
        return; /* every page will be refused */
    cipher->key = NEW(struct page_key);
    cipher->key->secret = secret_copy(str_make(bytes, MAILBOX_KEY_BYTES));
    cipher->key->use_count = 1;
    memcpy(cipher->salt, bytes + CRYPT_KEY_BYTES, sizeof(cipher->salt));
}

static void next_nonce(struct page_cipher *cipher, unsigned char out[CIPHER_PAGE_NONCE_BYTES])
{
    struct nonce_pool *pool = cipher->pool;

    if (pool == NULL) {
        pool =
            mmap(NULL, sizeof(*pool), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pool == MAP_FAILED || madvise(pool, sizeof(*pool), MADV_WIPEONFORK) != 0)
            abort();
        cipher->pool = pool;
    }
    if (pool->left == 0) {
        random_bytes(pool->nonces, sizeof(pool->nonces));
        pool->left = NONCES_IN_POOL;
    }
    pool->left--;
    memcpy(out, pool->nonces[pool->left], CIPHER_PAGE_NONCE_BYTES);
}

static void put_le32(unsigned char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_le32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* ChaCha20 over `bytes` in place. OpenSSL's functions fail here only by a mistake of ours. */
static void chacha20(struct page_cipher *cipher, const unsigned char *key,
                     const unsigned char *nonce, uint32_t counter, unsigned char *bytes, int len)
{
    unsigned char iv[IV_BYTES];
    int written = 0;

    put_le32(iv, counter);
    memcpy(iv + 4, nonce, sizeof(iv) - 4);
    if (EVP_EncryptInit_ex2(cipher->chacha20, NULL, key, iv, NULL) != 1 ||
        EVP_EncryptUpdate(cipher->chacha20, bytes, &written, bytes, len) != 1 || written != len)
        abort();
}

/* The tag over the page's data and nonce. */
static void authenticate(struct page_cipher *cipher, const unsigned char *key,
                         const unsigned char *bytes, size_t len,
                         unsigned char out[CIPHER_PAGE_TAG_BYTES])
{
    size_t written = 0;

    if (EVP_MAC_init(cipher->poly1305, key, 32, NULL) != 1 ||
        EVP_MAC_update(cipher->poly1305, bytes, len) != 1 ||
        EVP_MAC_final(cipher->poly1305, out, &written, CIPHER_PAGE_TAG_BYTES) != 1 ||
        written != CIPHER_PAGE_TAG_BYTES)
        abort();
}

/* The page's one-time keys; gives the block counter of the data. */
static uint32_t derive_otk(struct page_cipher *cipher, int page, const unsigned char *nonce,
                           unsigned char out[OTK_BYTES])
{
    uint32_t counter = get_le32(nonce + 12) ^ (uint32_t)page;

    memset(out, 0, OTK_BYTES);
    chacha20(cipher, secret_bytes(cipher->key->secret), nonce, counter, out, OTK_BYTES);
    return counter + 1;
}

static int cipher_encrypt_page(void *data, int page, unsigned char *bytes, int len, int reserved)
{
    struct page_cipher *cipher = data;
    int clear = page == 1 ? CIPHER_PAGE1_CLEAR_BYTES : 0;
    int end = len - CIPHER_RESERVED_BYTES;
    unsigned char *nonce = bytes + end;
    unsigned char otk[OTK_BYTES];
    uint32_t counter;

    if (cipher->key == NULL || reserved < CIPHER_RESERVED_BYTES || end <= clear)
        return SQLITE_CORRUPT;
    next_nonce(cipher, nonce);
    counter = derive_otk(cipher, page, nonce, otk);
    chacha20(cipher, otk + OTK_CIPHER_AT, nonce, counter, bytes + clear, end - clear);
    if (page == 1)
        memcpy(bytes, cipher->salt, sizeof(cipher->salt));
    authenticate(cipher, otk, bytes, (size_t)end + CIPHER_PAGE_NONCE_BYTES,
                 nonce + CIPHER_PAGE_NONCE_BYTES);
    mem_wipe(otk, sizeof(otk));
    return SQLITE_OK;
}

static int cipher_decrypt_page(void *data, int page, unsigned char *bytes, int len, int reserved,
                               int is_checked)
{
    static const char magic[] = "SQLite format 3"; /* with its NUL: 16 bytes */
    struct page_cipher *cipher = data;
    int clear = page == 1 ? CIPHER_PAGE1_CLEAR_BYTES : 0;
    int end = len - CIPHER_RESERVED_BYTES;
    const unsigned char *nonce = bytes + end;
    unsigned char otk[OTK_BYTES];
    unsigned char tag[CIPHER_PAGE_TAG_BYTES];
    uint32_t counter;
    bool is_genuine;

    (void)is_checked; /* always */
    if (cipher->key == NULL || reserved < CIPHER_RESERVED_BYTES || end <= clear)
        return page == 1 ? SQLITE_NOTADB : SQLITE_CORRUPT;
    counter = derive_otk(cipher, page, nonce, otk);
    authenticate(cipher, otk, bytes, (size_t)end + CIPHER_PAGE_NONCE_BYTES, tag);
    is_genuine = CRYPTO_memcmp(tag, nonce + CIPHER_PAGE_NONCE_BYTES, sizeof(tag)) == 0;
    if (is_genuine) {
        chacha20(cipher, otk + OTK_CIPHER_AT, nonce, counter, bytes + clear, end - clear);
        if (page == 1)
            memcpy(bytes, magic, sizeof(magic));
    } else {
        /* The master key must not stay in the context. */
        chacha20(cipher, otk + OTK_CIPHER_AT, nonce, counter, tag, sizeof(tag));
    }
    mem_wipe(otk, sizeof(otk));
    if (is_genuine)
        return SQLITE_OK;
    return page == 1 ? SQLITE_NOTADB : SQLITE_CORRUPT;
}

struct page_cipher *cipher_pages_new(const struct secret *key)
{
    struct page_cipher *cipher = cipher_allocate(NULL);
    char *bytes = (char *)(uintptr_t)secret_str(key).ptr; /* only read */

    cipher_take_key(cipher, bytes, (int)secret_len(key), 0, NULL);
    return cipher;
}

void cipher_pages_free(struct page_cipher **cipher)
{
    if (*cipher != NULL)
        cipher_free(*cipher);
    *cipher = NULL;
}

void cipher_pages_encrypt(struct page_cipher *cipher, uint32_t number, unsigned char *page,
                          size_t len)
{
    if (cipher_encrypt_page(cipher, (int)number, page, (int)len, CIPHER_RESERVED_BYTES) !=
        SQLITE_OK)
        abort(); /* a key or a page of another size */
}

bool cipher_pages_decrypt(struct page_cipher *cipher, uint32_t number, unsigned char *page,
                          size_t len)
{
    return cipher_decrypt_page(cipher, (int)number, page, (int)len, CIPHER_RESERVED_BYTES, 1) ==
           SQLITE_OK;
}

void cipher_register(void)
{
    const CipherDescriptor descriptor = {
        .m_name = CIPHER_NAME,
        .m_allocateCipher = cipher_allocate,
        .m_freeCipher = cipher_free,
        .m_cloneCipher = cipher_clone,
        .m_getLegacy = cipher_legacy,
        .m_getPageSize = cipher_page_size,
        .m_getReserved = cipher_reserved,
        .m_getSalt = cipher_salt,
        .m_generateKey = cipher_take_key,
        .m_encryptPage = cipher_encrypt_page,
        .m_decryptPage = cipher_decrypt_page,
    };
    /* The library wants a table; we have nothing to configure. */
    const CipherParams parameters[] = {{"", 0, 0, 0, 0}};

    if (sqlite3mc_cipher_index(CIPHER_NAME) > 0)
        return;
    if (sqlite3mc_register_cipher(&descriptor, parameters, 1) != SQLITE_OK)
        abort();
}
