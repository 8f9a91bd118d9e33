/* What may be spent, and that it is spent for good. */
#include "spam/budget.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_bytes(void **state)
{
    struct spam_budget budget;
    size_t taken = 0;

    (void)state;
    spam_budget_init(&budget);
    while (spam_budget_take(&budget, 1024 * 1024))
        taken++;
    assert_true(taken > 100 && taken <= SPAM_WORK_BYTES / (1024 * 1024));
    assert_true(budget.is_spent);
    assert_false(spam_budget_take(&budget, 0));
    /* Nothing is free: very small pieces come to an end, too. */
    spam_budget_init(&budget);
    for (taken = 0; spam_budget_take(&budget, 0); taken++)
        continue;
    assert_true(taken < SPAM_WORK_BYTES);
    /* One that is too large does not wrap around. */
    spam_budget_init(&budget);
    assert_false(spam_budget_take(&budget, SIZE_MAX - 1));
}

static void test_time(void **state)
{
    struct spam_budget budget;

    (void)state;
    spam_budget_init(&budget);
    budget.end_us = clock_processor_us();
    assert_true(spam_budget_take(&budget, 1000)); /* the clock is not looked at for so little */
    assert_false(spam_budget_take(&budget, 1024 * 1024));
    assert_true(budget.is_spent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes), cmocka_unit_test(test_time)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
