/*
 * Borrowed views of bytes. A `struct str` has no terminator and may hold any byte; whoever made the
 * bytes owns them. Bytes from a peer are handled as `struct str` and never meet strlen.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *ptr;
    size_t len;
};

/* A view of a string literal. */
#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
/* The same where C asks for a constant initialiser (tables). */
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
/* printf arguments for "%.*s". For our own text only; peer bytes in a log go through log_escape. */
#define STR_ARG(text) (int)(text).len, (text).ptr

/* A view of a C string of our own; NULL gives the empty view. */
struct str str_from_c(const char *text);
struct str str_make(const void *bytes, size_t len);

bool str_equal(struct str a, struct str b);
/* ASCII letters compare without case (RFC 9051 §4); other bytes exactly. */
bool str_equal_nocase(struct str a, struct str b);
/* <0, 0, >0 as memcmp, the shorter first where one is the other's beginning. */
int str_compare(struct str a, struct str b);
bool str_starts_with(struct str text, struct str prefix);
bool str_starts_with_nocase(struct str text, struct str prefix);
bool str_ends_with(struct str text, struct str suffix);

/* Index of the first (last) `byte`, or -1. */
ptrdiff_t str_index(struct str text, char byte);
ptrdiff_t str_last_index(struct str text, char byte);
/* Index of the first occurrence of `part`, or -1. An empty part is found at 0. */
ptrdiff_t str_find(struct str text, struct str part);

/* The bytes from `start` on, and those up to `end`; both are clamped to the text. */
struct str str_from(struct str text, size_t start);
struct str str_upto(struct str text, size_t end);
/* Without leading and trailing space, tab, CR and LF. */
struct str str_trim(struct str text);

/*
 * Takes the part before the first `separator` off the front of *rest and gives it; without a
 * separator, all of it. False when *rest is exhausted (its ptr is NULL then).
 */
bool str_split(struct str *rest, char separator, struct str *out_part);

/* The whole text as a decimal number, or false: empty, other bytes, overflow. */
bool parse_u32(struct str text, uint32_t *out_value);
bool parse_u64(struct str text, uint64_t *out_value);
bool parse_i64(struct str text, int64_t *out_value);

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL. */
bool str_is_utf8(struct str text);
/* No byte has its highest bit set; there may be NUL, and controls. */
bool str_is_ascii(struct str text);

#endif
