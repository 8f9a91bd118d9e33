/*
 * Replaces the allocator's free and realloc for the whole program, libraries included: every block
 * is wiped before it goes back to the allocator. Passwords, keys and mail pass through buffers of
 * OpenSSL, libevent, GLib and SQLite that we do not own; this way none of them leaves anything in
 * the heap, and a reader of a process's memory finds only what is in use.
 *
 * Linked into the program only. Sanitizers and valgrind bring an allocator of their own, so test
 * builds do without it (meson.build). Relies on glibc's __libc_* names.
 */
#include <errno.h>
#include <malloc.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void __libc_free(void *block);

void free(void *block);
void *realloc(void *block, size_t size);
void *reallocarray(void *block, size_t count, size_t size);

void free(void *block)
{
    int saved_errno = errno;

    if (block == NULL)
        return;
    explicit_bzero(block, malloc_usable_size(block));
    __libc_free(block);
    errno = saved_errno;
}

void *realloc(void *block, size_t size)
{
    size_t room;
    void *larger;

    if (block == NULL)
        return __libc_malloc(size);
    room = malloc_usable_size(block);
    if (size <= room && size >= room / 2) {
        return block;
    }
    larger = __libc_malloc(size);
    if (larger == NULL)
        return NULL;
    memcpy(larger, block, size < room ? size : room);
    free(block);
    return larger;
}

void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}
