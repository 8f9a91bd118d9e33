#include "base/arena.h"

#include "base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * With AddressSanitizer, every allocation has a block of its own: between two in one block it sees
 * no border, and neither tests nor fuzzers would notice an array that is written beyond its end.
 */
enum { FIRST_BLOCK = 1024, LARGEST_BLOCK = 64 * 1024, IS_ALONE = IS_SANITIZED };

struct arena_block {
    struct arena_block *older; /* own */
    size_t room;
    size_t used;
    _Alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena)
{
    arena->blocks = NULL;
}

void arena_free(struct arena *arena)
{
    struct arena_block *block = arena->blocks;

    while (block != NULL) {
        struct arena_block *older = block->older;

        mem_wipe(block->bytes, block->used);
        free(block);
        block = older;
    }
    arena->blocks = NULL;
}

static struct arena_block *add_block(struct arena *arena, size_t bytes)
{
    size_t room = arena->blocks == NULL ? FIRST_BLOCK : arena->blocks->room * 2;
    struct arena_block *block;

    if (room > LARGEST_BLOCK)
        room = LARGEST_BLOCK;
    if (room < bytes || IS_ALONE)
        room = bytes;
    block = mem_new(1, sizeof(*block) + room);
    block->room = room;
    block->older = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    struct arena_block *block = arena->blocks;
    size_t bytes;
    void *out;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        abort();
    if (!IS_ALONE)
        bytes = (bytes + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    if (IS_ALONE || block == NULL || block->room - block->used < bytes)
        block = add_block(arena, bytes);
    out = block->bytes + block->used;
    block->used += bytes;
    return out;
}

void *arena_grow(struct arena *arena, const void *array, size_t *room, size_t first_room,
                 size_t size)
{
    size_t wider = *room == 0 ? first_room : *room * 2;
    void *grown;

    assert(first_room > 0 && (*room == 0 || array != NULL));
    if (wider <= *room)
        abort();
    grown = arena_alloc(arena, wider, size);
    if (*room > 0)
        memcpy(grown, array, *room * size);
    *room = wider;
    return grown;
}

struct str arena_copy(struct arena *arena, struct str text)
{
    char *copy = arena_alloc(arena, text.len + 1, 1);

    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return (struct str){copy, text.len};
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    char *copy;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    assert(len >= 0);
    copy = arena_alloc(arena, (size_t)len + 1, 1);
    vsnprintf(copy, (size_t)len + 1, format, args);
    va_end(args);
    return (struct str){copy, (size_t)len};
}
