/* Compiler vocabulary shared by every file. */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#include <stddef.h>

/* The result must be looked at. On every function that returns enum err. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* printf-like: `fmt` is the index of the format, `args` of its first argument, from 1. */
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/*
 * Frees a local when its block ends, by any path. `free_function` takes the variable's address,
 * accepts NULL in it and leaves NULL.
 */
#define CLEANUP(free_function) __attribute__((cleanup(free_function)))

/* Built with AddressSanitizer, whose own code needs more system calls and some times the time. */
#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(index) (1u << (index))

/* The object that holds `member`, from the member's address. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
