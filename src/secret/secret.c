#include "secret/pool.h"

#include "base/memory.h"
#include "base/random.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSWORD_LEN = 32 };

void secret_init(void)
{
    if (sodium_init() < 0) {
        fputs("sealpost: libsodium does not initialise\n", stderr);
        abort();
    }
    pool_init();
}

struct secret *secret_new(size_t len)
{
    return pool_take(len);
}

struct secret *secret_copy(struct str bytes)
{
    struct secret *secret = pool_take(bytes.len);

    memcpy(secret->bytes, bytes.ptr, bytes.len);
    return secret;
}

void secret_free(struct secret **secret)
{
    if (*secret != NULL && !pool_is_left_behind(*secret))
        pool_give(*secret);
    *secret = NULL;
}

struct str secret_str(const struct secret *secret)
{
    pool_check(secret);
    return str_make(secret->bytes, secret->len);
}

unsigned char *secret_bytes(struct secret *secret)
{
    pool_check(secret);
    return secret->bytes;
}

size_t secret_len(const struct secret *secret)
{
    pool_check(secret);
    return secret->len;
}

bool secret_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || sodium_memcmp(a.ptr, b.ptr, a.len) == 0);
}

struct secret *secret_password(void)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    enum { LETTER_COUNT = sizeof(letters) - 1, FAIR = 256 / LETTER_COUNT * LETTER_COUNT };
    struct secret *password = secret_new(PASSWORD_LEN);
    unsigned char pool[4 * PASSWORD_LEN];
    size_t len = 0;

    /* Bytes past the last whole multiple of 62 would favour the first letters. */
    while (len < PASSWORD_LEN) {
        random_bytes(pool, sizeof(pool));
        for (size_t i = 0; i < sizeof(pool) && len < PASSWORD_LEN; i++)
            if (pool[i] < FAIR)
                password->bytes[len++] = (unsigned char)letters[pool[i] % LETTER_COUNT];
    }
    mem_wipe(pool, sizeof(pool));
    return password;
}
