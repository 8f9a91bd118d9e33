/*
 * The page cipher of every database: SQLite3 Multiple Ciphers' `chacha20` format with OpenSSL's
 * arithmetic. sqlite/db.c has it used by SQLite; a stock build opens what this writes, given the
 * password (`PRAGMA cipher='chacha20'`), and the other way round.
 */
#ifndef SQLITE_CIPHER_H
#define SQLITE_CIPHER_H

#include "secret/secret.h"

#include <stdint.h>

/* The name under which SQLite knows our implementation; the format's own name is chacha20. */
#define CIPHER_NAME "sealpost"

enum {
    CIPHER_SALT_BYTES = 16,
    CIPHER_PAGE_NONCE_BYTES = 16,
    CIPHER_PAGE_TAG_BYTES = 16,
    /* At the end of every page. */
    CIPHER_RESERVED_BYTES = CIPHER_PAGE_NONCE_BYTES + CIPHER_PAGE_TAG_BYTES,
    /* Page 1: the salt, then the part of SQLite's header that is needed to read anything at all. */
    CIPHER_PAGE1_CLEAR_BYTES = 24,
};

/* Once in a process: registers the cipher and makes it the default. Aborts when it cannot. */
void cipher_register(void);

/*
 * Pages of a file by themselves, for whoever copies it from one key to another. `key` has
 * MAILBOX_KEY_BYTES and is copied; a page has CIPHER_RESERVED_BYTES at its end. Both work in place.
 */
struct page_cipher;
struct page_cipher *cipher_pages_new(const struct secret *key);
void cipher_pages_free(struct page_cipher **cipher);
/* A new nonce for each. */
void cipher_pages_encrypt(struct page_cipher *cipher, uint32_t number, unsigned char *page,
                          size_t len);
/* False: it is not what was encrypted as this page under this key. */
bool cipher_pages_decrypt(struct page_cipher *cipher, uint32_t number, unsigned char *page,
                          size_t len);

#endif
