/*
 * Who a message says it is from: the domains of its From fields (RFC 5322 §3.6.2).
 */
#ifndef MAILAUTH_AUTHOR_H
#define MAILAUTH_AUTHOR_H

#include "mailauth/fields.h"

enum { MAILAUTH_AUTHORS_MAX = 8 };

struct mailauth_authors {
    struct str domains[MAILAUTH_AUTHORS_MAX]; /* normal, each once; in the arena */
    size_t count;
    /* One From field with one address that has a domain: only then is there an author whom readers
     * will see as we do. */
    bool is_one;
    bool is_none; /* no From field */
};

/* Views of the fields, or in the arena. */
void mailauth_authors_read(struct arena *arena, const struct mailauth_fields *fields,
                           struct mailauth_authors *out);

#endif
