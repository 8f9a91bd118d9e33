/* How many connections each address has; for limits. Memory is bounded by the connections. */
#ifndef ROLE_CENSUS_H
#define ROLE_CENSUS_H

#include "base/str.h"

#include <stddef.h>

struct census_entry;

struct census {
    struct census_entry *entries; /* own; open addressing */
    size_t room, used;
};

/* Counts one more of `address`; gives how many there are now. */
size_t census_add(struct census *census, struct str address);
/* One less; the address was added before. */
void census_remove(struct census *census, struct str address);
size_t census_count(const struct census *census, struct str address);
void census_done(struct census *census);

#endif
