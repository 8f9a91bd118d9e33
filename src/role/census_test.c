#include "role/census.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ADDRESSES = 500 };

static struct str address(size_t i, char room[static 32])
{
    return str_make(room, (size_t)snprintf(room, 32, "192.0.%zu.%zu", i / 250, i % 250));
}

/* Against plain counters, with many comings and goings. */
static void it_counts_like_counters(void **state)
{
    struct census census = {.room = 0};
    size_t counts[ADDRESSES] = {0};
    char room[32];

    (void)state;
    srand(1);
    for (int step = 0; step < 100000; step++) {
        size_t i = (size_t)rand() % ADDRESSES;

        if (counts[i] > 0 && rand() % 2 == 0) {
            census_remove(&census, address(i, room));
            counts[i]--;
        } else {
            assert_int_equal(census_add(&census, address(i, room)), ++counts[i]);
        }
        i = (size_t)rand() % ADDRESSES;
        assert_int_equal(census_count(&census, address(i, room)), counts[i]);
    }
    for (size_t i = 0; i < ADDRESSES; i++) {
        for (; counts[i] > 0; counts[i]--)
            census_remove(&census, address(i, room));
    }
    assert_int_equal(census.used, 0);
    census_done(&census);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_counts_like_counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
