/* The message table as data, for the files of this folder (and master, which derives from it which
 * roles are connected). Made from the lists in messages.h. */
#ifndef WIRE_TABLE_H
#define WIRE_TABLE_H

#include "wire/messages.h"

#include <stddef.h>

enum wire_kind {
    WIRE_KIND_u64,
    WIRE_KIND_i64,
    WIRE_KIND_flag,
    WIRE_KIND_id,
    WIRE_KIND_str,
    WIRE_KIND_secret,
};

struct wire_field {
    const char *name;
    enum wire_kind kind;
    size_t offset; /* in struct wire_<message> */
};

struct wire_entry {
    const char *name;
    unsigned senders, receivers; /* WIRE_BIT(...) */
    size_t descriptors;          /* at most so many travel beside it */
    const struct wire_field *(*fields)(size_t *out_count);
};

/* `type` is under WIRE_TYPE_COUNT. */
const struct wire_entry *wire_entry(enum wire_type type);

#endif
