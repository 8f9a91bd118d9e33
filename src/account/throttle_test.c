/* What the throttle refuses, and when it forgets. */
#include "account/throttle.h"

#include "base/macros.h"
#include "secret/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct account_throttle_limits limits = {
    .per_address = 20, .per_account = 40, .window_ms = 60000};

static void test_twenty_from_an_address(void **state)
{
    (void)state;
    struct account_throttle *throttle = account_throttle_new(&limits);
    struct str here = STR("192.0.2.1"), there = STR("192.0.2.2");

    for (int i = 0; i < 20; i++) {
        assert_false(account_throttle_is_blocked(throttle, here, STR("a"), false, 1000 + i));
        account_throttle_failed(throttle, here, STR("a"), 1000 + i);
    }
    assert_true(account_throttle_is_blocked(throttle, here, STR("a"), false, 1020));
    /* Not another account either, nor the owner himself; but another address. */
    assert_true(account_throttle_is_blocked(throttle, here, STR("b"), true, 1020));
    assert_false(account_throttle_is_blocked(throttle, there, STR("a"), false, 1020));
    /* The window began with the first failure. */
    assert_true(account_throttle_is_blocked(throttle, here, STR("a"), false, 60999));
    assert_false(account_throttle_is_blocked(throttle, here, STR("a"), false, 61000));
    account_throttle_failed(throttle, here, STR("a"), 61000);
    assert_false(account_throttle_is_blocked(throttle, here, STR("a"), false, 61001));
    account_throttle_free(&throttle);
}

static void test_forty_for_an_account(void **state)
{
    (void)state;
    struct account_throttle *throttle = account_throttle_new(&limits);
    char address[32];

    for (int i = 0; i < 40; i++) {
        (void)snprintf(address, sizeof(address), "198.51.100.%d", i);
        assert_false(
            account_throttle_is_blocked(throttle, str_from_c(address), STR("a"), false, i));
        account_throttle_failed(throttle, str_from_c(address), STR("a"), i);
    }
    assert_true(account_throttle_is_blocked(throttle, STR("203.0.113.1"), STR("a"), false, 50));
    assert_false(account_throttle_is_blocked(throttle, STR("203.0.113.1"), STR("a"), true, 50));
    assert_false(account_throttle_is_blocked(throttle, STR("203.0.113.1"), STR("b"), false, 50));
    account_throttle_free(&throttle);
}

static void test_an_ipv6_subscriber_is_one(void **state)
{
    (void)state;
    struct account_throttle *throttle = account_throttle_new(&limits);
    char address[64];

    for (int i = 0; i < 20; i++) {
        (void)snprintf(address, sizeof(address), "2001:db8:1:2::%x", i + 1);
        account_throttle_failed(throttle, str_from_c(address), STR("x"), 0);
    }
    assert_true(
        account_throttle_is_blocked(throttle, STR("2001:db8:1:2:ffff::9"), STR("y"), false, 1));
    assert_false(
        account_throttle_is_blocked(throttle, STR("2001:db8:1:3::1"), STR("y"), false, 1));
    for (int i = 0; i < 20; i++)
        account_throttle_failed(throttle, STR("::ffff:192.0.2.7"), STR("z"), 0);
    assert_true(account_throttle_is_blocked(throttle, STR("192.0.2.7"), STR("y"), false, 1));
    account_throttle_free(&throttle);
}

static void test_no_limits(void **state)
{
    (void)state;
    static const struct account_throttle_limits none = {.window_ms = 1000};
    struct account_throttle *throttle = account_throttle_new(&none);

    for (int i = 0; i < 100; i++)
        account_throttle_failed(throttle, STR("192.0.2.1"), STR("a"), 0);
    assert_false(account_throttle_is_blocked(throttle, STR("192.0.2.1"), STR("a"), false, 1));
    account_throttle_set(throttle, &limits);
    assert_true(account_throttle_is_blocked(throttle, STR("192.0.2.1"), STR("a"), false, 1));
    account_throttle_free(&throttle);
}

/* A flood from many addresses costs no memory and does not free one who is blocked. */
static void test_a_flood(void **state)
{
    (void)state;
    struct account_throttle *throttle = account_throttle_new(&limits);
    char address[64];

    for (int i = 0; i < 20; i++)
        account_throttle_failed(throttle, STR("192.0.2.1"), STR("a"), 0);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(address, sizeof(address), "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
        account_throttle_failed(throttle, str_from_c(address), str_from_c(address), 1);
    }
    assert_true(account_throttle_is_blocked(throttle, STR("192.0.2.1"), STR("b"), false, 2));
    account_throttle_free(&throttle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twenty_from_an_address),
        cmocka_unit_test(test_forty_for_an_account),
        cmocka_unit_test(test_an_ipv6_subscriber_is_one),
        cmocka_unit_test(test_no_limits),
        cmocka_unit_test(test_a_flood),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
