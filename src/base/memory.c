#include "base/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *pointer)
{
    if (pointer == NULL) {
        fputs("sealpost: out of memory\n", stderr);
        abort();
    }
    return pointer;
}

static size_t must_multiply(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        abort();
    return bytes == 0 ? 1 : bytes;
}

void *mem_new(size_t count, size_t size)
{
    return must(calloc(1, must_multiply(count, size)));
}

void *mem_room(size_t bytes)
{
    return must(malloc(must_multiply(bytes, 1)));
}

void *mem_resize(void *pointer, size_t count, size_t size)
{
    return must(realloc(pointer, must_multiply(count, size)));
}

void mem_free(void *pointer_to_pointer)
{
    void *pointer;

    memcpy(&pointer, pointer_to_pointer, sizeof(pointer));
    free(pointer);
    pointer = NULL;
    memcpy(pointer_to_pointer, &pointer, sizeof(pointer));
}

char *mem_copy_text(const char *bytes, size_t len)
{
    char *copy = mem_new(len + 1, 1);

    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

void mem_wipe(void *bytes, size_t len)
{
    if (len > 0)
        explicit_bzero(bytes, len);
}

void mem_give_back(void)
{
    malloc_trim(0);
}
