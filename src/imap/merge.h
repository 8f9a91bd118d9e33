/* A stable sort that can be left and gone on with: SORT and THREAD of a large folder take turns. */
#ifndef IMAP_MERGE_H
#define IMAP_MERGE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct imap_merge {
    uint32_t *items; /* the result, when it is done */
    /* private */
    uint32_t *spare;
    size_t count, width, at;
    int (*compare)(const void *context, uint32_t a, uint32_t b);
    const void *context; /* borrowed */
};

/* Sorts the numbers 0 … count - 1. `compare` gives < 0, 0, > 0. */
void imap_merge_init(struct imap_merge *merge, struct arena *arena, size_t count,
                     int (*compare)(const void *context, uint32_t a, uint32_t b),
                     const void *context);
/* Goes on for about `max` comparisons, or one merge of two runs if that is more. True: done. */
bool imap_merge_step(struct imap_merge *merge, size_t max, size_t *out_comparisons);

#endif
