#include "courier/table.h"

#include "base/macros.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { MANY = 5000 };

struct thing {
    struct courier_node node;
    int number;
};

static struct str key_of(int number, char room[static 16])
{
    snprintf(room, 16, "key%d", number);
    return str_from_c(room);
}

static void drop_odd(void *owner, struct courier_node *node)
{
    struct thing *thing = CONTAINER_OF(node, struct thing, node);

    if (thing->number % 2 == 1) {
        courier_table_remove(owner, node);
        mem_free(&thing);
    }
}

static void what_is_put_in_is_found(void **state)
{
    struct courier_table table;
    struct courier_node *node;
    char room[16];

    (void)state;
    courier_table_init(&table);
    assert_null(courier_table_any(&table));
    for (int i = 0; i < MANY; i++) {
        struct thing *thing = NEW(struct thing);

        thing->number = i;
        courier_table_add(&table, &thing->node, key_of(i, room));
    }
    assert_int_equal(table.count, MANY);
    courier_table_each(&table, drop_odd, &table);
    assert_int_equal(table.count, MANY / 2);
    for (int i = 0; i < MANY; i++) {
        node = courier_table_find(&table, key_of(i, room));
        assert_int_equal(node != NULL, i % 2 == 0);
        if (node != NULL)
            assert_int_equal(CONTAINER_OF(node, struct thing, node)->number, i);
    }
    assert_null(courier_table_find(&table, STR("")));
    while ((node = courier_table_any(&table)) != NULL) {
        struct thing *thing = CONTAINER_OF(node, struct thing, node);

        courier_table_remove(&table, node);
        mem_free(&thing);
    }
    assert_int_equal(table.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_put_in_is_found)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
