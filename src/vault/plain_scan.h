/* For the tests of the index: the plain scan of the messages' own text, with which it must agree.
 */
#ifndef VAULT_PLAIN_SCAN_H
#define VAULT_PLAIN_SCAN_H

#include "vault/fixture.h"
#include "vault/search.h"

/*
 * Searches all messages of the folder by one key, or some of them, as chance has it: whoever has it
 * must be a candidate, and one that is told for certain must have it. How many of all match; where
 * both do not agree the test fails.
 */
size_t plain_scan_compare(struct fixture *f, int64_t folder_id, enum vault_search_field field,
                          struct str name, struct str key);
/* A number below that; the same ones in each run. */
uint32_t plain_scan_below(uint32_t bound);

#endif
