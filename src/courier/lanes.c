#include "courier/lanes.h"

#include "base/hash.h"
#include "base/memory.h"

#include <assert.h>
#include <string.h>

enum { BUCKETS_MIN = 64, NOT_IN_HEAP = -1 };

struct lane {
    struct lane *next; /* own; in its bucket */
    struct str name;   /* own */
    uint64_t hash;
    int64_t due_ms; /* INT64_MAX: nothing waits */
    uint64_t turn;  /* among equal ones, who came first */
    unsigned active;
    ptrdiff_t place; /* in the heap */
};

struct lanes {
    struct hash_key key;
    struct lane **buckets; /* own */
    size_t bucket_count, count;
    struct lane **heap; /* own; those that may have a turn, the first due at the top */
    size_t heap_count, heap_room;
    uint64_t last_turn;
    unsigned most_active;
};

/* --- The heap --- */

static bool is_before(const struct lane *a, const struct lane *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->turn < b->turn;
}

static void put_at(struct lanes *lanes, size_t at, struct lane *lane)
{
    lanes->heap[at] = lane;
    lane->place = (ptrdiff_t)at;
}

static void rise(struct lanes *lanes, size_t at)
{
    struct lane *lane = lanes->heap[at];

    while (at > 0 && is_before(lane, lanes->heap[(at - 1) / 2])) {
        put_at(lanes, at, lanes->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put_at(lanes, at, lane);
}

static void sink(struct lanes *lanes, size_t at)
{
    struct lane *lane = lanes->heap[at];

    for (size_t child; (child = 2 * at + 1) < lanes->heap_count; at = child) {
        if (child + 1 < lanes->heap_count && is_before(lanes->heap[child + 1], lanes->heap[child]))
            child++;
        if (!is_before(lanes->heap[child], lane))
            break;
        put_at(lanes, at, lanes->heap[child]);
    }
    put_at(lanes, at, lane);
}

static void leave_heap(struct lanes *lanes, struct lane *lane)
{
    size_t at = (size_t)lane->place;
    struct lane *last;

    if (lane->place == NOT_IN_HEAP)
        return;
    lane->place = NOT_IN_HEAP;
    last = lanes->heap[--lanes->heap_count];
    if (last == lane)
        return;
    put_at(lanes, at, last);
    rise(lanes, at);
    sink(lanes, (size_t)last->place);
}

static void enter_heap(struct lanes *lanes, struct lane *lane)
{
    if (lanes->heap_count == lanes->heap_room) {
        lanes->heap_room = lanes->heap_room == 0 ? BUCKETS_MIN : lanes->heap_room * 2;
        lanes->heap = mem_resize(lanes->heap, lanes->heap_room, sizeof(struct lane *));
    }
    put_at(lanes, lanes->heap_count, lane);
    rise(lanes, lanes->heap_count++);
}

/* --- The table --- */

static struct lane **bucket_of(const struct lanes *lanes, uint64_t hash)
{
    return &lanes->buckets[hash % lanes->bucket_count];
}

static struct lane *find(const struct lanes *lanes, struct str name)
{
    uint64_t hash = hash_text(&lanes->key, name);
    struct lane *lane = *bucket_of(lanes, hash);

    while (lane != NULL && (lane->hash != hash || !str_equal(lane->name, name)))
        lane = lane->next;
    return lane;
}

static void widen(struct lanes *lanes)
{
    struct lane **old = lanes->buckets;
    size_t old_count = lanes->bucket_count;

    lanes->bucket_count = old_count * 2;
    lanes->buckets = NEW_ARRAY(struct lane *, lanes->bucket_count);
    for (size_t i = 0; i < old_count; i++) {
        for (struct lane *lane = old[i], *next; lane != NULL; lane = next) {
            next = lane->next;
            lane->next = *bucket_of(lanes, lane->hash);
            *bucket_of(lanes, lane->hash) = lane;
        }
    }
    mem_free(&old);
}

static struct lane *find_or_make(struct lanes *lanes, struct str name)
{
    struct lane *lane = find(lanes, name);
    char *copy;

    if (lane != NULL)
        return lane;
    if (lanes->count == lanes->bucket_count)
        widen(lanes);
    copy = mem_copy_text(name.ptr, name.len);
    lane = NEW(struct lane);
    *lane = (struct lane){
        .name = str_make(copy, name.len),
        .hash = hash_text(&lanes->key, name),
        .due_ms = INT64_MAX,
        .place = NOT_IN_HEAP,
    };
    lane->next = *bucket_of(lanes, lane->hash);
    *bucket_of(lanes, lane->hash) = lane;
    lanes->count++;
    return lane;
}

static void drop(struct lanes *lanes, struct lane *lane)
{
    struct lane **link = bucket_of(lanes, lane->hash);

    leave_heap(lanes, lane);
    while (*link != lane)
        link = &(*link)->next;
    *link = lane->next;
    lanes->count--;
    mem_free(&lane->name.ptr);
    mem_free(&lane);
}

/* Where it belongs after a change: in the heap, beside it, or nowhere. */
static void settle(struct lanes *lanes, struct lane *lane)
{
    leave_heap(lanes, lane);
    if (lane->due_ms == INT64_MAX && lane->active == 0)
        drop(lanes, lane);
    else if (lane->due_ms != INT64_MAX && lane->active < lanes->most_active)
        enter_heap(lanes, lane);
}

/* --- The interface --- */

struct lanes *lanes_new(unsigned most_active)
{
    struct lanes *lanes = NEW(struct lanes);

    lanes->key = hash_key_random();
    lanes->bucket_count = BUCKETS_MIN;
    lanes->buckets = NEW_ARRAY(struct lane *, BUCKETS_MIN);
    lanes->most_active = most_active;
    return lanes;
}

void lanes_clear(struct lanes *lanes)
{
    for (size_t i = 0; i < lanes->bucket_count; i++) {
        while (lanes->buckets[i] != NULL)
            drop(lanes, lanes->buckets[i]);
    }
}

void lanes_free(struct lanes **lanes)
{
    if (*lanes == NULL)
        return;
    lanes_clear(*lanes);
    mem_free(&(*lanes)->buckets);
    mem_free(&(*lanes)->heap);
    mem_free(lanes);
}

void lanes_set_most(struct lanes *lanes, unsigned most_active)
{
    lanes->most_active = most_active; /* each lane learns of it with its next change */
}

void lanes_set_due(struct lanes *lanes, struct str name, int64_t due_ms)
{
    struct lane *lane = find_or_make(lanes, name);

    lane->due_ms = due_ms;
    lane->turn = ++lanes->last_turn;
    settle(lanes, lane);
}

void lanes_wait(struct lanes *lanes, struct str name, int64_t due_ms)
{
    const struct lane *lane = find(lanes, name);

    if (lane == NULL || due_ms < lane->due_ms)
        lanes_set_due(lanes, name, due_ms);
}

void lanes_begin(struct lanes *lanes, struct str name)
{
    struct lane *lane = find_or_make(lanes, name);

    lane->active++;
    settle(lanes, lane);
}

void lanes_end(struct lanes *lanes, struct str name)
{
    struct lane *lane = find(lanes, name);

    assert(lane != NULL && lane->active > 0);
    lane->active--;
    settle(lanes, lane);
}

bool lanes_next(struct lanes *lanes, int64_t now_ms, struct str *out_lane)
{
    struct lane *lane;

    if (lanes->heap_count == 0 || lanes->heap[0]->due_ms > now_ms)
        return false;
    lane = lanes->heap[0];
    lane->due_ms = now_ms;
    lane->turn = ++lanes->last_turn;
    sink(lanes, 0);
    *out_lane = lane->name;
    return true;
}

int64_t lanes_first_due(const struct lanes *lanes)
{
    return lanes->heap_count == 0 ? INT64_MAX : lanes->heap[0]->due_ms;
}

size_t lanes_count(const struct lanes *lanes)
{
    return lanes->count;
}
