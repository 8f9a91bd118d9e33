#include "role/backoff.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void delays_double_up_to_a_limit(void **state)
{
    static const int64_t expected[] = {0,    100,  200,  400,   800,   1600,
                                       3200, 6400, 10000, 10000, 10000};
    struct backoff backoff = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_int_equal(backoff_next_ms(&backoff, 5), expected[i]);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(backoff_next_ms(&backoff, 5), BACKOFF_LARGEST_MS);
}

static void a_stable_process_begins_anew(void **state)
{
    struct backoff backoff = {0};

    (void)state;
    assert_int_equal(backoff_next_ms(&backoff, 1), 0);
    assert_int_equal(backoff_next_ms(&backoff, 1), 100);
    assert_int_equal(backoff_next_ms(&backoff, BACKOFF_STABLE_MS), 0);
    assert_int_equal(backoff_next_ms(&backoff, BACKOFF_STABLE_MS - 1), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_double_up_to_a_limit),
        cmocka_unit_test(a_stable_process_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
