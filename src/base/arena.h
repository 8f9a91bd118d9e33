/*
 * An arena: many small allocations with one lifetime, wiped and freed together. Bounded
 * allocations only; what a peer can make large is limited before it comes here.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/macros.h"
#include "base/str.h"

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* own; newest first */
};

/* An empty arena; allocates nothing. All-zero is the same. */
void arena_init(struct arena *arena);
/* Frees every allocation; the arena may be used again. */
void arena_free(struct arena *arena);

/* Zeroed, aligned for any type; lives until arena_free. Never NULL. */
void *arena_alloc(struct arena *arena, size_t count, size_t size);
#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), 1, sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc((arena), (count), sizeof(type)))

/*
 * For an array that is full: a copy with twice the room, or, where *room was 0, the first array,
 * of `first_room` objects of `size` bytes; *room says how many. What is behind the old objects is
 * zeroed. `array` (NULL when *room is 0) is left as it was, until arena_free. Aborts on overflow,
 * as arena_alloc does, and is never NULL: how large a peer can make it is limited before.
 *
 *     if (count == room)
 *         names = arena_grow(&task->arena, names, &room, 16, sizeof(*names));
 *     names[count++] = name;
 */
MUST_CHECK void *arena_grow(struct arena *arena, const void *array, size_t *room, size_t first_room,
                            size_t size);

/* A copy that is also NUL-terminated (the NUL is not counted). */
struct str arena_copy(struct arena *arena, struct str text);
struct str arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
