#include "courier/table.h"

#include "base/memory.h"

void courier_table_init(struct courier_table *table)
{
    *table = (struct courier_table){.hash_key = hash_key_random()};
}

static size_t bucket_of(const struct courier_table *table, struct str key)
{
    return hash_text(&table->hash_key, key) % COURIER_TABLE_BUCKETS;
}

static struct str key_of(const struct courier_node *node)
{
    return str_make(node->key, node->key_len);
}

struct courier_node *courier_table_find(const struct courier_table *table, struct str key)
{
    struct courier_node *node = table->buckets[bucket_of(table, key)];

    while (node != NULL && !str_equal(key_of(node), key))
        node = node->next;
    return node;
}

void courier_table_add(struct courier_table *table, struct courier_node *node, struct str key)
{
    struct courier_node **bucket = &table->buckets[bucket_of(table, key)];

    node->key = mem_copy_text(key.ptr, key.len);
    node->key_len = key.len;
    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void courier_table_remove(struct courier_table *table, struct courier_node *node)
{
    struct courier_node **at = &table->buckets[bucket_of(table, key_of(node))];

    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    mem_free(&node->key);
    table->count--;
}

struct courier_node *courier_table_any(const struct courier_table *table)
{
    for (size_t i = 0; i < COURIER_TABLE_BUCKETS; i++)
        if (table->buckets[i] != NULL)
            return table->buckets[i];
    return NULL;
}

void courier_table_each(struct courier_table *table,
                        void (*on_node)(void *owner, struct courier_node *node), void *owner)
{
    for (size_t i = 0; i < COURIER_TABLE_BUCKETS; i++) {
        struct courier_node *node = table->buckets[i], *next;

        for (; node != NULL; node = next) {
            next = node->next;
            on_node(owner, node);
        }
    }
}
