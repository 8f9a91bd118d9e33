#include "imap/merge.h"

#include <string.h>

void imap_merge_init(struct imap_merge *merge, struct arena *arena, size_t count,
                     int (*compare)(const void *context, uint32_t a, uint32_t b),
                     const void *context)
{
    *merge = (struct imap_merge){
        .items = ARENA_ARRAY(arena, uint32_t, count),
        .spare = ARENA_ARRAY(arena, uint32_t, count),
        .count = count,
        .width = 1,
        .compare = compare,
        .context = context,
    };
    for (size_t i = 0; i < count; i++)
        merge->items[i] = (uint32_t)i;
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Merges the two runs at `at` into `spare`; gives the number of comparisons. */
static size_t merge_runs(struct imap_merge *m)
{
    size_t middle = min(m->at + m->width, m->count), end = min(middle + m->width, m->count);
    size_t a = m->at, b = middle, out = m->at, comparisons = 0;

    /* Mail is mostly in order already. */
    if (middle < end && m->compare(m->context, m->items[middle - 1], m->items[middle]) <= 0)
        b = end;
    while (a < middle && b < end) {
        comparisons++;
        m->spare[out++] =
            m->compare(m->context, m->items[b], m->items[a]) < 0 ? m->items[b++] : m->items[a++];
    }
    memcpy(m->spare + out, m->items + a, (middle - a) * sizeof(*m->items));
    out += middle - a;
    if (out < end)
        memcpy(m->spare + out, m->items + out, (end - out) * sizeof(*m->items));
    m->at = end;
    return comparisons + 1 + (end - middle) / 16;
}

bool imap_merge_step(struct imap_merge *m, size_t max, size_t *out_comparisons)
{
    uint32_t *swap;

    *out_comparisons = 0;
    while (m->width < m->count) {
        while (m->at < m->count) {
            if (*out_comparisons >= max)
                return false;
            *out_comparisons += merge_runs(m);
        }
        swap = m->items;
        m->items = m->spare;
        m->spare = swap;
        m->at = 0;
        m->width *= 2;
    }
    return true;
}
