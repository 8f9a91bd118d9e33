#include "dns/cache.h"

#include "base/hash.h"
#include "base/memory.h"

#include <string.h>
#include <sys/queue.h>

enum {
    ENTRY_TYPICAL_BYTES = 256, /* buckets are as many as entries of this size would fit */
    BUCKETS_MIN = 64,
    ALLOCATOR_BYTES = 16, /* what malloc adds */
};

struct entry {
    struct entry *next; /* in its bucket */
    TAILQ_ENTRY(entry) in_list;
    int64_t stored_ms, end_ms;
    uint64_t hash;
    enum dns_type type;
    enum dns_status status;
    uint32_t ttl_s, age_s; /* as put */
    enum dns_service service;
    bool is_secure;
    uint32_t records_len;
    uint8_t name_len;
    char bytes[]; /* the name, the records */
};
TAILQ_HEAD(entries, entry);

/* The entries of one kind, the most recently used first. */
struct shelf {
    struct entries entries;
    size_t bytes, limit_bytes;
};

enum { SHELF_POSITIVE, SHELF_NEGATIVE, SHELF_COUNT };

struct dns_cache {
    struct hash_key hash_key;
    struct entry **buckets; /* own */
    size_t bucket_count;    /* a power of two */
    struct shelf shelves[SHELF_COUNT];
    size_t count, limit_bytes;
};

struct dns_cache *dns_cache_new(size_t limit_bytes)
{
    struct dns_cache *cache = NEW(struct dns_cache);

    cache->hash_key = hash_key_random();
    cache->bucket_count = BUCKETS_MIN;
    while (cache->bucket_count < limit_bytes / ENTRY_TYPICAL_BYTES)
        cache->bucket_count *= 2;
    cache->buckets = NEW_ARRAY(struct entry *, cache->bucket_count);
    cache->limit_bytes = limit_bytes;
    cache->shelves[SHELF_NEGATIVE].limit_bytes = limit_bytes / 4;
    cache->shelves[SHELF_POSITIVE].limit_bytes = limit_bytes - limit_bytes / 4;
    for (size_t i = 0; i < SHELF_COUNT; i++)
        TAILQ_INIT(&cache->shelves[i].entries);
    return cache;
}

static struct shelf *shelf_of(struct dns_cache *cache, const struct entry *entry)
{
    return &cache->shelves[entry->status == DNS_OK ? SHELF_POSITIVE : SHELF_NEGATIVE];
}

static size_t entry_bytes(size_t name_len, size_t records_len)
{
    return sizeof(struct entry) + ALLOCATOR_BYTES + name_len + records_len;
}

static struct entry **bucket_of(struct dns_cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & (cache->bucket_count - 1)];
}

static void drop(struct dns_cache *cache, struct entry *entry)
{
    struct shelf *shelf = shelf_of(cache, entry);
    struct entry **place = bucket_of(cache, entry->hash);

    while (*place != entry)
        place = &(*place)->next;
    *place = entry->next;
    TAILQ_REMOVE(&shelf->entries, entry, in_list);
    shelf->bytes -= entry_bytes(entry->name_len, entry->records_len);
    cache->count--;
    mem_free(&entry);
}

void dns_cache_free(struct dns_cache **cache)
{
    if (*cache == NULL)
        return;
    for (size_t i = 0; i < SHELF_COUNT; i++) {
        while (!TAILQ_EMPTY(&(*cache)->shelves[i].entries))
            drop(*cache, TAILQ_FIRST(&(*cache)->shelves[i].entries));
    }
    mem_free(&(*cache)->buckets);
    mem_free(cache);
}

static struct entry *find(struct dns_cache *cache, const struct dns_key *key, uint64_t hash)
{
    struct entry *entry = *bucket_of(cache, hash);

    while (entry != NULL &&
           !(entry->hash == hash && entry->type == key->type && entry->service == key->service &&
             str_equal(str_make(entry->bytes, entry->name_len), key->name)))
        entry = entry->next;
    return entry;
}

bool dns_cache_get(struct dns_cache *cache, const struct dns_key *key, int64_t now_ms,
                   struct dns_cached *out)
{
    struct entry *entry = find(cache, key, hash_text(&cache->hash_key, key->name));
    struct shelf *shelf;

    if (entry == NULL)
        return false;
    if (now_ms >= entry->end_ms) {
        drop(cache, entry);
        return false;
    }
    shelf = shelf_of(cache, entry);
    TAILQ_REMOVE(&shelf->entries, entry, in_list);
    TAILQ_INSERT_HEAD(&shelf->entries, entry, in_list);
    *out = (struct dns_cached){
        .status = entry->status,
        .is_secure = entry->is_secure,
        .records = str_make(entry->bytes + entry->name_len, entry->records_len),
        .ttl_s = entry->ttl_s,
        .age_s = entry->age_s + (uint32_t)((now_ms - entry->stored_ms) / 1000),
    };
    return true;
}

void dns_cache_put(struct dns_cache *cache, const struct dns_key *key, int64_t now_ms,
                   const struct dns_cached *answer)
{
    uint64_t hash = hash_text(&cache->hash_key, key->name);
    size_t bytes = entry_bytes(key->name.len, answer->records.len);
    struct entry *entry = find(cache, key, hash);
    struct shelf *shelf;

    if (entry != NULL)
        drop(cache, entry);
    if (answer->age_s >= answer->ttl_s || bytes > cache->limit_bytes / 16)
        return;
    entry = mem_room(sizeof(*entry) + key->name.len + answer->records.len);
    *entry = (struct entry){
        .stored_ms = now_ms,
        .end_ms = now_ms + (int64_t)(answer->ttl_s - answer->age_s) * 1000,
        .hash = hash,
        .type = key->type,
        .status = answer->status,
        .ttl_s = answer->ttl_s,
        .age_s = answer->age_s,
        .service = key->service,
        .is_secure = answer->is_secure,
        .records_len = (uint32_t)answer->records.len,
        .name_len = (uint8_t)key->name.len,
    };
    if (key->name.len > 0)
        memcpy(entry->bytes, key->name.ptr, key->name.len);
    if (answer->records.len > 0)
        memcpy(entry->bytes + key->name.len, answer->records.ptr, answer->records.len);
    shelf = shelf_of(cache, entry);
    while (shelf->bytes + bytes > shelf->limit_bytes && !TAILQ_EMPTY(&shelf->entries))
        drop(cache, TAILQ_LAST(&shelf->entries, entries));
    entry->next = *bucket_of(cache, hash);
    *bucket_of(cache, hash) = entry;
    TAILQ_INSERT_HEAD(&shelf->entries, entry, in_list);
    shelf->bytes += bytes;
    cache->count++;
}

size_t dns_cache_count(const struct dns_cache *cache)
{
    return cache->count;
}

size_t dns_cache_bytes(const struct dns_cache *cache)
{
    return cache->shelves[SHELF_POSITIVE].bytes + cache->shelves[SHELF_NEGATIVE].bytes;
}
