/*
 * Heap memory. Bounded allocations do not fail, they abort: what a peer can make large is limited
 * before it comes here. In the program itself every free wipes what it frees (base/wipe.c), so
 * that nothing which passed through the heap can be found in it later.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include "base/macros.h"

#include <stddef.h>

/* Zeroed memory for `count` objects; aborts when there is none, or on overflow. */
void *mem_new(size_t count, size_t size);
/* `bytes` bytes that are not initialised; aborts when there are none. */
void *mem_room(size_t bytes);
/* Grows or shrinks; the new part is not initialised. Aborts when there is none. */
void *mem_resize(void *pointer, size_t count, size_t size);
/* Frees *pointer (any pointer type) and leaves NULL. */
void mem_free(void *pointer_to_pointer);
/* A NUL-terminated copy. */
char *mem_copy_text(const char *bytes, size_t len);
/* Overwrites; is never optimised away. */
void mem_wipe(void *bytes, size_t len);
/*
 * Gives what is free back to the system, for when there is nothing else to do: after large blocks
 * the allocator keeps tens of megabytes for the next ones.
 */
void mem_give_back(void);

#define NEW(type) ((type *)mem_new(1, sizeof(type)))
#define NEW_ARRAY(type, count) ((type *)mem_new((count), sizeof(type)))

#endif
