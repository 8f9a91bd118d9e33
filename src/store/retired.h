/* Mailboxes that were given up: no alias leads to them any more. Who was told of one before asks again, and
 * hears of the one that took its place. */
#ifndef STORE_RETIRED_H
#define STORE_RETIRED_H

#include "base/id.h"

/* All zero: none. */
struct store_retired {
    void *ids; /* own: struct id, tsearch */
};

bool store_retired_has(const struct store_retired *retired, const struct id *id);
/* Once more is harmless. */
void store_retired_add(struct store_retired *retired, const struct id *id);
void store_retired_done(struct store_retired *retired);

#endif
