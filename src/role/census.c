#include "role/census.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

enum { ADDRESS_ROOM = 48, FIRST_ROOM = 64 };

struct census_entry {
    size_t count; /* 0: free */
    size_t len;
    char address[ADDRESS_ROOM];
};

/* FNV-1a. An attacker chooses addresses only as far as the network lets him. */
static size_t hash(struct str address)
{
    uint64_t value = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < address.len; i++)
        value = (value ^ (unsigned char)address.ptr[i]) * UINT64_C(1099511628211);
    return (size_t)(value ^ value >> 32);
}

/* Where the address is, or the free place where it would be. */
static struct census_entry *place(const struct census *census, struct str address)
{
    size_t at = hash(address) & (census->room - 1);

    while (census->entries[at].count > 0 &&
           !str_equal(str_make(census->entries[at].address, census->entries[at].len), address))
        at = (at + 1) & (census->room - 1);
    return &census->entries[at];
}

static void put(struct census *census, struct str address, size_t count)
{
    struct census_entry *entry = place(census, address);

    entry->count = count;
    entry->len = address.len;
    memcpy(entry->address, address.ptr, address.len);
    census->used++;
}

static void grow(struct census *census)
{
    struct census before = *census;

    census->room = before.room == 0 ? FIRST_ROOM : before.room * 2;
    census->entries = NEW_ARRAY(struct census_entry, census->room);
    census->used = 0;
    for (size_t i = 0; i < before.room; i++) {
        struct census_entry *entry = &before.entries[i];

        if (entry->count > 0)
            put(census, str_make(entry->address, entry->len), entry->count);
    }
    mem_free(&before.entries);
}

size_t census_add(struct census *census, struct str address)
{
    struct census_entry *entry;

    address = str_upto(address, ADDRESS_ROOM);
    if ((census->used + 1) * 4 > census->room * 3)
        grow(census);
    entry = place(census, address);
    if (entry->count == 0)
        put(census, address, 0);
    return ++entry->count;
}

/* Closes the gap: those behind it that would have liked a place before move up. */
static void close_gap(struct census *census, size_t gap)
{
    size_t mask = census->room - 1;

    for (size_t at = (gap + 1) & mask; census->entries[at].count > 0; at = (at + 1) & mask) {
        struct census_entry *entry = &census->entries[at];
        size_t home = hash(str_make(entry->address, entry->len)) & mask;

        if (((at - home) & mask) >= ((at - gap) & mask)) {
            census->entries[gap] = *entry;
            entry->count = 0;
            gap = at;
        }
    }
}

void census_remove(struct census *census, struct str address)
{
    struct census_entry *entry;

    address = str_upto(address, ADDRESS_ROOM);
    assert(census->room > 0);
    entry = place(census, address);
    assert(entry->count > 0);
    if (--entry->count > 0)
        return;
    census->used--;
    close_gap(census, (size_t)(entry - census->entries));
}

size_t census_count(const struct census *census, struct str address)
{
    return census->room == 0 ? 0 : place(census, str_upto(address, ADDRESS_ROOM))->count;
}

void census_done(struct census *census)
{
    mem_free(&census->entries);
    *census = (struct census){.room = 0};
}
