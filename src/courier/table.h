/* Objects found by a name that a stranger may have chosen: a hash table of nodes inside them. */
#ifndef COURIER_TABLE_H
#define COURIER_TABLE_H

#include "base/hash.h"

#include <stddef.h>

enum { COURIER_TABLE_BUCKETS = 1024 };

struct courier_node {
    struct courier_node *next; /* in its bucket */
    char *key;                 /* own */
    size_t key_len;
};

struct courier_table {
    struct hash_key hash_key;
    struct courier_node *buckets[COURIER_TABLE_BUCKETS];
    size_t count;
};

void courier_table_init(struct courier_table *table);
/* NULL: none. */
struct courier_node *courier_table_find(const struct courier_table *table, struct str key);
/* `key` is copied; there is none with it yet. */
void courier_table_add(struct courier_table *table, struct courier_node *node, struct str key);
/* Takes it out; its memory is the caller's again. */
void courier_table_remove(struct courier_table *table, struct courier_node *node);
/* Some node, while there is one: to empty a table. */
struct courier_node *courier_table_any(const struct courier_table *table);
/* Calls for every node; it may remove the one it is given. */
void courier_table_each(struct courier_table *table,
                        void (*on_node)(void *owner, struct courier_node *node), void *owner);

#endif
