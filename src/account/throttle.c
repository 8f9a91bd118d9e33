/* Failed logins, counted in two set-associative tables of fixed size. */
#include "account/throttle.h"

#include "base/ip.h"
#include "base/memory.h"
#include "base/random.h"
#include "secret/crypt.h"

#include <assert.h>
#include <string.h>

enum {
    SETS = 4096,
    WAYS = 8, /* 32,768 entries of 32 bytes in each table: 1 MiB */
    KEY_BYTES = 16,
};

struct entry {
    unsigned char key[KEY_BYTES];
    int64_t since_ms; /* of the first failure in the window */
    uint64_t failures; /* 0: free */
};

struct table {
    struct entry entries[SETS][WAYS];
};

struct account_throttle {
    struct account_throttle_limits limits;
    unsigned char hash_key[CRYPT_KEY_BYTES]; /* so that nobody can aim at a set */
    struct table *addresses;                 /* own */
    struct table *accounts;                  /* own */
};

struct account_throttle *account_throttle_new(const struct account_throttle_limits *limits)
{
    struct account_throttle *throttle = NEW(struct account_throttle);

    throttle->limits = *limits;
    throttle->addresses = NEW(struct table);
    throttle->accounts = NEW(struct table);
    random_bytes(throttle->hash_key, sizeof(throttle->hash_key));
    return throttle;
}

void account_throttle_free(struct account_throttle **throttle)
{
    if (*throttle == NULL)
        return;
    mem_free(&(*throttle)->addresses);
    mem_free(&(*throttle)->accounts);
    mem_free(throttle);
}

void account_throttle_set(struct account_throttle *throttle,
                          const struct account_throttle_limits *limits)
{
    throttle->limits = *limits;
}

static bool is_expired(const struct account_throttle *throttle, const struct entry *entry,
                       int64_t now_ms)
{
    return entry->failures == 0 || now_ms - entry->since_ms >= throttle->limits.window_ms;
}

/* The key's set, and its entry there; NULL when it has none. */
static struct entry *find(const struct account_throttle *throttle, struct table *table,
                          struct str key, unsigned char out_key[KEY_BYTES], struct entry **out_set)
{
    unsigned char hash[CRYPT_HASH_BYTES];
    uint32_t set;

    crypt_hash(str_make(throttle->hash_key, sizeof(throttle->hash_key)), STR("throttle"), key,
               hash);
    memcpy(out_key, hash, KEY_BYTES);
    memcpy(&set, hash + KEY_BYTES, sizeof(set));
    *out_set = table->entries[set % SETS];
    for (size_t i = 0; i < WAYS; i++) {
        struct entry *entry = &(*out_set)[i];

        if (entry->failures > 0 && memcmp(entry->key, out_key, KEY_BYTES) == 0)
            return entry;
    }
    return NULL;
}

static uint64_t count(const struct account_throttle *throttle, struct table *table, struct str key,
                      int64_t now_ms)
{
    unsigned char hash[KEY_BYTES];
    struct entry *set, *entry = find(throttle, table, key, hash, &set);

    return entry == NULL || is_expired(throttle, entry, now_ms) ? 0 : entry->failures;
}

/* A free entry, an expired one, or the one with the fewest failures, the oldest of those. */
static struct entry *place(const struct account_throttle *throttle, struct entry *set,
                           int64_t now_ms)
{
    struct entry *best = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        struct entry *entry = &set[i];

        if (is_expired(throttle, entry, now_ms))
            return entry;
        if (entry->failures < best->failures ||
            (entry->failures == best->failures && entry->since_ms < best->since_ms))
            best = entry;
    }
    return best;
}

static void add(const struct account_throttle *throttle, struct table *table, struct str key,
                int64_t now_ms)
{
    unsigned char hash[KEY_BYTES];
    struct entry *set, *entry = find(throttle, table, key, hash, &set);

    if (entry == NULL) {
        entry = place(throttle, set, now_ms);
        entry->failures = 0;
    }
    if (is_expired(throttle, entry, now_ms)) {
        memcpy(entry->key, hash, KEY_BYTES);
        entry->since_ms = now_ms;
        entry->failures = 0;
    }
    entry->failures++;
}

bool account_throttle_is_blocked(struct account_throttle *throttle, struct str address,
                                 struct str account, bool is_known_address, int64_t now_ms)
{
    unsigned char bytes[IP_CLIENT_KEY_MAX];
    struct str key = str_make(bytes, ip_client_key(address, bytes));
    const struct account_throttle_limits *limits = &throttle->limits;
    bool is_address_out =
        limits->per_address > 0 &&
        count(throttle, throttle->addresses, key, now_ms) >= limits->per_address;
    bool is_account_out =
        limits->per_account > 0 &&
        count(throttle, throttle->accounts, account, now_ms) >= limits->per_account;

    return is_address_out || (is_account_out && !is_known_address);
}

void account_throttle_failed(struct account_throttle *throttle, struct str address,
                             struct str account, int64_t now_ms)
{
    unsigned char bytes[IP_CLIENT_KEY_MAX];
    struct str key = str_make(bytes, ip_client_key(address, bytes));

    add(throttle, throttle->addresses, key, now_ms);
    add(throttle, throttle->accounts, account, now_ms);
}
