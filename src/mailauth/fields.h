/*
 * The header fields of one message, found by name from the bottom up, as signatures name them
 * (RFC 6376 §5.4.2). Linear in the header; so is taking fields by a list of names, however long.
 */
#ifndef MAILAUTH_FIELDS_H
#define MAILAUTH_FIELDS_H

#include "base/arena.h"
#include "base/hash.h"
#include "message/header.h"

#include <stdint.h>

/* A message with more fields is nobody's honest work: no signature of it is checked. */
enum { MAILAUTH_FIELDS_MAX = 16 * 1024 };

struct mailauth_field {
    struct header_field text;
    size_t start;   /* offset in the message */
    uint32_t name;  /* number of the name, in any case */
    uint32_t above; /* the next field above of the same name: its index + 1; 0: none */
};

struct mailauth_fields {
    struct mailauth_field *fields; /* in the arena; from the top */
    size_t count;
    uint32_t *lowest; /* by number of the name: the lowest field's index + 1 */
    size_t name_count;
    bool is_too_many; /* the message has more of them than these */
    struct str body;  /* behind the empty line */
    /* private */
    struct str *names; /* by number */
    uint32_t *slots;   /* hash of the name -> its number + 1 */
    size_t slot_count;
    struct hash_key key;
};

/* Views of `message`, which outlives them. */
void mailauth_fields_read(struct arena *arena, struct str message, struct mailauth_fields *out);

/* How many fields have this name. */
size_t mailauth_fields_count(const struct mailauth_fields *fields, struct str name);

/* Takes fields from the bottom up, none of them twice. */
struct mailauth_taker {
    const struct mailauth_fields *fields;
    uint32_t *next; /* by number of the name; in the arena */
};

void mailauth_taker_init(struct arena *arena, const struct mailauth_fields *fields,
                         struct mailauth_taker *out);
/* NULL: no more of that name. */
const struct mailauth_field *mailauth_take(struct mailauth_taker *taker, struct str name);

#endif
