/* Single-byte charsets as tables: they need no shared object, and a conversion no system call. */
#ifndef MESSAGE_CHARSET_TABLES_H
#define MESSAGE_CHARSET_TABLES_H

#include "base/str.h"

enum { CHARSET_NAMES_MAX = 11 };

struct charset_table {
    struct str names[CHARSET_NAMES_MAX]; /* empty: no more */
    uint16_t high[128];                  /* the characters of 0x80 … 0xff */
};

/* The upper half of the charset with this name (charset_is_named), or NULL. */
const uint16_t *charset_table(struct str name);

#endif
