/*
 * One pool for the process: it stands under secret_new as the heap stands under malloc, which is why
 * its state is a global here and not a role's. Not thread-safe; there are no threads.
 *
 * The table of regions and their bitmaps are ordinary memory and hold no secret. Regions are not
 * inherited by children (MADV_DONTFORK; memfd_secret mappings are shared, so parent and child would
 * otherwise write into each other's slots). With secret_set_inherited, the parent makes private
 * copies before the fork, and the child moves them to where the originals were.
 */
#include "secret/pool.h"

#include "base/memory.h"
#include "base/random.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PAGE_BYTES = 4096,
    REGION_BYTES = 64 * 1024, /* larger for one secret that does not fit */
    CANARY_BYTES = sizeof(uint64_t),
    SLOT_OVERHEAD = sizeof(struct secret) + CANARY_BYTES,
    REGIONS_MAX = 64 * 1024,
};

/* Slot sizes: a 32-byte key, a mailbox key or password, then doubling. */
static const uint32_t slot_sizes[] = {64, 96, 192, 384, 768, 1536, 4096, 16384};

struct region {
    unsigned char *start; /* NULL: this entry is free */
    unsigned char *copy;  /* during a fork, for the child; else NULL */
    size_t bytes;
    uint32_t slot_size;
    uint32_t slot_count;
    uint32_t used_count;
    uint32_t first_maybe_free; /* no slot below it is free */
    enum secret_memory memory;
    bool is_left_behind;
    uint64_t *used; /* own; a bit for each slot */
};

static struct {
    struct region *regions; /* own */
    size_t region_count;
    size_t left_behind_count;
    uint64_t canary;
    bool is_ready;
    bool is_inherited;
    bool is_memfd_secret_refused;
    enum secret_memory worst;
} pool;

static _Noreturn void die(const char *words)
{
    fprintf(stderr, "sealpost: guarded memory: %s\n", words);
    abort();
}

/* Hidden memory of `bytes`, mapped over `at`; false where the kernel has none for us. */
static bool map_hidden(unsigned char *at, size_t bytes)
{
#ifdef SYS_memfd_secret
    long fd;
    void *got;

    if (pool.is_memfd_secret_refused)
        return false;
    fd = syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0) {
        pool.is_memfd_secret_refused = true;
        return false;
    }
    if (ftruncate((int)fd, (off_t)bytes) != 0) {
        close((int)fd);
        return false;
    }
    got = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (int)fd, 0);
    close((int)fd);
    return got == at;
#else
    (void)at;
    (void)bytes;
    return false;
#endif
}

/* New memory between guard pages; gives its kind. */
static unsigned char *map_guarded(size_t bytes, enum secret_memory *out_memory)
{
    unsigned char *all = mmap(NULL, bytes + 2 * PAGE_BYTES, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unsigned char *start;

    if (all == MAP_FAILED)
        die("no address space");
    start = all + PAGE_BYTES;
    if (map_hidden(start, bytes)) {
        *out_memory = SECRET_MEMORY_HIDDEN;
    } else {
        /* A refused mapping may have left a hole. */
        if (mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0) != start)
            die("no memory");
        *out_memory = mlock2(start, bytes, MLOCK_ONFAULT) == 0 || mlock(start, bytes) == 0
                          ? SECRET_MEMORY_LOCKED
                          : SECRET_MEMORY_UNLOCKED;
    }
    /* memfd_secret memory is never dumped; EINVAL from it is fine. */
    (void)madvise(start, bytes, MADV_DONTDUMP);
    if (*out_memory > pool.worst)
        pool.worst = *out_memory;
    return start;
}

static void unmap_guarded(unsigned char *start, size_t bytes)
{
    munmap(start - PAGE_BYTES, bytes + 2 * PAGE_BYTES);
}

static size_t bitmap_words(uint32_t slot_count)
{
    return (slot_count + 63) / 64;
}

static size_t free_entry(void)
{
    for (size_t i = 0; i < pool.region_count; i++)
        if (pool.regions[i].start == NULL)
            return i;
    if (pool.region_count == REGIONS_MAX)
        die("too many regions");
    pool.regions = mem_resize(pool.regions, pool.region_count + 1, sizeof(*pool.regions));
    return pool.region_count++;
}

static struct region *add_region(uint32_t slot_size)
{
    size_t index = free_entry();
    struct region *region = &pool.regions[index];
    size_t bytes = slot_size > REGION_BYTES
                       ? ((size_t)slot_size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES
                       : REGION_BYTES;

    *region = (struct region){.bytes = bytes, .slot_size = slot_size};
    region->slot_count = (uint32_t)(bytes / slot_size);
    region->used = NEW_ARRAY(uint64_t, bitmap_words(region->slot_count));
    region->start = map_guarded(bytes, &region->memory);
    (void)madvise(region->start, bytes, MADV_DONTFORK);
    return region;
}

static void drop_region(struct region *region)
{
    if (region->is_left_behind)
        pool.left_behind_count--;
    unmap_guarded(region->start, region->bytes);
    mem_free(&region->used);
    *region = (struct region){0};
}

static uint32_t slot_size_for(size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(slot_sizes); i++)
        if (len + SLOT_OVERHEAD <= slot_sizes[i])
            return slot_sizes[i];
    return (uint32_t)((len + SLOT_OVERHEAD + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
}

static struct region *region_with_room(uint32_t slot_size)
{
    for (size_t i = 0; i < pool.region_count; i++) {
        struct region *region = &pool.regions[i];

        if (region->start != NULL && !region->is_left_behind && region->slot_size == slot_size &&
            region->used_count < region->slot_count)
            return region;
    }
    return add_region(slot_size);
}

static uint32_t take_slot(struct region *region)
{
    for (uint32_t word = region->first_maybe_free / 64; word < bitmap_words(region->slot_count);
         word++) {
        uint32_t slot;

        if (region->used[word] == UINT64_MAX)
            continue;
        slot = word * 64 + (uint32_t)__builtin_ctzll(~region->used[word]);
        if (slot >= region->slot_count)
            break;
        region->used[word] |= UINT64_C(1) << (slot % 64);
        region->used_count++;
        region->first_maybe_free = slot + 1;
        return slot;
    }
    die("the slot counts are wrong");
}

struct secret *pool_take(size_t len)
{
    struct region *region;
    struct secret *secret;

    if (len == 0 || len > SECRET_LEN_MAX)
        die("a secret of no or too great length");
    pool_init();
    region = region_with_room(slot_size_for(len));
    secret = (struct secret *)(void *)(region->start +
                                       (size_t)take_slot(region) * region->slot_size);
    secret->len = (uint32_t)len;
    secret->region = (uint32_t)(region - pool.regions);
    secret->canary = pool.canary;
    memcpy(secret->bytes + len, &pool.canary, CANARY_BYTES);
    return secret;
}

/* Keeps one empty region of each size, so that a lone secret does not map and unmap each time. */
static bool is_spare(const struct region *region)
{
    for (size_t i = 0; i < pool.region_count; i++) {
        const struct region *other = &pool.regions[i];

        if (other != region && other->start != NULL && !other->is_left_behind &&
            other->slot_size == region->slot_size && other->used_count < other->slot_count)
            return true;
    }
    return region->slot_size > REGION_BYTES / 4;
}

void pool_give(struct secret *secret)
{
    struct region *region;
    uint64_t behind;
    uint32_t slot;

    memcpy(&behind, secret->bytes + secret->len, CANARY_BYTES);
    if (secret->canary != pool.canary || behind != pool.canary)
        die("written past the end of a secret, or freed twice");
    region = &pool.regions[secret->region];
    slot = (uint32_t)((size_t)((unsigned char *)secret - region->start) / region->slot_size);
    mem_wipe(secret, region->slot_size);
    region->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    region->used_count--;
    if (slot < region->first_maybe_free)
        region->first_maybe_free = slot;
    if (region->used_count == 0 && is_spare(region))
        drop_region(region);
}

bool pool_is_left_behind(const struct secret *secret)
{
    const unsigned char *at = (const unsigned char *)secret;

    if (pool.left_behind_count == 0)
        return false;
    for (size_t i = 0; i < pool.region_count; i++) {
        const struct region *region = &pool.regions[i];

        if (region->is_left_behind && at >= region->start && at < region->start + region->bytes)
            return true;
    }
    return false;
}

void pool_check(const struct secret *secret)
{
    if (pool_is_left_behind(secret))
        die("a secret of the parent used after a fork (secret.h)");
}

static void before_fork(void)
{
    if (!pool.is_inherited)
        return;
    for (size_t i = 0; i < pool.region_count; i++) {
        struct region *region = &pool.regions[i];
        enum secret_memory memory;

        if (region->start == NULL || region->is_left_behind)
            continue;
        region->copy = map_guarded(region->bytes, &memory);
        memcpy(region->copy, region->start, region->bytes);
    }
}

static void after_fork_in_parent(void)
{
    for (size_t i = 0; i < pool.region_count; i++) {
        struct region *region = &pool.regions[i];

        if (region->copy != NULL)
            unmap_guarded(region->copy, region->bytes);
        region->copy = NULL;
    }
}

static void after_fork_in_child(void)
{
    for (size_t i = 0; i < pool.region_count; i++) {
        struct region *region = &pool.regions[i];

        if (region->start == NULL || region->is_left_behind)
            continue;
        if (region->copy != NULL) {
            if (mremap(region->copy, region->bytes, region->bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
                       region->start) != region->start)
                die("cannot move a copy into place");
            munmap(region->copy - PAGE_BYTES, PAGE_BYTES);
            munmap(region->copy + region->bytes, PAGE_BYTES);
            region->copy = NULL;
            (void)madvise(region->start, region->bytes, MADV_DONTFORK);
            if (region->memory != SECRET_MEMORY_HIDDEN) /* locks are not inherited */
                (void)mlock2(region->start, region->bytes, MLOCK_ONFAULT);
        } else {
            /* Nothing else may come to lie here, so that a use is always noticed. */
            (void)mmap(region->start, region->bytes, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
            region->is_left_behind = true;
            pool.left_behind_count++;
        }
    }
    pool.worst = pool.left_behind_count > 0 ? SECRET_MEMORY_NONE : pool.worst;
}

void pool_init(void)
{
    if (pool.is_ready)
        return;
    pool.is_ready = true;
    random_bytes(&pool.canary, sizeof(pool.canary));
    if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        die("no fork handlers");
}

void secret_set_inherited(bool is_inherited)
{
    pool_init();
    pool.is_inherited = is_inherited;
}

enum secret_memory secret_memory(void)
{
    return pool.worst;
}
